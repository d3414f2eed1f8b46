//! The simulated Discord: one state behind one lock, and the clock. What can be done to it is in the files below this one.
//!
//! From: options. For: the gateway, REST and control, which are only its edges. The lock is held for short computations,
//! never across an await; what changes under it can be waited for. Deliberately absent: sockets and HTTP.

mod access;
mod amend;
pub(crate) mod change;
pub(crate) mod chunks;
mod commands;
mod connections;
mod content;
mod delivery;
mod departure;
pub(crate) mod entry;
mod ephemeral;
mod faults;
pub(crate) mod generate;
mod guilds;
mod history;
pub(crate) mod interactions;
pub(crate) mod join_requests;
mod outage;
mod reactions;
pub(crate) mod resume;
mod snapshot;
pub(crate) mod talk;
pub(crate) mod webhooks;

pub use delivery::Delivery;
pub use departure::End;
use outage::Outages;

use std::collections::{BTreeMap, HashMap};
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::chat::Chat;
use crate::clock::Clock;
use crate::commands::Commands;
use crate::faults::Faults;
use crate::generator::Generator;
use crate::interactions::Interactions;
use crate::ledger::{Violation, ViolationKind};
use crate::options::{Options, Token};
use crate::record::Record;
use crate::rules::{self, Budget, IdentifyLimit};
use crate::session::Session;
use crate::session::registry::Registry;
use crate::session::transit::Transit;
use crate::session::wire::{Order, Wire};
use crate::settings::{
    CloseAnswerIs, IdentifyLeadsTo, InteractionsTo, RestState, ResumeBelowHeartbeat, ResumeWhileConnected,
    Settings,
};
use crate::snowflake::{Mint, Snowflake};
use crate::world::channels::Access;
use crate::world::{User, World, mix};
use chunks::MemberRequests;
use join_requests::JoinRequests;

/// Messages that are kept.
const MESSAGES: usize = 20_000;

/// The simulated Discord.
#[derive(Debug)]
pub struct Discord {
    /// What it was started with.
    pub options: Options,
    /// Its guilds.
    pub world: World,
    /// Its clocks.
    pub clock: Clock,
    /// Makes events when it is told to.
    pub generator: Generator,
    /// Ends every connection.
    pub stop: CancellationToken,
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    connections: AtomicU64,
    chances: AtomicU64,
}

/// What changes.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) settings: Settings,
    pub(crate) applications: BTreeMap<Snowflake, Application>,
    /// Known tokens, and whether each is still good.
    pub(crate) tokens: BTreeMap<Token, bool>,
    pub(crate) sessions: Registry,
    pub(crate) transit: Transit,
    pub(crate) outages: Outages,
    /// Connections that were told to reconnect.
    pub(crate) leaving: Vec<change::Leaving>,
    /// Whether the recommendation follows the number of guilds.
    pub(crate) recommends_by_guilds: bool,
    pub(crate) chat: Chat,
    pub(crate) mint: Mint,
    pub(crate) record: Record,
    /// Channels between one person and a bot, by channel.
    pub(crate) direct: HashMap<Snowflake, DirectChannel>,
    /// The same channels, by bot and person.
    pub(crate) direct_of: HashMap<(Snowflake, Snowflake), Snowflake>,
    pub(crate) commands: Commands,
    pub(crate) interactions: Interactions,
    pub(crate) faults: Faults,
    /// The world's own.
    pub(crate) access: Arc<Access>,
    pub(crate) join_requests: JoinRequests,
}

/// A bot.
#[derive(Debug)]
pub(crate) struct Application {
    pub(crate) user: User,
    /// What its owner says of it.
    pub(crate) description: String,
    pub(crate) budget: Budget,
    pub(crate) identifies: IdentifyLimit,
    pub(crate) member_requests: MemberRequests,
}

/// A channel between one person and a bot.
#[derive(Clone, Debug)]
pub(crate) struct DirectChannel {
    pub(crate) person: User,
    pub(crate) application: Snowflake,
}

impl Discord {
    /// A Discord that begins now.
    pub fn new(options: Options) -> Self {
        let world = World::new(options.guilds, options.seed);
        let world = world.hiding(options.hidden_share).kicking(options.kick_members);
        let stop = CancellationToken::new();
        let state = State::new(&options, &stop, Arc::clone(&world.access));
        Self {
            world,
            clock: Clock::at(options.paused_at.unwrap_or_else(Timestamp::now), options.time_factor),
            generator: Generator::default(),
            stop,
            state: Mutex::new(state),
            changed: watch::Sender::new(0),
            connections: AtomicU64::new(0),
            chances: AtomicU64::new(0),
            options,
        }
    }

    /// Real time since the start.
    pub fn now(&self) -> Duration {
        self.clock.now()
    }

    /// Sees every change from now on.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// The handle of a new connection.
    pub fn connect(&self) -> (Wire, mpsc::Receiver<Order>) {
        let id = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        Wire::new(id, self.read().outages.scissors())
    }

    /// The next number of a row that only the seed decides.
    pub fn chance(&self) -> u64 {
        mix(self.options.seed ^ mix(self.chances.fetch_add(1, Ordering::Relaxed)))
    }

    /// A number that nobody can guess; where the seed must decide all, it follows from the shard and the time, so that the order in which
    /// shards come in one moment makes no difference.
    pub(crate) fn random_of(&self, (shard, total): (u32, u32)) -> u128 {
        if self.options.paused_at.is_none() {
            return rand::random();
        }
        let of = u64::from(shard) << 32 | u64::from(total);
        let first = mix(self.options.seed ^ mix(of));
        u128::from(first) << 64 | u128::from(mix(first ^ mix(self.clock.unix_ms())))
    }

    /// A number that nobody can guess, unless the seed must decide all.
    pub(crate) fn random(&self) -> u128 {
        if self.options.paused_at.is_none() {
            return rand::random();
        }
        u128::from(self.chance()) << 64 | u128::from(self.chance())
    }

    /// Events that the slowest connection has not had.
    pub(crate) fn most_behind(&self) -> u64 {
        self.read().sessions.all().map(Session::backlog).max().unwrap_or_default()
    }

    /// The gateway's base URL for a client that called this host.
    pub fn gateway_url(&self, host: &str) -> String {
        self.options.public_url.clone().unwrap_or_else(|| format!("ws://{host}"))
    }

    /// The bot of a token, if the token is good.
    pub fn application_of(&self, token: &Token) -> Option<Snowflake> {
        self.read().application_of(token)
    }

    /// A bot's user.
    pub fn bot(&self, application: Snowflake) -> Option<User> {
        self.read().applications.get(&application).map(|application| application.user.clone())
    }

    pub(crate) fn read(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn change(&self) -> Change<'_> {
        Change { state: Some(self.read()), changed: &self.changed }
    }
}

impl State {
    fn new(options: &Options, stop: &CancellationToken, access: Arc<Access>) -> Self {
        let total = options.identify_total;
        let remaining = options.identify_remaining.unwrap_or(total).min(total);
        let applications = options.tokens.iter().map(Token::application).map(|id| {
            let application = Application {
                user: User { id, name: format!("sim-bot-{}", id.0 % 10_000), bot: true },
                description: "A bot in a simulated Discord.".to_owned(),
                budget: Budget::new(total, remaining, rules::BUDGET_SPAN),
                identifies: IdentifyLimit::new(rules::IDENTIFY_SPAN),
                member_requests: MemberRequests::new(chunks::MEMBERS_SPAN),
            };
            (id, application)
        });
        Self {
            settings: Settings {
                recommended_shards: options
                    .shards
                    .unwrap_or_else(|| guilds::recommended(options.guilds as usize))
                    .max(1),
                max_concurrency: options.max_concurrency.max(1),
                total,
                remaining,
                refuse_token: false,
                rest: RestState::Normal,
                resume_while_connected: ResumeWhileConnected::TakeOver,
                interactions_to: InteractionsTo::All,
                refused_identify_counts: true,
                identify_leads_to: IdentifyLeadsTo::Ready,
                resume_below_heartbeat: ResumeBelowHeartbeat::Replay,
                skew_ms: options.skew_ms,
                same_order: true,
                invalid_request_limit: 10_000,
                ack_ms: options.ack_ms,
                close_answer: CloseAnswerIs::Own,
                hidden_voice_bitrate: true,
            },
            applications: applications.collect(),
            tokens: options.tokens.iter().map(|token| (token.clone(), true)).collect(),
            sessions: Registry::default(),
            transit: Transit::default(),
            outages: Outages::new(stop),
            leaving: Vec::new(),
            recommends_by_guilds: options.shards.is_none(),
            chat: Chat::new(MESSAGES),
            mint: Mint::default(),
            record: Record::new(options.ledger_events),
            direct: HashMap::new(),
            direct_of: HashMap::new(),
            commands: Commands::default(),
            interactions: Interactions::default(),
            faults: Faults::default(),
            access,
            join_requests: JoinRequests::default(),
        }
    }

    pub(crate) fn application_of(&self, token: &Token) -> Option<Snowflake> {
        let good = !self.settings.refuse_token && self.tokens.get(token).copied().unwrap_or_default();
        good.then(|| token.application())
    }

    pub(crate) fn violation(&mut self, at: Duration, kind: ViolationKind, text: String) {
        tracing::warn!(?kind, text, "rule broken");
        self.record.violations.push(Violation { at_ms: ms(at), kind, text });
    }
}

/// The state, to be changed; whoever waits for changes is woken once the lock is free again.
pub(crate) struct Change<'a> {
    state: Option<MutexGuard<'a, State>>,
    changed: &'a watch::Sender<u64>,
}

impl Deref for Change<'_> {
    type Target = State;

    #[expect(clippy::expect_used, reason = "the guard is taken only by drop")]
    fn deref(&self) -> &State {
        self.state.as_deref().expect("the guard is there until drop")
    }
}

impl DerefMut for Change<'_> {
    #[expect(clippy::expect_used, reason = "the guard is taken only by drop")]
    fn deref_mut(&mut self) -> &mut State {
        self.state.as_deref_mut().expect("the guard is there until drop")
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        drop(self.state.take());
        // Who begins to wait later looks at the state first. Without this, every event would pay for nobody.
        if self.changed.receiver_count() > 0 {
            self.changed.send_modify(|version| *version = version.wrapping_add(1));
        }
    }
}

pub(crate) fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
