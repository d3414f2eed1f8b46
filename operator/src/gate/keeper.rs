//! One token's task: the only writer of its state, and the one who answers calls.
//!
//! From commands, the clock and the lease to answers, by the rules beside it. Calls are held until a shard may identify, the
//! hold time is over, or the caller is gone; right before each grant the lease is looked at. Grants nothing more once closed.
//! Deliberately absent: who may call, and every rule.

use super::rules::{Decision, DiscordTime, Limits, Millis, Next, Queue, Request, State};
use crate::lease::Leadership;
use crate::model::{BackingOff, GateFigures, GateLayout, GatePod, Tripped};
use shard_contract::identify::{HOLD_MS, IdentifyAnswer, Outcome, Priority};
use shard_contract::pace::Pace;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

/// How often callers that went away are looked for, and figures that follow the clock are made anew.
const LOOK_AROUND_MS: u64 = 1_000;
/// How much later than it was told to a pod may ask again and find its place in line.
const PLACE_KEPT_MS: u64 = 10_000;
/// Commands that are taken at once.
const BATCH: usize = 256;

/// What is said to the task.
#[derive(Debug)]
pub enum Command {
    /// A call that waits.
    Ask {
        /// The caller's UID.
        pod: String,
        /// What it asks for.
        request: Request,
        /// When it came.
        arrived: Instant,
        /// Where it is answered.
        reply: oneshot::Sender<IdentifyAnswer>,
    },
    /// What became of a grant.
    Outcome {
        /// The UID of the pod that says it.
        pod: String,
        /// The grant.
        grant: u64,
        /// What became of it.
        outcome: Outcome,
    },
    /// The token's last bot is gone; the next one's shards are other ones.
    Anew,
    /// A pod has surely heard an answer that was given then.
    Heard {
        /// Its UID.
        pod: String,
        /// When the answer was given.
        given_at: Millis,
    },
    /// What Discord's clock showed.
    Time(DiscordTime),
    /// What a plan sets.
    Set(Box<Setting>),
    /// The end.
    Close,
}

/// What a plan sets.
#[derive(Debug)]
pub struct Setting {
    /// What Discord said.
    pub limits: Limits,
    /// The layouts.
    pub layouts: BTreeMap<u32, GateLayout>,
    /// The pods that run.
    pub pods: Vec<GatePod>,
}

/// What the task counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// For plans and status; none before Discord's answer was known.
    pub figures: Option<GateFigures>,
    /// IDENTIFYs per day.
    pub daily_total: u32,
    /// Grants given, by why they were asked for.
    pub granted: Grants,
    /// Grants that did not reach READY.
    pub failed: u64,
    /// Calls that wait.
    pub calls: usize,
}

/// Grants by priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// For shards that had been online.
    pub live: u64,
    /// For those of a layout with duty.
    pub active: u64,
    /// For those of a layout without.
    pub standby: u64,
}

impl Grants {
    /// Counts one.
    fn count(&mut self, priority: Priority) {
        *match priority {
            Priority::Live => &mut self.live,
            Priority::Active => &mut self.active,
            Priority::Standby => &mut self.standby,
        } += 1;
    }
}

impl std::ops::Add for Grants {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            live: self.live + other.live,
            active: self.active + other.active,
            standby: self.standby + other.standby,
        }
    }
}

/// What the task is started with.
#[derive(Debug)]
pub struct Keeper {
    /// The zero of the gate's clock.
    pub started: Instant,
    /// What its grants are numbered from; no other leader's are.
    pub numbered_from: u64,
    /// How fast Discord's time passes.
    pub pace: Pace,
    /// Whether this process leads.
    pub leadership: watch::Receiver<Leadership>,
    /// Since when it is as if this process led; none: since it leads.
    pub not_before: Option<Instant>,
    /// What is said to it.
    pub commands: mpsc::Receiver<Command>,
    /// What it counts.
    pub counted: watch::Sender<Counted>,
}

/// A call that is held.
struct Held {
    pod: String,
    reply: oneshot::Sender<IdentifyAnswer>,
    until: Millis,
}

/// What it knows.
struct Actor {
    started: Instant,
    pace: Pace,
    leadership: watch::Receiver<Leadership>,
    state: State,
    queue: Queue,
    callers: BTreeMap<u64, Held>,
    /// When each call has been held long enough.
    ends: BTreeSet<(Millis, u64)>,
    /// The places in line of calls that were held long enough, by pod and first shard, and until when they are kept.
    places: HashMap<(String, u32), (u64, Millis)>,
    /// Who may speak of a grant.
    owners: HashMap<u64, String>,
    on_fallback_schedule: u32,
    backing_off: Option<BackingOff>,
    granted: Grants,
    looks_around_at: Millis,
}

impl Keeper {
    /// Runs until it is closed.
    pub async fn run(self) {
        let Self { started, numbered_from, pace, leadership, not_before, mut commands, counted } = self;
        let leads_since = leadership.borrow().since().max(not_before);
        let leads_since = leads_since.map_or(Millis(0), |since| moment(started, since));
        let mut actor = Actor {
            started,
            pace,
            leadership,
            state: State::new(leads_since, numbered_from),
            queue: Queue::default(),
            callers: BTreeMap::new(),
            ends: BTreeSet::new(),
            places: HashMap::new(),
            owners: HashMap::new(),
            on_fallback_schedule: 0,
            backing_off: None,
            granted: Grants::default(),
            looks_around_at: Millis(0),
        };
        let mut batch = Vec::new();
        loop {
            let wake = actor.work();
            let seen = actor.counted();
            counted.send_if_modified(|before| std::mem::replace(before, seen) != seen);
            tokio::select! {
                biased;
                taken = commands.recv_many(&mut batch, BATCH) => if taken == 0 { return },
                () = tokio::time::sleep_until(started + Duration::from_millis(wake.0)) => {}
            }
            for command in batch.drain(..) {
                if matches!(command, Command::Close) {
                    // The callers' ends of their channels go with this task.
                    return;
                }
                actor.take(command);
            }
        }
    }
}

impl Actor {
    fn now(&self) -> Millis {
        moment(self.started, Instant::now())
    }

    fn hold_ms(&self) -> u64 {
        self.pace.real_ms(HOLD_MS)
    }

    fn take(&mut self, command: Command) {
        let now = self.now();
        match command {
            Command::Ask { pod, request, arrived, reply } => self.ask(now, pod, &request, arrived, reply),
            // Only the pod that a grant was given to may speak of it.
            Command::Outcome { pod, grant, outcome } if self.owners.get(&grant) == Some(&pod) => {
                self.state.outcome(now, grant, outcome);
                if !self.state.remembers(grant) {
                    self.owners.remove(&grant);
                }
            }
            Command::Heard { pod, given_at } => self.state.heard(now, &pod, given_at.min(now)),
            Command::Time(time) => self.state.tell_time(time),
            Command::Set(setting) => self.set(now, *setting),
            Command::Anew => self.state.begin_anew(),
            Command::Outcome { .. } | Command::Close => {}
        }
    }

    fn set(&mut self, now: Millis, setting: Setting) {
        let Setting { limits, layouts, pods } = setting;
        let layouts = layouts.into_iter().map(|(number, layout)| (number, layout.fallback_slot, layout.pods));
        let pods = pods.into_iter().map(|pod| (pod.uid, pod.layout, pod.ordinal));
        self.state.set_pods(now, limits.pace, layouts, pods);
        self.state.set(now, limits);
        self.queue.resize(self.state.concurrency());
        let state = &self.state;
        self.owners.retain(|grant, _| state.remembers(*grant));
        self.looks_around_at = now;
    }

    fn ask(
        &mut self,
        now: Millis,
        pod: String,
        request: &Request,
        arrived: Instant,
        reply: oneshot::Sender<IdentifyAnswer>,
    ) {
        let first = self.state.greet(&pod);
        let not_yet = match self.state.decide(now, request) {
            _ if first => Some(IdentifyAnswer::NotYet {
                because: "the operator leads since a short while and hears this pod for the first time"
                    .into(),
                ask_again_after_ms: 0,
            }),
            Decision::WaitUntil { at, because } if at.since(now) > 10 * self.hold_ms() => {
                Some(later(at.since(now), self.hold_ms(), because))
            }
            Decision::WaitUntil { .. } | Decision::Grant { .. } => None,
        };
        if let Some(answer) = not_yet {
            // A caller that is gone needs none.
            let _ = reply.send(answer);
            return;
        }
        let arrived = moment(self.started, arrived);
        let place = request.shards.first().and_then(|first| self.places.remove(&(pod.clone(), *first)));
        let call = place.map(|(call, _)| call);
        let call = self.queue.push(call, arrived, request.layout, &request.shards, request.priority);
        let until = arrived.after(hold_of(call, self.hold_ms()));
        self.ends.insert((until, call));
        self.callers.insert(call, Held { pod, reply, until });
    }

    /// Holds a call no longer.
    fn release(&mut self, call: u64) -> Option<Held> {
        let held = self.callers.remove(&call)?;
        self.ends.remove(&(held.until, call));
        Some(held)
    }

    /// Serves whoever can be served, in order; returns when somebody may be next.
    fn work(&mut self) -> Millis {
        let now = self.now();
        let lapses = self.state.lapse(now);
        if self.looks_around_at <= now {
            self.look_around(now);
        }
        self.dismiss(now);
        let mut wake = self.looks_around_at;
        loop {
            let now = self.now();
            match self.queue.next(&self.state, now) {
                Next::Serve { call, shard } => {
                    // Without the lease there is nothing to wait for: it ends the process, or is renewed before the next look.
                    if !self.leadership.borrow().holds(Instant::now()) {
                        break;
                    }
                    self.grant(now, call, shard);
                }
                Next::Wait(at) => {
                    wake = wake.min(at.unwrap_or(wake));
                    break;
                }
            }
        }
        let ends = self.ends.first().map(|(until, _)| *until);
        [ends, lapses].into_iter().flatten().fold(wake, Millis::min).max(now.after(1))
    }

    fn grant(&mut self, now: Millis, call: u64, shard: u32) {
        let Some(waited) = self.queue.remove(call) else { return };
        let Some(Held { pod, reply, .. }) = self.release(call) else { return };
        if reply.is_closed() {
            return;
        }
        let grant = self.state.grant(now, waited.layout, shard);
        self.granted.count(waited.priority);
        let answer = IdentifyAnswer::Granted { shard, grant, held_ms: now.since(waited.arrived) };
        if reply.send(answer).is_ok() {
            self.owners.insert(grant, pod);
        } else {
            self.state.outcome(now, grant, Outcome::Unused);
        }
    }

    /// Answers those who were held long enough.
    fn dismiss(&mut self, now: Millis) {
        while let Some(&(until, call)) = self.ends.first() {
            if until > now {
                return;
            }
            let shards = self.queue.shards(call);
            let (Some(held), Some(waited)) = (self.release(call), self.queue.remove(call)) else { continue };
            let request = Request { layout: waited.layout, shards, priority: waited.priority };
            let answer = match self.state.decide(now, &request) {
                Decision::WaitUntil { at, because } => later(at.since(now), self.hold_ms(), because),
                Decision::Grant { .. } => {
                    later(0, self.hold_ms(), "this replica waits to renew its lease".to_owned())
                }
            };
            if let (IdentifyAnswer::NotYet { ask_again_after_ms, .. }, Some(first)) =
                (&answer, request.shards.first())
            {
                let until = now.after(*ask_again_after_ms + PLACE_KEPT_MS);
                self.places.insert((held.pod, *first), (call, until));
            }
            let _ = held.reply.send(answer);
        }
    }

    fn look_around(&mut self, now: Millis) {
        let gone: Vec<u64> =
            self.callers.iter().filter(|(_, held)| held.reply.is_closed()).map(|(call, _)| *call).collect();
        for call in gone {
            self.release(call);
            self.queue.remove(call);
        }
        self.places.retain(|_, (_, until)| *until > now);
        self.on_fallback_schedule = self.state.on_fallback_schedule(now);
        let (shards, longest_ms) = self.state.backing_off(now);
        self.backing_off =
            (shards > 0).then(|| BackingOff { shards, longest_seconds: longest_ms.div_ceil(1_000) });
        self.looks_around_at = now.after(LOOK_AROUND_MS);
    }

    fn counted(&self) -> Counted {
        let tripped = |(failures, next_probe_seconds)| Tripped { failures, next_probe_seconds };
        Counted {
            figures: self.state.is_set().then(|| GateFigures {
                remaining: self.state.remaining(),
                waiting: self.queue.waiting().try_into().unwrap_or(u32::MAX),
                breaker: self.state.tripped(self.now()).map(tripped),
                unattributed: self.state.unattributed(),
                judged: self.state.judged(),
                on_fallback_schedule: self.on_fallback_schedule,
                backing_off: self.backing_off,
            }),
            daily_total: self.state.daily_total(),
            granted: self.granted,
            failed: self.state.failed(),
            calls: self.callers.len(),
        }
    }
}

/// How long a call is held: the last fifth is spread over calls, so that those that came together do not all ask again in one
/// moment and keep grants waiting.
fn hold_of(call: u64, hold_ms: u64) -> u64 {
    // The golden ratio's fraction: neighbours lie far apart, and all of them evenly.
    let spread = call.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    hold_ms - ((hold_ms / 5 * spread) >> 32)
}

fn later(wait_ms: u64, hold_ms: u64, because: String) -> IdentifyAnswer {
    let ask_again_after_ms = if wait_ms > hold_ms { wait_ms.min(60_000) } else { 0 };
    IdentifyAnswer::NotYet { because, ask_again_after_ms }
}

/// A span in milliseconds.
pub fn millis(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}

/// A moment on the gate's clock; cut to whole milliseconds, so never later than it was.
pub fn moment(started: Instant, at: Instant) -> Millis {
    Millis(at.duration_since(started).as_millis().try_into().unwrap_or(u64::MAX))
}
