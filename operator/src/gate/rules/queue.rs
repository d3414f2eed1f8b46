//! Who waits, and who is served first.
//!
//! From calls to the next grant: within a bucket live before active before standby, then first come; between free buckets
//! the same. Each shard of a call waits in its bucket's line, or aside while it backs off, so that a grant costs the number of
//! buckets with waiters and a logarithm of the number of calls. Deliberately absent: who called, and how they are answered.

use super::clock::Millis;
use super::state::State;
use shard_contract::identify::Priority;
use std::collections::BTreeMap;

/// A shard's place in its line: class, arrival of its call, position in the call.
type Place = (Priority, u64, u16);

/// All calls that wait for one token.
#[derive(Debug, Default)]
pub struct Queue {
    arrivals: u64,
    count: u32,
    waiting: usize,
    calls: BTreeMap<u64, Call>,
    lines: BTreeMap<u32, BTreeMap<Place, u32>>,
    /// Shards that back off, by when they may come back.
    aside: BTreeMap<(Millis, u64, u16), u32>,
}

/// A call that waits.
#[derive(Clone, Debug)]
pub struct Call {
    /// Number of its layout.
    pub layout: u32,
    /// How urgent its shards are.
    pub priority: Priority,
    /// When it came.
    pub arrived: Millis,
    shards: Vec<Waiting>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    shard: u32,
    aside: Option<Millis>,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// This call is to be granted this shard.
    Serve {
        /// The call's arrival.
        call: u64,
        /// The shard.
        shard: u32,
    },
    /// Nobody can be served before then, unless something happens.
    Wait(Option<Millis>),
}

impl Queue {
    /// How many calls wait.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.calls.len()
    }

    /// How many shards wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// The shards of a call, in its order.
    #[must_use]
    pub fn shards(&self, call: u64) -> Vec<u32> {
        self.calls.get(&call).map_or_else(Vec::new, |call| call.shards.iter().map(|one| one.shard).collect())
    }

    /// Lets a call wait, in the place of one that went if one is named; returns its arrival.
    pub fn push(
        &mut self,
        place: Option<u64>,
        now: Millis,
        layout: u32,
        shards: &[u32],
        priority: Priority,
    ) -> u64 {
        let place = place.filter(|place| *place <= self.arrivals && !self.calls.contains_key(place));
        let arrival = place.unwrap_or_else(|| {
            self.arrivals += 1;
            self.arrivals
        });
        let shards: Vec<_> = shards.iter().map(|shard| Waiting { shard: *shard, aside: None }).collect();
        for (position, one) in (0_u16..).zip(&shards) {
            self.line(one.shard).insert((priority, arrival, position), one.shard);
        }
        self.waiting += shards.len();
        self.calls.insert(arrival, Call { layout, priority, arrived: now, shards });
        arrival
    }

    /// Lets a call go.
    pub fn remove(&mut self, arrival: u64) -> Option<Call> {
        let call = self.calls.remove(&arrival)?;
        for (position, one) in (0_u16..).zip(&call.shards) {
            match one.aside {
                Some(at) => drop(self.aside.remove(&(at, arrival, position))),
                None => self.unline(one.shard, (call.priority, arrival, position)),
            }
        }
        self.waiting -= call.shards.len();
        Some(call)
    }

    /// With other buckets all lines are made anew.
    pub fn resize(&mut self, count: u32) {
        if self.count == count {
            return;
        }
        self.count = count;
        let places: Vec<_> = std::mem::take(&mut self.lines).into_values().flatten().collect();
        for (place, shard) in places {
            self.line(shard).insert(place, shard);
        }
    }

    /// Who is served next.
    pub fn next(&mut self, state: &State, now: Millis) -> Next {
        if self.calls.is_empty() {
            return Next::Wait(None);
        }
        if let Some((at, _)) = state.closed(now) {
            return Next::Wait(Some(at));
        }
        self.bring_back(now);
        loop {
            let mut wake = self.aside.first_key_value().map(|((at, ..), _)| *at);
            let mut first: Option<(Place, u32)> = None;
            for line in self.lines.values() {
                let Some((&place, &shard)) = line.first_key_value() else { continue };
                let spent = state.spent(now, place.0).map_or(Millis(0), |(at, _)| at);
                let free_at = state.bucket_free_at(shard).max(spent);
                if free_at > now {
                    wake = Some(wake.map_or(free_at, |wake| wake.min(free_at)));
                } else if first.is_none_or(|(before, _)| place < before) {
                    first = Some((place, shard));
                }
            }
            let Some(((priority, call, position), shard)) = first else { return Next::Wait(wake) };
            let layout = self.calls.get(&call).map_or(0, |call| call.layout);
            let until = state.backs_off_until(now, layout, shard);
            if until <= now {
                return Next::Serve { call, shard };
            }
            self.unline(shard, (priority, call, position));
            self.aside.insert((until, call, position), shard);
            self.mark(call, position, Some(until));
        }
    }

    fn bring_back(&mut self, now: Millis) {
        while let Some((&(at, call, position), &shard)) = self.aside.first_key_value() {
            if at > now {
                return;
            }
            self.aside.pop_first();
            if let Some(priority) = self.mark(call, position, None) {
                self.line(shard).insert((priority, call, position), shard);
            }
        }
    }

    fn mark(&mut self, call: u64, position: u16, aside: Option<Millis>) -> Option<Priority> {
        let call = self.calls.get_mut(&call)?;
        call.shards.get_mut(usize::from(position))?.aside = aside;
        Some(call.priority)
    }

    fn line(&mut self, shard: u32) -> &mut BTreeMap<Place, u32> {
        self.lines.entry(shard % self.count.max(1)).or_default()
    }

    fn unline(&mut self, shard: u32, place: Place) {
        let bucket = shard % self.count.max(1);
        if let Some(line) = self.lines.get_mut(&bucket) {
            line.remove(&place);
            if line.is_empty() {
                self.lines.remove(&bucket);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::rules::Limits;
    use shard_contract::identify::Outcome;
    use shard_contract::pace::Pace;

    const START: Millis = Millis(100_000);

    fn state(max_concurrency: u32, remaining: u32) -> State {
        let mut state = State::new(Millis(0), 0);
        let limits = Limits {
            total: 1_000,
            remaining,
            asked_at: START,
            resets_at: Millis(80_000_000),
            max_concurrency,
            reserve_percent: 20,
            pace: Pace::REAL,
        };
        state.set(START, limits);
        state
    }

    /// Serves whoever is next, each at the moment that its turn comes; returns calls and shards.
    fn served(queue: &mut Queue, state: &mut State, mut now: Millis, most: usize) -> Vec<(u64, u32)> {
        let mut served = Vec::new();
        while served.len() < most {
            match queue.next(state, now) {
                Next::Serve { call, shard } => {
                    let layout = queue.remove(call).unwrap().layout;
                    let grant = state.grant(now, layout, shard);
                    state.outcome(now, grant, Outcome::Sent);
                    served.push((call, shard));
                }
                Next::Wait(Some(at)) => {
                    assert!(at > now, "waiting for the past is a hot loop");
                    now = at;
                }
                Next::Wait(None) => break,
            }
        }
        served
    }

    #[test]
    fn within_a_bucket_live_comes_before_active_before_standby_and_then_whoever_came_first() {
        let mut queue = Queue::default();
        queue.resize(2);
        let (mut state, mut now) = (state(2, 900), START);
        let mut push = |shard: u32, priority: Priority| {
            now = now.after(1_000);
            queue.push(None, now, 1, &[shard], priority)
        };
        let standby = push(1, Priority::Standby);
        let active = [push(3, Priority::Active), push(5, Priority::Active)];
        let live = [push(7, Priority::Live), push(9, Priority::Live)];
        let order = served(&mut queue, &mut state, now, 9);
        let wanted = [(live[0], 7), (live[1], 9), (active[0], 3), (active[1], 5), (standby, 1)];
        assert_eq!(order, wanted, "also when a lower class waited longer");
    }

    #[test]
    fn another_bucket_is_not_held_up_by_a_line() {
        let mut queue = Queue::default();
        queue.resize(2);
        let mut state = state(2, 900);
        let odd = [1, 3].map(|shard| queue.push(None, START, 1, &[shard], Priority::Live));
        let even = queue.push(None, START, 1, &[2], Priority::Standby);
        assert_eq!(served(&mut queue, &mut state, START, 9), [(odd[0], 1), (even, 2), (odd[1], 3)]);
    }

    #[test]
    fn below_the_reserve_live_calls_are_served_past_the_others() {
        let mut queue = Queue::default();
        queue.resize(1);
        let mut state = state(1, 200);
        queue.push(None, START, 1, &[0], Priority::Active);
        let live = queue.push(None, START, 1, &[4], Priority::Live);
        assert_eq!(served(&mut queue, &mut state, START, 1), [(live, 4)]);
        let Next::Wait(Some(at)) = queue.next(&state, START.after(9_000)) else { panic!("nobody is served") };
        assert_eq!(at, Millis(80_000_000));
    }

    #[test]
    fn a_shard_that_backs_off_steps_aside_and_comes_back() {
        let mut queue = Queue::default();
        queue.resize(1);
        let mut state = state(1, 900);
        let mut now = START;
        for _ in 0..4 {
            let grant = state.grant(now, 1, 0);
            state.outcome(now, grant, Outcome::Failed);
            now = now.after(20_000);
        }
        // Failed four times, the last time 20 s ago: no wait is left; twice more, and 80 s are.
        for _ in 0..2 {
            let grant = state.grant(now, 1, 0);
            state.outcome(now, grant, Outcome::Failed);
        }
        let both = queue.push(None, now, 1, &[0, 1], Priority::Active);
        assert_eq!(served(&mut queue, &mut state, now, 1), [(both, 1)], "the other shard of the call");
        let failing = queue.push(None, now, 1, &[0], Priority::Live);
        let other = queue.push(None, now, 1, &[2], Priority::Standby);
        assert_eq!(served(&mut queue, &mut state, now, 2), [(other, 2), (failing, 0)]);
        assert_eq!((queue.calls(), queue.waiting()), (0, 0));
        assert!(queue.aside.is_empty() && queue.lines.is_empty(), "nothing is left behind");
    }

    #[test]
    fn who_comes_back_to_its_place_is_served_before_who_came_meanwhile() {
        let mut queue = Queue::default();
        queue.resize(1);
        let mut state = state(1, 900);
        let (first, second) = (
            queue.push(None, START, 1, &[0], Priority::Active),
            queue.push(None, START, 1, &[1], Priority::Active),
        );
        queue.remove(first);
        assert_eq!(queue.push(Some(first), START.after(30), 1, &[0], Priority::Active), first);
        let stolen = queue.push(Some(first), START.after(30), 1, &[2], Priority::Active);
        assert!(stolen > second, "a place is held once");
        assert_eq!(served(&mut queue, &mut state, START.after(60), 2), [(first, 0), (second, 1)]);
    }

    #[test]
    fn a_call_that_goes_leaves_nothing_and_new_buckets_keep_the_order() {
        let mut queue = Queue::default();
        queue.resize(1);
        let (mut state, first) = (state(3, 900), queue.push(None, START, 1, &[0, 1, 2], Priority::Active));
        let second = queue.push(None, START, 1, &[3], Priority::Active);
        queue.resize(3);
        assert_eq!((queue.waiting(), queue.shards(first).len()), (4, 3));
        queue.remove(first);
        assert_eq!(served(&mut queue, &mut state, START, 9), [(second, 3)]);
        assert!(queue.lines.is_empty());
    }
}
