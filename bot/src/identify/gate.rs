//! The gate, seen from the pod: no shard sends an IDENTIFY before it holds a [`Grant`].
//!
//! One task owns all shards that wait and asks the operator for them together ([`waiting`] decides who is in the next
//! call, [`crate::edges::operator`] makes it). Flow: a shard's `ask` -> a call that the gate holds -> a grant with an end on
//! our monotonic clock -> `sent` or dropped, which is told at once, since the bucket's next grant waits for that
//! word -> what came of it. When no leader answers for long, grants come from [`crate::identify::fallback`] instead, until one does.
//!
//! Guarantees: a grant that cannot be used is given back; a grant is used at most once; the gate being away, refusing
//! or slow never ends the wait, and is logged once per change. A local run has no operator and grants to itself ([`local`]).
//! Deliberately absent: which shard waits for how long (that is the gate's).

mod grant;
mod local;
mod telling;
mod waiting;

use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};

use futures::FutureExt as _;
use shard_contract::fallback::APART_MS;
use shard_contract::identify::{
    GRANT_VALID_MS, HOLD_MS, IDENTIFY_PATH, Identified, IdentifyAnswer, IdentifyRequest, Outcome, Priority,
};
use shard_machine::{Machine, Random};
use tokio::{
    sync::{mpsc, oneshot},
    task::{Id, JoinError, JoinSet},
    time::Instant,
};

pub(crate) use self::grant::Grant;
use self::{local::Granting, telling::Telling, waiting::Waiting};
use crate::{
    edges::{
        backoff::Backoff,
        discord::{Discord, Limits},
        operator::{Answer, CallError, Operator},
        trouble::Trouble,
    },
    identify::fallback::{Allowance, FallbackSchedule, Tries, choose},
    seen::{metrics::Counters, status::Status},
};

/// The gate answers within its hold; the rest is for the way.
const CALL_TIMEOUT: Duration = Duration::from_millis(HOLD_MS + 5_000);
/// The gate says when to ask again; a mistaken answer neither makes a hot loop nor silences the pod.
const ASK_AGAIN: std::ops::RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_mins(1);

/// Where shards ask for permission to IDENTIFY.
#[derive(Clone, Debug)]
pub(crate) struct Gate(mpsc::UnboundedSender<Ask>);

/// A shard that waits.
#[derive(Debug)]
pub(crate) struct Ask {
    shard: u32,
    priority: Priority,
    reply: oneshot::Sender<Grant>,
}

/// The pod that asks, and what it asks with.
pub(crate) struct Asker {
    pub(crate) operator: Operator,
    pub(crate) discord: Arc<Discord>,
    pub(crate) status: Arc<Status>,
    pub(crate) counters: Counters,
    pub(crate) layout: u32,
    pub(crate) ordinal: u32,
    /// What outlives the container.
    pub(crate) state: PathBuf,
    pub(crate) machine: Machine,
}

impl Gate {
    /// The operator's gate, asked by a task of its own for this pod.
    pub(crate) fn of(asker: Asker) -> Self {
        let (asks, received) = mpsc::unbounded_channel();
        let tasks = asker.machine.tasks.clone();
        tasks.spawn(Asking::new(asker).run(received));
        Self(asks)
    }

    /// The gate of a process that is the whole bot.
    pub(crate) fn local(limits: &Limits, machine: &Machine) -> Self {
        let (asks, received) = mpsc::unbounded_channel();
        machine.tasks.spawn(Granting::new(limits).run(received));
        Self(asks)
    }

    /// Waits until this shard may send an IDENTIFY. Dropping the future ends the wait.
    pub(crate) async fn ask(self, shard: u32, priority: Priority) -> Grant {
        let (reply, granted) = oneshot::channel();
        // Only fails when the process is ending; then nobody is granted anything any more.
        _ = self.0.send(Ask { shard, priority, reply });
        match granted.await {
            Ok(grant) => grant,
            Err(_) => std::future::pending().await,
        }
    }
}

/// What the gate answered, and when the call began to be sent; or why it did not.
type Called = Result<(IdentifyAnswer, Instant), CallError>;

/// The task that asks.
struct Asking {
    operator: Operator,
    layout: u32,
    waiting: Waiting,
    calls: JoinSet<Called>,
    /// Number and kind of each call under way.
    made: HashMap<Id, (u64, Priority)>,
    backoff: Backoff,
    not_before: Instant,
    trouble: Trouble,
    telling: Telling,
    /// Words about the gate's grants.
    told: Words,
    schedule: FallbackSchedule,
    tries: Tries,
    /// Words about grants by the fallback schedule, which are numbered by their shard.
    tried: Words,
    counters: Counters,
    random: Random,
}

type Words = (mpsc::UnboundedSender<Identified>, mpsc::UnboundedReceiver<Identified>);

impl Asking {
    fn new(asker: Asker) -> Self {
        let Asker { operator, discord, status, counters, layout, ordinal, state, machine } = asker;
        let pace = operator.pace();
        let least = Duration::from_millis(100);
        Self {
            operator: operator.clone(),
            layout,
            waiting: Waiting::default(),
            calls: JoinSet::new(),
            made: HashMap::new(),
            backoff: Backoff::new(
                pace.real(Duration::from_millis(500)).max(least),
                pace.real(Duration::from_secs(10)).max(least),
            ),
            not_before: Instant::now(),
            trouble: Trouble::new("ask the gate for an IDENTIFY"),
            telling: Telling::new(operator.clone(), counters.clone(), machine.clone()),
            told: mpsc::unbounded_channel(),
            schedule: FallbackSchedule::new(
                operator,
                discord,
                status,
                layout,
                ordinal,
                machine.random.clone(),
            ),
            tries: Tries::kept(&state, machine.wall),
            tried: mpsc::unbounded_channel(),
            counters,
            random: machine.random,
        }
    }

    async fn run(mut self, mut asks: mpsc::UnboundedReceiver<Ask>) {
        let mut answers = self.operator.watch_answers();
        loop {
            let now = Instant::now();
            while now >= self.not_before
                && let Some(call) = self.waiting.next_call(now)
            {
                self.call(call);
            }
            let wake = self.waiting.next_wake().map(|at| at.max(self.not_before));
            let (may_leave_now, look) = self.look(now);
            tokio::select! {
                biased;
                ask = asks.recv() => match ask {
                    Some(ask) => self.waiting.add(ask, Instant::now()),
                    None => return,
                },
                Some(told) = self.told.1.recv() => self.telling.tell(told),
                Some(tried) = self.tried.1.recv() => self.tried(&tried),
                Some(ended) = self.calls.join_next_with_id(), if !self.calls.is_empty() => self.ended(ended),
                allowance = self.schedule.next(), if may_leave_now => self.allowance(allowance),
                _ = answers.changed(), if self.schedule.is_on() => {}
                () = sleep_until(earliest(wake, look)) => {}
            }
        }
    }

    /// Looks at the fallback schedule: whether a slot is waited for, and when to look again.
    fn look(&mut self, now: Instant) -> (bool, Option<Instant>) {
        let pace = self.operator.pace();
        let again = |shard| self.tries.again_at(shard, pace).unwrap_or(now);
        let first = self.waiting.all().map(|waits| again(waits.shard)).min();
        self.schedule.look(first.is_some(), now);
        let may_leave_now = self.schedule.is_on() && first.is_some_and(|first| first <= now);
        if !may_leave_now {
            self.schedule.rest();
        }
        let again = if self.schedule.is_on() { first } else { first.map(|_| self.schedule.alone_at()) };
        (may_leave_now, again.filter(|_| !may_leave_now))
    }

    /// It is the pod's allowance: gives grants that end with it.
    fn allowance(&mut self, allowance: Allowance) {
        let now = Instant::now();
        // Before any grant: an answer of the gate may come at any moment.
        self.operator.name_from(allowance.until + self.operator.pace().real(Duration::from_millis(APART_MS)));
        for shard in choose(self.waiting.all(), &self.tries, &allowance, self.operator.pace(), now) {
            let Some(reply) = self.waiting.take_any(shard) else { continue };
            tracing::info!(shard, "identifying by the fallback schedule");
            self.tries.note(shard, now);
            // Who left in between drops the grant, which is no try then.
            drop(reply.send(Grant::new(allowance.until, shard.into(), self.tried.0.clone())));
        }
    }

    /// Takes what became of a grant by the fallback schedule.
    fn tried(&mut self, told: &Identified) {
        let Ok(shard) = u32::try_from(told.grant) else { return };
        match told.outcome {
            Outcome::Sent => _ = self.counters.identifies_by_fallback_schedule.inc(),
            Outcome::Unused => self.tries.forget(shard),
            Outcome::Invalid => {
                tracing::warn!(shard, "Discord answered an IDENTIFY by the fallback schedule with op 9");
            }
            Outcome::Ready | Outcome::Failed => {}
        }
    }

    /// Begins one call.
    fn call(&mut self, call: waiting::Call) {
        let operator = self.operator.clone();
        let request = IdentifyRequest { layout: self.layout, shards: call.shards, priority: call.priority };
        let made = self.calls.spawn(async move {
            match operator.post(IDENTIFY_PATH, &request, CALL_TIMEOUT).await {
                Ok(Answer { response, sending }) => {
                    response.json().await.map(|answer| (answer, sending)).map_err(CallError::Garbled)
                }
                Err(error) => Err(error),
            }
        });
        self.made.insert(made.id(), (call.number, call.priority));
    }

    /// Takes the end of one call. One that panicked is over like one that failed, and its shards ask again.
    fn ended(&mut self, ended: Result<(Id, Called), JoinError>) {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let Some((call, priority)) = self.made.remove(&id) else { return };
        let called = ended.map_or_else(|error| Err(CallError::Broken(error)), |(_, called)| called);
        self.called(call, priority, called);
    }

    /// Takes one call's outcome.
    fn called(&mut self, call: u64, priority: Priority, called: Called) {
        let now = Instant::now();
        match called {
            Ok((IdentifyAnswer::Granted { shard, grant, held_ms }, sending)) => {
                self.works();
                let life = self.operator.pace().real_ms(GRANT_VALID_MS);
                let until = sending + Duration::from_millis(held_ms.saturating_add(life));
                self.telling.given(grant, priority);
                let grant = Grant::new(until, grant, self.told.0.clone());
                // Who left in between, or had its allowance, drops the grant, which gives it back.
                if let Some(reply) = self.waiting.take(call, shard) {
                    drop(reply.send(grant));
                } else {
                    tracing::debug!(shard, "the gate granted a shard that does not wait any more");
                }
                self.waiting.end_call(call, now);
            }
            Ok((IdentifyAnswer::NotYet { because, ask_again_after_ms }, _)) => {
                self.works();
                let after =
                    Duration::from_millis(ask_again_after_ms).clamp(*ASK_AGAIN.start(), *ASK_AGAIN.end());
                tracing::debug!(because, ?after, "the gate says not yet");
                self.waiting.end_call(call, now + self.random.spread(after, 1.0, 1.1));
            }
            Err(error) => {
                self.trouble.failed(&error);
                self.not_before = self.not_before.max(now + self.backoff.next(&self.random));
                self.waiting.end_call(call, self.not_before);
            }
        }
    }

    fn works(&mut self) {
        self.trouble.over();
        self.backoff.reset();
    }
}

/// The earlier of two times, either of which may be none.
fn earliest(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

/// Sleeps until then; forever without a time.
fn sleep_until(at: Option<Instant>) -> impl Future<Output = ()> {
    match at {
        Some(at) => tokio::time::sleep_until(at).left_future(),
        None => std::future::pending().right_future(),
    }
}

#[cfg(test)]
mod tests;
