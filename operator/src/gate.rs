//! The gate: hands out permission to IDENTIFY, one task per token.
//!
//! From pods' calls and the limits that plans set, to grants by the rules of [`rules`]. Calls are held until a shard
//! may identify, the hold time is over, or the caller is gone. It is part of the world for the reconcile loop, which
//! sets its limits and reads its figures and never calls it otherwise. It starts closed: a fresh process grants nothing
//! before one identify window has passed and Discord's budget is known. Deliberately absent: HTTP, and who may call.

pub mod rules;

use crate::model::{Fingerprint, GateFigures, GateLayout, GateSetting, GatewaySeen};
use k8s_openapi::jiff::Timestamp;
use rules::{Decision, Limits, State};
use shard_contract::identify::{HOLD_MS, IdentifyAnswer, IdentifyRequest, Outcome, Why};
use shard_contract::layout::shards_of;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

/// A pod that proved who it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Caller {
    /// Its namespace.
    pub namespace: String,
    /// Its bot.
    pub bot: String,
    /// Number of its layout.
    pub layout: u32,
    /// Its ordinal.
    pub ordinal: u32,
    /// Its name.
    pub pod: String,
    /// Its UID.
    pub uid: String,
}

/// Why the gate does not take a call.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Refused {
    /// The request asks for what is not the caller's.
    #[error("{0}")]
    NotYours(String),
    /// The request makes no sense.
    #[error("{0}")]
    Malformed(String),
    /// The gate is closed for this bot.
    #[error("the gate is closed: {0}")]
    Closed(String),
}

/// Counts for metrics.
#[derive(Clone, Copy, Debug, Default)]
pub struct GateTotals {
    /// Grants given.
    pub grants: u64,
    /// Calls that wait.
    pub waiting: u64,
}

/// The gate's handle.
#[derive(Clone, Debug)]
pub struct Gate {
    started: Instant,
    inner: Arc<Mutex<Inner>>,
}

/// Total and pods of each layout that may identify.
type Layouts = BTreeMap<u32, GateLayout>;

#[derive(Debug, Default)]
struct Inner {
    closed: bool,
    bots: HashMap<(String, String), GateSetting>,
    tokens: HashMap<Fingerprint, TokenGate>,
}

#[derive(Clone, Debug)]
struct TokenGate {
    commands: mpsc::Sender<Command>,
    figures: watch::Receiver<(GateFigures, u64)>,
}

#[derive(Debug)]
enum Command {
    Ask { why: Why, waiter: Waiter },
    Identified { pod: String, grant: u64, outcome: Outcome },
    Set(Limits),
    Close,
}

impl Default for Gate {
    fn default() -> Self {
        Self { started: Instant::now(), inner: Arc::default() }
    }
}

impl Gate {
    /// Sets the gate for a bot, as planned.
    pub async fn set(&self, namespace: &str, bot: &str, setting: GateSetting) {
        let order = {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            inner.bots.insert((namespace.to_owned(), bot.to_owned()), setting.clone());
            if let GateSetting::Open { token, reserve_percent, gateway, .. } = setting {
                let started = self.started;
                let gate = inner.tokens.entry(token).or_insert_with(|| open(started));
                Some((gate.commands.clone(), limits(started, &gateway, reserve_percent)))
            } else {
                None
            }
        };
        if let Some((commands, limits)) = order {
            // The task ends only with the process, so a failed send means that this round ends too.
            let _ = commands.send(Command::Set(limits)).await;
        }
    }

    /// Holds a pod's call until one of its shards may identify, or says when to ask again.
    ///
    /// # Errors
    /// [`Refused`] when the gate is closed for the bot or the request is not the caller's to make.
    pub async fn identify(
        &self,
        caller: &Caller,
        request: IdentifyRequest,
    ) -> Result<IdentifyAnswer, Refused> {
        let commands = self.check(caller, &request)?;
        let (reply, answer) = oneshot::channel();
        let IdentifyRequest { layout: _, shards, why } = request;
        let waiter = Waiter { pod: caller.uid.clone(), shards, arrived: Instant::now(), reply };
        let ask = Command::Ask { why, waiter };
        let ended = |_| Refused::Closed("the operator is stopping; ask again".into());
        commands
            .send(ask)
            .await
            .map_err(|_| Refused::Closed("the operator is stopping; ask again".into()))?;
        answer.await.map_err(ended)
    }

    /// Takes note that a grant's IDENTIFY went out, or will not.
    ///
    /// # Errors
    /// [`Refused::Closed`] when the bot has no gate.
    pub async fn identified(&self, caller: &Caller, grant: u64, outcome: Outcome) -> Result<(), Refused> {
        let commands = {
            let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            inner.of(caller)?.1.commands.clone()
        };
        commands
            .send(Command::Identified { pod: caller.uid.clone(), grant, outcome })
            .await
            .map_err(|_| Refused::Closed("the operator is stopping".into()))
    }

    /// Closes for good: answers everybody who waits and grants nothing more. A successor may begin to grant 9 s after its
    /// own start, so this comes before anything else that ends the process.
    pub async fn close(&self) {
        let tokens: Vec<_> = {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            inner.closed = true;
            inner.tokens.values().map(|gate| gate.commands.clone()).collect()
        };
        for commands in tokens {
            // A task that has ended already grants nothing either.
            let _ = commands.send(Command::Close).await;
        }
    }

    /// What the gate counted for a token.
    #[must_use]
    pub fn figures(&self, token: Fingerprint) -> Option<GateFigures> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.tokens.get(&token).map(|gate| gate.figures.borrow().0)
    }

    /// Sums over all tokens.
    #[must_use]
    pub fn totals(&self) -> GateTotals {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.tokens.values().fold(GateTotals::default(), |sum, gate| {
            let (figures, grants) = *gate.figures.borrow();
            GateTotals { grants: sum.grants + grants, waiting: sum.waiting + u64::from(figures.waiting) }
        })
    }

    fn check(&self, caller: &Caller, request: &IdentifyRequest) -> Result<mpsc::Sender<Command>, Refused> {
        if request.shards.is_empty() || request.shards.len() > 256 {
            let found = request.shards.len();
            return Err(Refused::Malformed(format!(
                "shards: found {found}; name 1 to 256 shards of this pod"
            )));
        }
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let (layouts, gate) = inner.of(caller)?;
        if request.layout != caller.layout {
            return Err(Refused::NotYours(format!(
                "layout: found {}; pod {} belongs to layout {}",
                request.layout, caller.pod, caller.layout
            )));
        }
        let &GateLayout { total, pods, turn: _ } = layouts.get(&caller.layout).ok_or_else(|| {
            Refused::Closed(format!("layout {} is not among those that may identify now", caller.layout))
        })?;
        let own = shards_of(caller.ordinal, pods, total);
        match request.shards.iter().find(|shard| !own.contains(shard)) {
            None => Ok(gate.commands.clone()),
            Some(strange) => Err(Refused::NotYours(format!(
                "shards: found {strange}; pod {} holds {} to {} of {total}",
                caller.pod,
                own.start,
                own.end.saturating_sub(1)
            ))),
        }
    }
}

impl Inner {
    fn of(&self, caller: &Caller) -> Result<(&Layouts, &TokenGate), Refused> {
        if self.closed {
            return Err(Refused::Closed("the operator is stopping; ask again".into()));
        }
        let unknown =
            || Refused::Closed(format!("the operator has not planned for {} yet; ask again", caller.bot));
        match self.bots.get(&(caller.namespace.clone(), caller.bot.clone())).ok_or_else(unknown)? {
            GateSetting::Closed(why) => Err(Refused::Closed(why.clone())),
            GateSetting::Open { token, layouts, .. } => {
                Ok((layouts, self.tokens.get(token).ok_or_else(unknown)?))
            }
        }
    }
}

fn open(started: Instant) -> TokenGate {
    let (commands, receiver) = mpsc::channel(1_024);
    let (sender, figures) = watch::channel((GateFigures::default(), 0));
    tokio::spawn(keep(started, receiver, sender));
    TokenGate { commands, figures }
}

/// From Discord's answer, which speaks of wall-clock time, to the gate's own clock.
fn limits(started: Instant, gateway: &GatewaySeen, reserve_percent: u32) -> Limits {
    let now = rules::Millis(millis(started.elapsed()));
    let ago = Timestamp::now().duration_since(gateway.asked_at).unsigned_abs();
    let until = Timestamp::now().duration_until(gateway.resets_at);
    let reset = if until.is_negative() { Duration::ZERO } else { until.unsigned_abs() };
    Limits {
        total: gateway.total,
        remaining: gateway.remaining,
        asked_at: rules::Millis(now.0.saturating_sub(millis(ago))),
        resets_at: rules::Millis(now.0.saturating_add(millis(reset))),
        max_concurrency: gateway.max_concurrency,
        reserve_percent,
    }
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}

/// A call that waits.
#[derive(Debug)]
struct Waiter {
    pod: String,
    shards: Vec<u32>,
    arrived: Instant,
    reply: oneshot::Sender<IdentifyAnswer>,
}

/// One token's task: the only writer of its state.
async fn keep(
    started: Instant,
    mut commands: mpsc::Receiver<Command>,
    figures: watch::Sender<(GateFigures, u64)>,
) {
    let mut state = State::new();
    let mut waiters: BTreeMap<(Why, u64), Waiter> = BTreeMap::new();
    let mut owners: HashMap<u64, String> = HashMap::new();
    let mut arrivals = 0_u64;
    loop {
        let now = rules::Millis(millis(started.elapsed()));
        let wake = serve(&mut state, &mut waiters, &mut owners, now);
        let waiting = waiters.values().map(|waiter| waiter.shards.len()).sum::<usize>();
        let seen = GateFigures {
            remaining: state.remaining(),
            waiting: waiting.try_into().unwrap_or(u32::MAX),
            ..GateFigures::default()
        };
        figures.send_if_modified(|before| {
            let after = (seen, state.granted());
            std::mem::replace(before, after) != after
        });
        let next = tokio::select! {
            command = commands.recv() => match command {
                Some(command) => command,
                None => return,
            },
            () = tokio::time::sleep_until(started + Duration::from_millis(wake.0)) => continue,
        };
        let now = rules::Millis(millis(started.elapsed()));
        match next {
            Command::Ask { why, waiter } => {
                arrivals += 1;
                waiters.insert((why, arrivals), waiter);
            }
            // Only the pod that a grant was given to may speak of it, and only once.
            Command::Identified { pod, grant, outcome } if owners.get(&grant) == Some(&pod) => {
                owners.remove(&grant);
                state.identified(now, grant, outcome != Outcome::Unused);
            }
            Command::Identified { .. } => {}
            Command::Set(limits) => {
                state.set(now, limits);
                owners.retain(|grant, _| state.is_open(*grant));
            }
            // The waiters' ends of their channels go with this task.
            Command::Close => return,
        }
    }
}

/// Answers every waiter that can be answered now, in order; returns when the next one may be.
fn serve(
    state: &mut State,
    waiters: &mut BTreeMap<(Why, u64), Waiter>,
    owners: &mut HashMap<u64, String>,
    now: rules::Millis,
) -> rules::Millis {
    // Callers that went away are noticed at least this often.
    let mut wake = rules::Millis(now.0 + 1_000);
    let keys: Vec<_> = waiters.keys().copied().collect();
    for key in keys {
        let Some(waiter) = waiters.get(&key) else { continue };
        if waiter.reply.is_closed() {
            waiters.remove(&key);
            continue;
        }
        let held_ms = millis(waiter.arrived.elapsed());
        let answer = match state.decide(now, &waiter.shards, key.0) {
            Decision::Grant { shard } => {
                let grant = state.grant(now, shard);
                IdentifyAnswer::Granted { shard, grant, held_ms }
            }
            Decision::WaitUntil { at, because } if held_ms >= HOLD_MS || at.0 > now.0 + 10 * HOLD_MS => {
                let later = at.0.saturating_sub(now.0);
                let ask_again_after_ms = if later > HOLD_MS { later.min(60_000) } else { 0 };
                IdentifyAnswer::NotYet { because, ask_again_after_ms }
            }
            Decision::WaitUntil { at, .. } => {
                wake = wake.min(at);
                continue;
            }
        };
        if let Some(waiter) = waiters.remove(&key) {
            let granted = match answer {
                IdentifyAnswer::Granted { grant, .. } => Some(grant),
                IdentifyAnswer::NotYet { .. } => None,
            };
            let taken = waiter.reply.send(answer).is_ok();
            match granted {
                Some(grant) if taken => drop(owners.insert(grant, waiter.pod)),
                Some(grant) => state.identified(now, grant, false),
                None => {}
            }
        }
    }
    rules::Millis(wake.0.max(now.0 + 1))
}
