//! One task a shard: keeps it connected, keeps its session, passes its events on.
//!
//! ```text
//! take up: own the record, resume where its session was left
//!      v
//! between connections: wait, read the token, build a Link  ->  during one: frame -> guilds, state -> Inbox -> dispatch
//!      ^                                                            |
//!      +------------------- Reconnect: how long, with the session? -+
//! ```
//!
//! Each twilight `Shard` serves one connection ([`link`]); what follows its end is decided by [`reconnect`], since
//! twilight itself tries again without a pause once a connection opens. A full [`inbox`] never stops heartbeats.
//! Guarantees: no IDENTIFY without a grant; a close code that forbids a new try ends the shard (after 4004 it goes on when
//! Discord takes the token again, or with another one); on stop the connection closes with 4000, so that the session stays resumable (a local run's with 1000); while the pod
//! is cut off, or once its record is another pod's, the shard is closed and nothing of it begins ([`ownership`]).
//! Deliberately absent: how records and progress are kept ([`crate::session::records`], [`crate::session::progress`]).

mod connector;
mod link;
mod made;
mod ownership;
mod receiving;
mod reconnect;
mod refusal;
mod slot;
mod undecided;
mod unreadable;

mod guilds;
pub(crate) mod inbox;

use std::{mem::Discriminant, sync::Arc, time::Duration};

use shard_contract::{identify::Priority, layouts::Role, report::ShardState, whose::Duty};
use shard_machine::{Random, WallClock};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;
use twilight_gateway::{Event, EventTypeFlags, Session, ShardId};
use twilight_model::id::{Id, marker::UserMarker};

pub(crate) use self::connector::Connector;
use self::{
    guilds::Guilds,
    inbox::Inbox,
    link::{Ended, Link, Seen},
    reconnect::{Next, Reconnect},
    undecided::HeldBack,
};
use crate::{
    edges::{
        backoff::spread,
        close_codes::{AUTHENTICATION_FAILED, remedy},
        token::Token,
        trouble::Trouble,
    },
    identify::gate::Gate,
    seen::{metrics::Counters, status::Status},
    session::{fence::Fencing, progress::Progress, records::Records},
};

/// What every shard's task of the pod shares.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) connector: Arc<Connector>,
    pub(crate) gate: Gate,
    pub(crate) status: Arc<Status>,
    pub(crate) duty: watch::Receiver<Duty>,
    /// Which events are parsed; the rest is counted and dropped.
    pub(crate) wanted: EventTypeFlags,
    /// None: this process alone decides, as in a local run.
    pub(crate) records: Option<Records>,
    /// Whether the pod is cut off from everybody and may have been replaced.
    pub(crate) fencing: watch::Receiver<Fencing>,
    /// How often an event may be begun, if each time the process dies.
    pub(crate) most_begun: u8,
    pub(crate) counters: Counters,
    pub(crate) stop: CancellationToken,
    pub(crate) random: Random,
    pub(crate) wall: WallClock,
}

/// Discord closed the shard with a code that forbids a new try, and nothing here can change that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) shard: u32,
    pub(crate) code: u16,
}

/// A session that can be resumed.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    session: Session,
    url: Option<String>,
}

/// The task of one shard.
pub(crate) struct ShardTask {
    id: ShardId,
    around: Surroundings,
    inbox: Inbox,
    undecided: HeldBack,
    guilds: Guilds,
    /// When an event of the session came last, by the wall clock, in milliseconds since 1970; none: here none came yet.
    heard_ms: Option<i64>,
    /// Until a RESUME has replayed what was missed: since when that may have been sent.
    replays_since: Option<i64>,
    /// The bot's user, once READY has told it.
    me: Option<Id<UserMarker>>,
    kept: Option<Kept>,
    /// The token of the last connection; each shard remembers its own, since they learn of another one by and by.
    token: Option<Token>,
    progress: Arc<Progress>,
    /// Whether users were served before, as far as the record knows.
    live: bool,
    unreachable: bool,
    ended: Option<Discriminant<Ended>>,
    reconnect: Reconnect,
    trouble: Trouble,
}

impl ShardTask {
    pub(crate) fn new(id: ShardId, around: Surroundings, progress: Arc<Progress>, inbox: Inbox) -> Self {
        Self {
            id,
            around,
            inbox,
            undecided: HeldBack::default(),
            guilds: Guilds::default(),
            heard_ms: None,
            replays_since: None,
            me: None,
            kept: None,
            token: None,
            progress,
            live: false,
            unreachable: false,
            ended: None,
            reconnect: Reconnect::default(),
            trouble: Trouble::new("connect to Discord"),
        }
    }

    /// Keeps the shard connected until the pod stops. An error: Discord refused it for good.
    pub(crate) async fn run(mut self) -> Result<(), Refused> {
        self.take_up(true).await;
        loop {
            let ended = self.connect().await;
            if self.around.stop.is_cancelled() {
                return Ok(());
            }
            self.away();
            if ended == Ended::TakenAway || !self.is_owner_after(&ended).await {
                tracing::info!(shard = self.id.number(), "closed: cut off, or another pod owns the shard");
                self.take_up(false).await;
                continue;
            }
            let next = self.reconnect.after(&ended, Instant::now());
            self.say(ended, next);
            match next {
                Next::Again { wait, keep_session } => {
                    if !keep_session {
                        self.forget_session();
                    }
                    self.pause(spread(&self.around.random, wait)).await;
                }
                Next::Refused(code) => self.refused(code).await?,
            }
        }
    }

    /// Says how a connection ended; what ends the same way again and again, as in an outage, only for debugging.
    fn say(&mut self, ended: Ended, next: Next) {
        let shard = self.id.number();
        if self.ended.replace(std::mem::discriminant(&ended)) == Some(std::mem::discriminant(&ended)) {
            tracing::debug!(shard, ?ended, ?next, "connection ended");
        } else {
            tracing::info!(shard, ?ended, ?next, "connection ended");
        }
    }

    /// It has no connection, and says how it will get one.
    fn away(&self) {
        self.enter(if self.kept.is_some() { ShardState::Resuming } else { ShardState::Waiting });
    }

    /// One connection, from nothing to its end.
    async fn connect(&mut self) -> Ended {
        self.away();
        let (stop, taken_away) = (self.around.stop.clone(), self.taken_away());
        let connector = Arc::clone(&self.around.connector);
        let opening = connector.open(self.id, self.kept.clone(), self.unreachable, self.asker());
        self.replays_since = self.kept.as_ref().map(|_| self.heard_ms.unwrap_or(i64::MIN));
        let opened = async {
            tokio::select! {
                biased;
                () = stop.cancelled() => Err(Ended::Stopped),
                () = taken_away => Err(Ended::TakenAway),
                opened = opening => Ok(opened),
            }
        };
        let mut link = match self.meanwhile(opened).await {
            Ok(Ok(link)) => link,
            Ok(Err(error)) => {
                self.trouble.failed(&error);
                return Ended::NotOpened;
            }
            Err(ended) => return ended,
        };
        let ended = self.follow(&mut link).await;
        self.kept = link.session();
        self.token = Some(link.token().clone());
        if self.kept.is_none() {
            self.forget_session();
        }
        // Every other try goes by the session's own URL again: it may be the one that is good.
        self.unreachable = !self.unreachable
            && matches!(
                ended,
                Ended::NotConnected | Ended::NoHello | Ended::ResumeFailed | Ended::ClosedOnResume
            );
        ended
    }

    /// How this shard asks for a grant.
    fn asker(&self) -> link::Asker {
        let (gate, status, duty) =
            (self.around.gate.clone(), Arc::clone(&self.around.status), self.around.duty.clone());
        let (id, live) = (self.id.number(), self.live);
        Box::new(move || {
            let was_online = live || status.of(id).is_some_and(|shard| shard.was_online);
            let priority = match duty.borrow().role {
                _ if was_online => Priority::Live,
                Some(Role::Active) => Priority::Active,
                _ => Priority::Standby,
            };
            Box::pin(gate.clone().ask(id, priority))
        })
    }

    /// Follows one connection until it ends.
    async fn follow(&mut self, link: &mut Link) -> Ended {
        let stop = self.around.stop.clone();
        let mut taken_away = std::pin::pin!(self.taken_away());
        let mut taken = false;
        loop {
            let reading = self.inbox.may_read() || link.is_closing();
            let pause = self.inbox.read_again_at();
            tokio::select! {
                biased;
                () = stop.cancelled(), if !link.is_closing() => {
                    // Without a record, as in a local run, nobody resumes.
                    if !link.close(self.around.records.is_some()) {
                        return Ended::Stopped;
                    }
                }
                () = &mut taken_away, if !taken => {
                    taken = true;
                    self.progress.close();
                    self.let_go();
                    if !link.is_closing() && !link.close(true) {
                        return Ended::TakenAway;
                    }
                }
                () = self.inbox.pass(), if self.inbox.holds_some() => {}
                () = self.undecided.wait(&mut self.around.duty), if !self.undecided.is_empty() => self.decide_again(),
                seen = link.next(), if reading => match seen {
                    Seen::Text(text) => self.read(link, text, !taken),
                    Seen::Identified => self.identified(),
                    Seen::Ended(_) if taken => return Ended::TakenAway,
                    Seen::Ended(ended) => return ended,
                },
                () = tokio::time::sleep_until(pause), if !reading => self.inbox.read_on(),
            }
        }
    }

    fn identified(&mut self) {
        self.around.status.update(self.id.number(), |shard| {
            shard.identifies += 1;
            shard.enter(ShardState::Identifying);
        });
    }

    /// What the event says about the shard itself.
    fn note(&mut self, link: &Link, event: &Event, sequence: u64) {
        self.guilds.note(event, sequence, self.around.wall.now().as_millisecond());
        let (shard, guilds) = (self.id.number(), &self.guilds);
        self.around.status.update(shard, |row| {
            row.events += 1;
            row.guilds = guilds.all();
            row.unavailable_guilds = guilds.unavailable();
            if link.is_online() && row.state != ShardState::Online {
                row.enter(ShardState::Online);
            }
            if matches!(event, Event::Resumed) {
                row.resumes += 1;
            }
        });
        match event {
            Event::Ready(ready) => {
                self.me = Some(ready.user.id);
                self.begin_session(ready, sequence);
                tracing::info!(shard, total = self.id.total(), guilds = guilds.all(), "shard ready");
                self.came_online();
            }
            Event::Resumed => {
                tracing::info!(shard, total = self.id.total(), guilds = guilds.all(), "shard resumed");
                self.came_online();
            }
            Event::GuildCreate(_) | Event::GuildDelete(_) => {
                self.progress.count_guilds(guilds.all(), guilds.at());
            }
            _ => {}
        }
    }

    fn came_online(&mut self) {
        self.replays_since = None;
        self.trouble.over();
        self.ended = None;
    }

    /// Discord refused the shard: says why, and waits for what can help. An error: nothing can.
    async fn refused(&mut self, code: u16) -> Result<(), Refused> {
        let shard = self.id.number();
        self.around.status.update(shard, |row| {
            row.fatal_close = Some(code);
            row.enter(ShardState::Refused);
        });
        tracing::error!(
            shard,
            total = self.id.total(),
            code,
            remedy = remedy(code),
            "Discord closed the shard for good"
        );
        let token = self.token.clone().filter(|_| self.around.connector.token_may_change());
        let Some(token) = token.filter(|_| code == AUTHENTICATION_FAILED) else {
            self.forget_session();
            return Err(Refused { shard, code });
        };
        let (stop, taken_away) = (self.around.stop.clone(), self.taken_away());
        let connector = Arc::clone(&self.around.connector);
        let usable = async {
            tokio::select! {
                biased;
                () = stop.cancelled() => false,
                // Nothing of it goes on to dispatch then; the next try sees it, too.
                () = taken_away => true,
                () = connector.usable_again(&token) => true,
            }
        };
        if !self.meanwhile(usable).await {
            return Ok(());
        }
        // A session may outlast a refusal that was a mistake; it is never another token's.
        if self.around.connector.has_other_token(&token) {
            self.forget_session();
        }
        tracing::info!(shard, "the token may be good again, trying");
        self.around.status.update(shard, |row| row.fatal_close = None);
        Ok(())
    }

    /// Waits before the next connection.
    async fn pause(&mut self, wait: Duration) {
        let (stop, taken_away) = (self.around.stop.clone(), self.taken_away());
        self.meanwhile(async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = taken_away => {}
                () = tokio::time::sleep(wait) => {}
            }
        })
        .await;
    }

    /// Waits for something without a connection, still passing on what the last one brought.
    async fn meanwhile<T>(&mut self, until: impl Future<Output = T>) -> T {
        let mut until = std::pin::pin!(until);
        loop {
            tokio::select! {
                biased;
                done = &mut until => return done,
                () = self.inbox.pass(), if self.inbox.holds_some() => {}
                () = self.undecided.wait(&mut self.around.duty), if !self.undecided.is_empty() => self.decide_again(),
            }
        }
    }

    fn enter(&self, state: ShardState) {
        self.around.status.update(self.id.number(), |shard| shard.enter(state));
    }
}
