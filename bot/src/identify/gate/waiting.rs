//! Who waits for an IDENTIFY, and who is named in the next call to the gate.
//!
//! From asks, outcomes and the clock to calls; pure, with time as an argument, for the task in [`super`]. A call
//! names all shards of the most urgent kind that no other call names. So one call usually names all of them, and a
//! shard that comes while a call is held gets a call of its own instead of waiting for that one's end. A shard whose
//! turn came ([`crate::identify::fallback`]) is taken out of whatever call names it. Guarantee: the gate holds calls for long, so live
//! shards have calls of their own, and no others that wait ever hold them up. Deliberately absent: HTTP.

use std::{collections::BTreeMap, time::Duration};

use shard_contract::identify::Priority;
use tokio::{sync::oneshot, time::Instant};

use super::{Ask, Grant};
use crate::identify::fallback::Waits;

/// Calls that may be open at a time for live shards, and as many for all others. Together two fewer than the gate takes of a
/// pod, since it counts those whose connection broke for a moment longer.
const MAX_CALLS: usize = 3;
/// Shards that one call may name.
const MAX_SHARDS: usize = 256;
/// How long an ask waits for others, so that a pod that starts names its shards together.
const GATHER: Duration = Duration::from_millis(20);

/// The shards that wait.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    shards: BTreeMap<u32, Wait>,
    calls: u64,
    /// Calls that have not ended, and whether each is for live shards.
    open: BTreeMap<u64, bool>,
}

#[derive(Debug)]
struct Wait {
    priority: Priority,
    reply: oneshot::Sender<Grant>,
    since: Instant,
    not_before: Instant,
    call: Option<u64>,
}

/// A call to make.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) number: u64,
    pub(super) priority: Priority,
    pub(super) shards: Vec<u32>,
}

impl Waiting {
    /// Takes a shard in. One that asks again replaces its older ask.
    pub(super) fn add(&mut self, ask: Ask, now: Instant) {
        let call = self.shards.get(&ask.shard).and_then(|wait| wait.call);
        let wait =
            Wait { priority: ask.priority, reply: ask.reply, since: now, not_before: now + GATHER, call };
        self.shards.insert(ask.shard, wait);
    }

    /// The next call to make now, if any: its shards are in it until [`Waiting::end_call`].
    pub(super) fn next_call(&mut self, now: Instant) -> Option<Call> {
        self.shards.retain(|_, wait| !wait.reply.is_closed());
        let room = [self.has_room(false), self.has_room(true)];
        let due = |wait: &Wait| {
            wait.call.is_none()
                && wait.not_before <= now
                && room[usize::from(wait.priority == Priority::Live)]
        };
        let priority = self.shards.values().filter(|wait| due(wait)).map(|wait| wait.priority).min()?;
        self.calls += 1;
        self.open.insert(self.calls, priority == Priority::Live);
        let mut shards = Vec::new();
        for (shard, wait) in &mut self.shards {
            if due(wait) && wait.priority == priority && shards.len() < MAX_SHARDS {
                wait.call = Some(self.calls);
                shards.push(*shard);
            }
        }
        Some(Call { number: self.calls, priority, shards })
    }

    /// When there may be a call to make, as far as known now; none while that needs the end of a call.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        let may = self
            .shards
            .values()
            .filter(|wait| wait.call.is_none() && self.has_room(wait.priority == Priority::Live));
        may.map(|wait| wait.not_before).min()
    }

    /// Whether one more call may be open.
    fn has_room(&self, live: bool) -> bool {
        self.open.values().filter(|is_live| **is_live == live).count() < MAX_CALLS
    }

    /// Takes out the shard that this call was granted.
    pub(super) fn take(&mut self, call: u64, shard: u32) -> Option<oneshot::Sender<Grant>> {
        self.shards.get(&shard).filter(|wait| wait.call == Some(call))?;
        self.shards.remove(&shard).map(|wait| wait.reply)
    }

    /// Who waits now, whether or not a call names it.
    pub(super) fn all(&self) -> impl Iterator<Item = Waits> {
        let open = self.shards.iter().filter(|(_, wait)| !wait.reply.is_closed());
        open.map(|(shard, wait)| Waits { shard: *shard, priority: wait.priority, since: wait.since })
    }

    /// Takes out a shard that needs the gate no more; a call may still name it.
    pub(super) fn take_any(&mut self, shard: u32) -> Option<oneshot::Sender<Grant>> {
        self.shards.remove(&shard).map(|wait| wait.reply)
    }

    /// The call is over; who was in it may be in another from then on.
    pub(super) fn end_call(&mut self, call: u64, not_before: Instant) {
        self.open.remove(&call);
        for wait in self.shards.values_mut().filter(|wait| wait.call == Some(call)) {
            wait.call = None;
            wait.not_before = not_before;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(waiting: &mut Waiting, shard: u32, priority: Priority, now: Instant) -> oneshot::Receiver<Grant> {
        let (reply, granted) = oneshot::channel();
        waiting.add(Ask { shard, priority, reply }, now);
        granted
    }

    fn shards(call: Option<Call>) -> Vec<u32> {
        call.map(|call| call.shards).unwrap_or_default()
    }

    #[test]
    fn one_call_names_all_waiting_shards_of_the_most_urgent_kind() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        let _asks = [
            ask(&mut waiting, 2, Priority::Active, now),
            ask(&mut waiting, 1, Priority::Active, now),
            ask(&mut waiting, 3, Priority::Live, now),
        ];
        assert_eq!(waiting.next_call(now), None, "it gathers for a moment");
        let now = now + GATHER;
        assert_eq!(waiting.next_wake(), Some(now));
        let call = waiting.next_call(now).unwrap();
        assert_eq!((call.priority, call.shards), (Priority::Live, vec![3]));
        assert_eq!(shards(waiting.next_call(now)), [1, 2]);
        assert_eq!(waiting.next_call(now), None);
        assert_eq!(waiting.next_wake(), None);
    }

    #[test]
    fn a_grant_takes_its_shard_out_and_the_others_ask_again() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        let _asks =
            [ask(&mut waiting, 1, Priority::Active, now), ask(&mut waiting, 2, Priority::Active, now)];
        let now = now + GATHER;
        let call = waiting.next_call(now).unwrap();
        assert!(waiting.take(call.number, 7).is_none(), "not asked for");
        assert!(waiting.take(call.number, 2).is_some());
        waiting.end_call(call.number, now);
        assert_eq!(shards(waiting.next_call(now)), [1]);
    }

    #[test]
    fn who_left_is_not_named_and_who_comes_late_gets_a_call_of_its_own() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        let _first = ask(&mut waiting, 1, Priority::Active, now);
        drop(ask(&mut waiting, 2, Priority::Active, now));
        let now = now + GATHER;
        assert_eq!(shards(waiting.next_call(now)), [1]);
        let _late = ask(&mut waiting, 5, Priority::Active, now);
        assert_eq!(shards(waiting.next_call(now + GATHER)), [5]);
    }
    #[test]
    fn others_that_wait_never_hold_a_live_shard_up() {
        let (mut waiting, mut now) = (Waiting::default(), Instant::now());
        let mut asks = Vec::new();
        // Each comes while the calls before it are held.
        let mut named = |waiting: &mut Waiting, shard, priority| {
            asks.push(ask(waiting, shard, priority, now));
            now += GATHER;
            waiting.next_call(now)
        };
        let others = (0..).zip([Priority::Active, Priority::Standby, Priority::Standby]);
        let open: Vec<_> =
            others.map(|(shard, priority)| named(&mut waiting, shard, priority).unwrap().number).collect();
        assert_eq!(named(&mut waiting, 50, Priority::Active), None, "all calls of its kind are open");
        assert_eq!(waiting.next_wake(), None, "the end of a call wakes it");
        for shard in [60, 61, 62] {
            assert_eq!(shards(named(&mut waiting, shard, Priority::Live)), [shard]);
        }
        assert_eq!(named(&mut waiting, 63, Priority::Live), None);
        waiting.end_call(open[0], now);
        let next = waiting.next_call(now).unwrap();
        assert!(next.shards.contains(&50), "{next:?}");
        assert_eq!(waiting.next_call(now), None);
    }
}
