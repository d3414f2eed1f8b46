//! A client of the control API and the ledger, for tests and tools that are not in the simulator's process.
//!
//! From: the simulator's address. For: everything that drives a fleet against a `discord-sim` that runs elsewhere. Every method
//! is one call of `control/http.rs`, with the same shapes; in-process, `Simulator::control` has the same methods.
//! Deliberately absent: TLS, since the simulator speaks plain HTTP only; retries, since a test must see what fails.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::control::channels::{ChangedAccess, ChannelAccess, ChannelState};
use crate::control::connections::{
    AskHeartbeats, Asked, DropConnections, Dropped, FreezeConnections, Frozen,
};
use crate::control::faults::{FaultFilter, FaultState, NewFault, Removed};
use crate::control::guilds::{ChangedGuilds, GuildOutage, JoinGuilds, LeaveGuilds};
use crate::control::interactions::{MadeInteraction, NewInteraction};
use crate::control::join_requests::{DecideJoinRequest, DecidedJoinRequest, MadeJoinRequest, NewJoinRequest};
use crate::control::messages::{MadeMessage, NewMessage, Reply, ReplyWait};
use crate::control::moments::{MoveTime, Outage, OutageBegun, TimeNow};
use crate::control::tokens::{ChangeToken, ChangedToken};
use crate::generator::{Generate, GeneratorState};
use crate::ledger::{Ledger, LedgerQuery};
use crate::settings::{Settings, SettingsChange};
use crate::snowflake::{ShardOf, Snowflake};

/// How long a call may take beyond what it is asked to wait.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a condition is looked at.
const PACE: Duration = Duration::from_millis(50);

/// Why a call has no result.
#[derive(Debug, Error)]
pub enum ClientError {
    /// There is no simulator, or it did not answer.
    #[error("{method} {url}: the simulator does not answer")]
    Unreachable {
        /// The call's method.
        method: Method,
        /// The call's URL.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The simulator did not take the call; its words name the field, what was found and the remedy.
    #[error("{method} {url}: {status}: {text}")]
    Refused {
        /// The call's method.
        method: Method,
        /// The call's URL.
        url: String,
        /// What it answered.
        status: StatusCode,
        /// Its words.
        text: String,
    },
    /// What was waited for did not come.
    #[error("after {0:?} the ledger does not show what was waited for")]
    Late(Duration),
}

/// A client of one simulator.
#[derive(Clone, Debug)]
pub struct ControlClient {
    base: String,
    http: reqwest::Client,
}

#[derive(Deserialize)]
struct Guilds {
    guilds: Vec<Snowflake>,
}

#[derive(Deserialize)]
struct Fault {
    error: String,
}

impl ControlClient {
    /// A client of the simulator at `http://host:port`; nothing is called yet.
    pub fn new(base: &str) -> Self {
        Self { base: base.trim_end_matches('/').to_owned(), http: reqwest::Client::new() }
    }

    /// What happened so far, or what of it is asked for.
    pub async fn ledger(&self, query: &LedgerQuery) -> Result<Ledger, ClientError> {
        self.get("/ledger", query).await
    }

    /// Waits until the ledger satisfies a condition.
    pub async fn wait_for(
        &self,
        time: Duration,
        query: &LedgerQuery,
        mut condition: impl FnMut(&Ledger) -> bool,
    ) -> Result<Ledger, ClientError> {
        let deadline = tokio::time::Instant::now() + time;
        loop {
            let ledger = self.ledger(query).await?;
            if condition(&ledger) {
                return Ok(ledger);
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(ClientError::Late(time));
            }
            tokio::time::sleep(PACE).await;
        }
    }

    /// The settings in force.
    pub async fn settings(&self) -> Result<Settings, ClientError> {
        self.get("/control/settings", &()).await
    }

    /// Changes settings; those in force afterwards.
    pub async fn settle(&self, change: &SettingsChange) -> Result<Settings, ClientError> {
        self.post("/control/settings", change).await
    }

    /// The first 1,000 guilds of a shard.
    pub async fn guilds(&self, shard: ShardOf) -> Result<Vec<Snowflake>, ClientError> {
        let query = [("shard", shard.id), ("total", shard.total)];
        self.get("/control/guilds", &query).await.map(|Guilds { guilds }| guilds)
    }

    /// The bots join new guilds.
    pub async fn join_guilds(&self, request: &JoinGuilds) -> Result<ChangedGuilds, ClientError> {
        self.post("/control/guilds/join", request).await
    }

    /// The bots are removed from guilds.
    pub async fn leave_guilds(&self, request: &LeaveGuilds) -> Result<ChangedGuilds, ClientError> {
        self.post("/control/guilds/leave", request).await
    }

    /// Guilds cannot be served, or can be again.
    pub async fn guild_outage(&self, request: &GuildOutage) -> Result<ChangedGuilds, ClientError> {
        self.post("/control/guilds/outage", request).await
    }

    /// The channels of a guild, and which of them the bots may view.
    pub async fn channels(&self, guild: Snowflake) -> Result<Vec<ChannelState>, ClientError> {
        self.get("/control/channels", &[("guild", guild)]).await
    }

    /// Gives the bots access to a channel, or takes it.
    pub async fn change_access(&self, request: &ChannelAccess) -> Result<ChangedAccess, ClientError> {
        self.post("/control/channels/access", request).await
    }

    /// A person asks to be let into a guild.
    pub async fn make_join_request(&self, request: &NewJoinRequest) -> Result<MadeJoinRequest, ClientError> {
        self.post("/control/join-requests", request).await
    }

    /// A request to join is decided on, or withdrawn.
    pub async fn decide_join_request(
        &self,
        request: &DecideJoinRequest,
    ) -> Result<DecidedJoinRequest, ClientError> {
        self.post("/control/join-requests/decide", request).await
    }

    /// A user types a message.
    pub async fn post_message(&self, request: &NewMessage) -> Result<MadeMessage, ClientError> {
        self.post("/control/messages", request).await
    }

    /// The bots' replies to a message.
    pub async fn replies(&self, message: Snowflake, wait: &ReplyWait) -> Result<Vec<Reply>, ClientError> {
        self.get(&format!("/control/messages/{message}/replies"), wait).await
    }

    /// A user uses a slash command.
    pub async fn post_interaction(&self, request: &NewInteraction) -> Result<MadeInteraction, ClientError> {
        self.post("/control/interactions", request).await
    }

    /// The bots' answers to an interaction.
    pub async fn interaction_replies(
        &self,
        interaction: Snowflake,
        wait: &ReplyWait,
    ) -> Result<Vec<Reply>, ClientError> {
        self.get(&format!("/control/interactions/{interaction}/replies"), wait).await
    }

    /// From now on, these REST calls go wrong.
    pub async fn add_fault(&self, fault: &NewFault) -> Result<FaultState, ClientError> {
        self.post("/control/faults", fault).await
    }

    /// The faults in force.
    pub async fn faults(&self) -> Result<Vec<FaultState>, ClientError> {
        self.get("/control/faults", &()).await
    }

    /// Takes faults away.
    pub async fn remove_faults(&self, filter: &FaultFilter) -> Result<Removed, ClientError> {
        self.call(Method::DELETE, "/control/faults", |request| request.query(filter)).await
    }

    /// Drops connections.
    pub async fn drop_connections(&self, request: &DropConnections) -> Result<Dropped, ClientError> {
        self.post("/control/connections/drop", request).await
    }

    /// Freezes connections.
    pub async fn freeze_connections(&self, request: &FreezeConnections) -> Result<Frozen, ClientError> {
        self.post("/control/connections/freeze", request).await
    }

    /// Asks for heartbeats out of turn.
    pub async fn ask_heartbeats(&self, request: &AskHeartbeats) -> Result<Asked, ClientError> {
        self.post("/control/connections/heartbeat", request).await
    }

    /// Starts the generator.
    pub async fn generate(&self, request: &Generate) -> Result<GeneratorState, ClientError> {
        self.post("/control/generator", request).await
    }

    /// How far the generator is.
    pub async fn generated(&self) -> Result<GeneratorState, ClientError> {
        self.get("/control/generator", &()).await
    }

    /// Stops the generator.
    pub async fn stop_generating(&self) -> Result<GeneratorState, ClientError> {
        self.call(Method::DELETE, "/control/generator", |request| request).await
    }

    /// Discord is gone for a while.
    pub async fn begin_outage(&self, request: &Outage) -> Result<OutageBegun, ClientError> {
        self.post("/control/outage", request).await
    }

    /// Discord's time.
    pub async fn time(&self) -> Result<TimeNow, ClientError> {
        self.get("/control/time", &()).await
    }

    /// Changes the course of Discord's time.
    pub async fn move_time(&self, request: &MoveTime) -> Result<TimeNow, ClientError> {
        self.post("/control/time", request).await
    }

    /// Refuses a token or takes it (again).
    pub async fn change_token(&self, request: &ChangeToken) -> Result<ChangedToken, ClientError> {
        self.post("/control/tokens", request).await
    }

    async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &(impl Serialize + ?Sized + Sync),
    ) -> Result<T, ClientError> {
        self.call(Method::GET, path, |request| request.query(query)).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, ClientError> {
        self.call(Method::POST, path, |request| request.json(body)).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        fill: impl FnOnce(reqwest::RequestBuilder) -> reqwest::RequestBuilder,
    ) -> Result<T, ClientError> {
        let url = format!("{}{path}", self.base);
        let unreachable =
            |source| ClientError::Unreachable { method: method.clone(), url: url.clone(), source };
        let request = fill(self.http.request(method.clone(), &url)).timeout(PATIENCE + longest_wait(path));
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        if status.is_success() {
            return answer.json().await.map_err(unreachable);
        }
        let text = answer.text().await.unwrap_or_default();
        let text = serde_json::from_str(&text).map_or(text, |Fault { error }| error);
        Err(ClientError::Refused { method, url, status, text })
    }
}

/// Replies may be waited for as long as a minute.
fn longest_wait(path: &str) -> Duration {
    if path.ends_with("/replies") { Duration::from_secs(60) } else { Duration::ZERO }
}
