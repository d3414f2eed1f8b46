//! The gate, seen from the pod: no shard sends an IDENTIFY before it holds a [`Grant`].
//!
//! One task owns all shards that wait and asks the operator for them together ([`waiting`] decides who is in the next
//! call, [`crate::operator`] makes it). Flow: a shard's `ask` -> a call that the gate holds -> a grant with an end on
//! our monotonic clock -> `sent` or dropped, which is told at once, since the bucket's next grant waits for that
//! word.
//!
//! Guarantees: a grant that cannot be used is given back; a grant is used at most once; the gate being away, refusing
//! or slow never ends the wait, and is logged once per change. A local run has no operator: twilight's own queue
//! paces it. Deliberately absent: the schedule of turns for when no replica answers; which shard waits for how long
//! (that is the gate's).

mod waiting;

use std::{sync::Arc, time::Duration};

use futures::FutureExt as _;
use shard_contract::identify::{
    GRANT_VALID_MS, HOLD_MS, IDENTIFIED_PATH, IDENTIFY_PATH, Identified, IdentifyAnswer, IdentifyRequest,
    Outcome, Why,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::Instant,
};
use twilight_gateway::queue::{InMemoryQueue, Queue as _};

use self::waiting::Waiting;
use crate::{
    backoff::{Backoff, spread},
    operator::{CallError, Operator},
    trouble::Trouble,
};

/// Calls that one pod has open at a time.
const MAX_CALLS: usize = 4;
/// The gate answers within its hold; the rest is for the way.
const CALL_TIMEOUT: Duration = Duration::from_millis(HOLD_MS + 5_000);
/// A word about a grant that comes later than this is of no use: the grant counts as used at its end.
const TELL_WITHIN: Duration = Duration::from_millis(GRANT_VALID_MS);
/// The gate says when to ask again; a mistaken answer neither makes a hot loop nor silences the pod.
const ASK_AGAIN: std::ops::RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_mins(1);

/// Where shards ask for permission to IDENTIFY.
#[derive(Clone, Debug)]
pub(crate) enum Gate {
    /// The operator's.
    Operator(mpsc::UnboundedSender<Ask>),
    /// None: this process is the whole bot.
    Local(Arc<InMemoryQueue>),
}

/// A shard that waits.
#[derive(Debug)]
pub(crate) struct Ask {
    shard: u32,
    why: Why,
    reply: oneshot::Sender<Grant>,
}

/// Permission to send one IDENTIFY. Dropped without [`Grant::sent`] it is given back.
#[derive(Debug)]
pub(crate) struct Grant {
    until: Option<Instant>,
    tell: Option<(u64, mpsc::UnboundedSender<Identified>)>,
}

impl Grant {
    /// Whether the IDENTIFY may still go out.
    pub(crate) fn is_valid(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() < until)
    }

    /// The IDENTIFY went out.
    pub(crate) fn sent(mut self) {
        self.tell(true);
    }

    fn tell(&mut self, sent: bool) {
        if let Some((grant, tell)) = self.tell.take() {
            // Only fails when the process is ending.
            let outcome = if sent { Outcome::Sent } else { Outcome::Unused };
            _ = tell.send(Identified { grant, outcome });
        }
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.tell(false);
    }
}

#[cfg(test)]
impl Grant {
    /// A grant that ends then, and what is told about it.
    pub(crate) fn until(until: Instant) -> (Self, mpsc::UnboundedReceiver<Identified>) {
        let (tell, told) = mpsc::unbounded_channel();
        (Self { until: Some(until), tell: Some((1, tell)) }, told)
    }
}

impl Gate {
    /// The operator's gate, asked by a task of its own for the pods of `layout`.
    pub(crate) fn of(operator: Operator, layout: u32) -> Self {
        let (asks, received) = mpsc::unbounded_channel();
        tokio::spawn(Asking::new(operator, layout).run(received));
        Self::Operator(asks)
    }

    /// Waits until this shard may send an IDENTIFY. Dropping the future ends the wait.
    pub(crate) async fn ask(self, shard: u32, why: Why) -> Grant {
        let granted = match &self {
            Self::Operator(asks) => {
                let (reply, granted) = oneshot::channel();
                // Only fails when the process is ending; then nobody is granted anything any more.
                _ = asks.send(Ask { shard, why, reply });
                granted.await.ok()
            }
            Self::Local(queue) => queue.enqueue(shard).await.ok().map(|()| Grant { until: None, tell: None }),
        };
        match granted {
            Some(grant) => grant,
            None => std::future::pending().await,
        }
    }
}

/// One call's outcome.
struct Called {
    call: u64,
    sending: Instant,
    outcome: Result<IdentifyAnswer, CallError>,
}

/// The task that asks.
struct Asking {
    operator: Operator,
    layout: u32,
    waiting: Waiting,
    calls: JoinSet<Called>,
    backoff: Backoff,
    not_before: Instant,
    trouble: Trouble,
    told: (mpsc::UnboundedSender<Identified>, mpsc::UnboundedReceiver<Identified>),
}

impl Asking {
    fn new(operator: Operator, layout: u32) -> Self {
        Self {
            operator,
            layout,
            waiting: Waiting::default(),
            calls: JoinSet::new(),
            backoff: Backoff::new(Duration::from_millis(500), Duration::from_secs(10)),
            not_before: Instant::now(),
            trouble: Trouble::new("ask the gate for an IDENTIFY"),
            told: mpsc::unbounded_channel(),
        }
    }

    async fn run(mut self, mut asks: mpsc::UnboundedReceiver<Ask>) {
        loop {
            let now = Instant::now();
            while now >= self.not_before
                && self.calls.len() < MAX_CALLS
                && let Some(call) = self.waiting.next_call(now)
            {
                self.call(call);
            }
            // With all calls open the end of one of them wakes the task.
            let room = self.calls.len() < MAX_CALLS;
            let wake = self.waiting.next_wake().map(|at| at.max(self.not_before)).filter(|_| room);
            tokio::select! {
                ask = asks.recv() => match ask {
                    Some(ask) => self.waiting.add(ask, Instant::now()),
                    None => return,
                },
                Some(told) = self.told.1.recv() => self.tell(told),
                Some(Ok(called)) = self.calls.join_next(), if !self.calls.is_empty() => self.called(called),
                () = sleep_until(wake), if wake.is_some() => {}
            }
        }
    }

    /// Begins one call.
    fn call(&mut self, call: waiting::Call) {
        let operator = self.operator.clone();
        let request = IdentifyRequest { layout: self.layout, shards: call.shards, why: call.why };
        self.calls.spawn(async move {
            let sending = Instant::now();
            let answered = operator.post(IDENTIFY_PATH, &request, CALL_TIMEOUT).await;
            let outcome = match answered {
                Ok(response) => response.json().await.map_err(CallError::Garbled),
                Err(error) => Err(error),
            };
            Called { call: call.number, sending, outcome }
        });
    }

    /// Takes one call's outcome.
    fn called(&mut self, Called { call, sending, outcome }: Called) {
        let now = Instant::now();
        match outcome {
            Ok(IdentifyAnswer::Granted { shard, grant, held_ms }) => {
                self.works();
                let until = sending + Duration::from_millis(held_ms.saturating_add(GRANT_VALID_MS));
                let grant = Grant { until: Some(until), tell: Some((grant, self.told.0.clone())) };
                if let Some(reply) = self.waiting.take(call, shard) {
                    // Who left in between drops the grant, which gives it back.
                    drop(reply.send(grant));
                } else {
                    tracing::warn!(shard, "the gate granted a shard that was not asked for");
                }
                self.waiting.end_call(call, now);
            }
            Ok(IdentifyAnswer::NotYet { because, ask_again_after_ms }) => {
                self.works();
                let after =
                    Duration::from_millis(ask_again_after_ms).clamp(*ASK_AGAIN.start(), *ASK_AGAIN.end());
                tracing::debug!(because, ?after, "the gate says not yet");
                self.waiting.end_call(call, now + after.mul_f64(rand::random_range(1.0..1.1)));
            }
            Err(error) => {
                self.trouble.failed(&error);
                self.not_before = self.not_before.max(now + self.backoff.next());
                self.waiting.end_call(call, self.not_before);
            }
        }
    }

    fn works(&mut self) {
        self.trouble.over();
        self.backoff.reset();
    }

    /// Tells what became of a grant, at once and until it is of no use any more.
    fn tell(&self, told: Identified) {
        let operator = self.operator.clone();
        tokio::spawn(async move {
            let telling = async {
                let mut wait = Duration::from_millis(100);
                loop {
                    match operator.post(IDENTIFIED_PATH, &told, TELL_WITHIN).await {
                        Ok(_) => return,
                        Err(error) => tracing::debug!(grant = told.grant, %error, "could not tell the gate"),
                    }
                    tokio::time::sleep(spread(wait)).await;
                    wait *= 2;
                }
            };
            if tokio::time::timeout(TELL_WITHIN, telling).await.is_err() {
                tracing::warn!(
                    grant = told.grant,
                    outcome = ?told.outcome,
                    "could not tell the gate what became of a grant"
                );
            }
        });
    }
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
