//! Entry: IDENTIFY, with every rule that Discord has for it.
//!
//! From: the gateway, after it has read the payload. For: a session with this connection, or what to answer instead.
//! Order of the checks: token, budget (each IDENTIFY with a good token counts, whatever becomes of it), 4005, 4010, 4013,
//! 4014, the bucket's 5 s, 4011; then control may have it that no IDENTIFY leads to READY. Deliberately absent: reading
//! payloads (`gateway/frames.rs`), RESUME (`discord/resume.rs`).

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Discord, State, ms};
use crate::intents;
use crate::ledger::{Identify, ViolationKind};
use crate::members::Members;
use crate::options::Token;
use crate::session::id::SessionId;
use crate::session::log::{Data, Event, EventLog};
use crate::session::wire::{Order, Wire};
use crate::session::{Link, Session};
use crate::settings::IdentifyLeadsTo;
use crate::snowflake::Snowflake;
use crate::world::objects;

/// Guilds that a shard may have.
const GUILDS_PER_SHARD: usize = 2500;
/// From this many guilds on, the number of shards must be a multiple of the recommended one.
const LARGE_BOT: usize = 150_000;

/// An IDENTIFY as the gateway read it.
#[derive(Debug)]
pub struct IdentifyRequest {
    /// The bot's token.
    pub token: Token,
    /// `[shard, total]`; `[0, 1]` where it was left out.
    pub shard: (u32, u32),
    /// Intents; none where it was left out.
    pub intents: Option<u64>,
    /// Whether this connection has a session already.
    pub again: bool,
}

/// How Discord was reached.
#[derive(Debug)]
pub struct Reached<'a> {
    /// What the client called us.
    pub host: &'a str,
    /// The version that it speaks.
    pub version: u8,
    /// How long ago: Discord goes by when it was reached.
    pub lag: Duration,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The connection has this session now.
    Entered(SessionId),
    /// Op 9 with false; the connection stays open.
    InvalidSession,
    /// Close with this code.
    Close(u16, &'static str),
}

/// Why an IDENTIFY is not accepted.
struct Refusal {
    kind: ViolationKind,
    text: String,
    entry: Entry,
}

/// The answer to a token that is not known, or not any more.
pub(crate) const BAD_TOKEN: Entry = Entry::Close(4004, "Authentication failed.");

impl Discord {
    /// Makes a session for this connection, or says what to answer instead.
    pub fn identify(&self, request: &IdentifyRequest, wire: &Arc<Wire>, reached: &Reached<'_>) -> Entry {
        let lag = reached.lag;
        // Before the lock, which somebody may hold for long.
        let (now, came) = (self.now(), self.clock.rules_before(lag));
        let mut state = self.change();
        let Some(application) = state.application_of(&request.token) else {
            state.record.bad_tokens += 1;
            return BAD_TOKEN;
        };
        let (shard, total) = request.shard;
        let bucket = shard % state.settings.max_concurrency;
        state.record.coverage.identified((application, total, shard), ms(now));
        let entry = match self.judge(&mut state, application, request, came) {
            Ok(_) if state.settings.identify_leads_to == IdentifyLeadsTo::Close => {
                Entry::Close(4000, "Unknown error.")
            }
            Ok(intents) => {
                let session = Session { ready_at: now, ..self.open(&state, request, intents, wire, reached) };
                let id = session.id;
                wire.order(Order::Attach(id));
                wire.wake();
                state.sessions.insert(session);
                state.record.coverage.covered((application, total, shard), ms(now));
                Entry::Entered(id)
            }
            Err(refusal) => {
                let text = format!("shard {shard} of {total}: {}", refusal.text);
                state.violation(now, refusal.kind, text);
                refusal.entry
            }
        };
        let accepted = matches!(entry, Entry::Entered(_));
        let outcome = entry.outcome("ready");
        let at_ms = ms(now.saturating_sub(lag));
        let identify =
            Identify { at_ms, application_id: application, shard, total, bucket, accepted, outcome };
        state.record.identify(identify, ms(now));
        entry
    }

    /// Every check after the token's; on success the intents.
    fn judge(
        &self,
        state: &mut State,
        application: Snowflake,
        request: &IdentifyRequest,
        came: Duration,
    ) -> Result<u32, Refusal> {
        let (shard, total) = request.shard;
        let bucket = shard % state.settings.max_concurrency;
        if !state.applications.get_mut(&application).is_some_and(|application| application.budget.spend(came))
        {
            self.reset_token(state, application);
            return refuse(
                ViolationKind::Budget,
                "the day's IDENTIFYs were used up; the token is reset",
                BAD_TOKEN,
            );
        }
        if request.again {
            let close = Entry::Close(4005, "Already authenticated.");
            return refuse(
                ViolationKind::AlreadyAuthenticated,
                "IDENTIFY on a connection that has a session",
                close,
            );
        }
        let recommended = state.settings.recommended_shards;
        let is_large = self.world.guilds().len() >= LARGE_BOT;
        if shard >= total || (is_large && !total.is_multiple_of(recommended)) {
            let text = format!("no such shard (large bots: a multiple of {recommended} shards)");
            return refuse(ViolationKind::Shard, text, Entry::Close(4010, "Invalid shard."));
        }
        let Some(intents) = request.intents.and_then(intents::known) else {
            let text = format!("intents {:?} have unknown bits or are missing", request.intents);
            return refuse(ViolationKind::Intents, text, Entry::Close(4013, "Invalid intent(s)."));
        };
        let denied = intents & intents::PRIVILEGED & !self.options.privileged_intents;
        if denied != 0 {
            let text = format!("privileged intents {denied} are not enabled for the application");
            return refuse(
                ViolationKind::DisallowedIntents,
                text,
                Entry::Close(4014, "Disallowed intent(s)."),
            );
        }
        let counts = state.settings.refused_identify_counts;
        let of = state.applications.get_mut(&application);
        if let Some((of, Err(early))) = of.map(|of| {
            let admitted = of.identifies.admit(bucket, came);
            (of, admitted)
        }) {
            if !counts {
                of.budget.refund();
            }
            let text =
                format!("IDENTIFY in bucket {bucket} came {} ms too early", ms(self.clock.real(early)));
            return refuse(ViolationKind::IdentifyRate, text, Entry::InvalidSession);
        }
        let guilds = self.world.guilds_of(shard, total).len();
        if guilds > GUILDS_PER_SHARD {
            let text = format!("it would have {guilds} guilds, more than {GUILDS_PER_SHARD}");
            return refuse(ViolationKind::GuildsPerShard, text, Entry::Close(4011, "Sharding required."));
        }
        Ok(intents)
    }

    fn open(
        &self,
        state: &State,
        request: &IdentifyRequest,
        intents: u32,
        wire: &Arc<Wire>,
        reached: &Reached<'_>,
    ) -> Session {
        let (application, (shard, total)) = (request.token.application(), request.shard);
        let id = SessionId::of(self.random_of((shard, total)));
        let guilds = self.world.guilds_of(shard, total);
        let mut log = EventLog::new(self.options.replay_events + guilds.len() + 1);
        let mut ready = self.ready(state, application, &guilds, reached.host);
        ready["v"] = json!(reached.version);
        ready["session_id"] = json!(id);
        ready["shard"] = json!([shard, total]);
        let ready = Members::from(ready).shared();
        log.push(Event { name: "READY", data: Data::Members(ready), number: None });
        if intents & intents::GUILDS != 0 {
            for guild in guilds.iter().filter(|guild| self.world.is_up(**guild)) {
                log.push(Event { name: "GUILD_CREATE", data: Data::Guild(*guild), number: None });
            }
        }
        Session {
            id,
            application,
            shard,
            total,
            intents,
            guilds: u32::try_from(guilds.len()).unwrap_or(u32::MAX),
            ready_at: self.now(),
            ready_after: state.record.events.newest(),
            variation: self.chance(),
            log,
            sent: 0,
            acknowledged: 0,
            link: Some(Link { wire: Arc::clone(wire), next: 1 }),
            left_at: None,
        }
    }

    fn ready(&self, state: &State, application: Snowflake, guilds: &[Snowflake], host: &str) -> Value {
        let user =
            state.applications.get(&application).map(|application| objects::current_user(&application.user));
        let guilds: Vec<_> = guilds.iter().map(|id| json!({ "id": id, "unavailable": true })).collect();
        let flags = objects::application_flags(self.options.privileged_intents);
        json!({
            "user": user, "user_settings": {}, "guilds": guilds, "session_type": "normal",
            "resume_gateway_url": self.gateway_url(host), "private_channels": [], "relationships": [], "presences": [],
            "guild_join_requests": [], "geo_ordered_rtc_regions": [], "auth": {}, "_trace": ["[\"discord-sim\"]"],
            "application": {
                "id": application, "flags": flags, "flags_new": flags.to_string(),
            },
        })
    }

    fn reset_token(&self, state: &mut State, application: Snowflake) {
        state.record.token_resets += 1;
        for (token, is_good) in &mut state.tokens {
            *is_good &= token.application() != application;
        }
        let is_its = |session: &Session| session.application == application;
        self.end_sessions(state, is_its, 4004, "The bot's token was reset.");
    }
}

impl Entry {
    pub(crate) fn outcome(&self, entered: &str) -> String {
        match self {
            Self::Entered(_) => entered.to_owned(),
            Self::InvalidSession => "invalidSession".to_owned(),
            Self::Close(code, _) => code.to_string(),
        }
    }
}

fn refuse<T>(kind: ViolationKind, text: impl Into<String>, entry: Entry) -> Result<T, Refusal> {
    Err(Refusal { kind, text: text.into(), entry })
}
