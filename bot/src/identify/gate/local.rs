//! The gate of a local run: this process is the whole bot, so it grants to itself.
//!
//! From shards that wait and what Discord said at the start to grants, by the same rules of buckets as the operator's gate
//! ([`shard_contract::buckets`]): all buckets at once, 5.12 s between two IDENTIFYs of one, more after an op 9, none beyond the daily
//! budget. Deliberately absent: other processes with the same token, and what outlives this one.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use shard_contract::{
    buckets::{Buckets, Millis},
    identify::{GRANT_VALID_MS, Identified, Outcome},
    pace::Pace,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::{Ask, Grant};
use crate::edges::discord::Limits;

/// Discord's count begins anew after a day.
const DAY: Duration = Duration::from_hours(24);

/// The task.
pub(super) struct Granting {
    buckets: Buckets,
    waiting: VecDeque<Ask>,
    /// Shards by the grants that their buckets still wait for a word on.
    granted: BTreeMap<u64, u32>,
    next: u64,
    total: u32,
    left: u32,
    resets_at: Instant,
    started: Instant,
    told: (mpsc::UnboundedSender<Identified>, mpsc::UnboundedReceiver<Identified>),
}

impl Granting {
    pub(super) fn new(limits: &Limits) -> Self {
        let now = Instant::now();
        Self {
            buckets: Buckets::new(limits.max_concurrency.into(), Pace::REAL),
            waiting: VecDeque::new(),
            granted: BTreeMap::new(),
            next: 1,
            total: limits.total,
            left: limits.remaining,
            resets_at: now + limits.reset_after,
            started: now,
            told: mpsc::unbounded_channel(),
        }
    }

    /// Grants until nobody can ask any more.
    pub(super) async fn run(mut self, mut asks: mpsc::UnboundedReceiver<Ask>) {
        loop {
            let wake = self.grant_all();
            tokio::select! {
                biased;
                ask = asks.recv() => match ask {
                    Some(ask) => self.waiting.push_back(ask),
                    None => return,
                },
                Some(told) = self.told.1.recv() => self.told(&told),
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
            }
        }
    }

    /// Grants what can be granted, in the order of asking; when more can be.
    fn grant_all(&mut self) -> Option<Instant> {
        let now = Instant::now();
        if now >= self.resets_at {
            (self.left, self.resets_at) = (self.total, now + DAY);
        }
        let mut free_at = None;
        for ask in std::mem::take(&mut self.waiting) {
            if ask.reply.is_closed() {
                continue;
            }
            let at = self.at(self.buckets.free_at(ask.shard));
            if self.left > 0 && at <= now {
                self.grant(ask, now);
                continue;
            }
            let at = if self.left > 0 { at } else { self.resets_at };
            free_at = Some(free_at.map_or(at, |soonest: Instant| soonest.min(at)));
            self.waiting.push_back(ask);
        }
        free_at
    }

    fn grant(&mut self, Ask { shard, reply, .. }: Ask, now: Instant) {
        let number = self.next;
        self.next += 1;
        self.left -= 1;
        self.buckets.take(self.millis(now), shard, number);
        self.granted.insert(number, shard);
        let until = now + Duration::from_millis(GRANT_VALID_MS);
        // Who left in between drops the grant, which gives it back.
        drop(reply.send(Grant::new(until, number, self.told.0.clone())));
    }

    fn told(&mut self, &Identified { grant, outcome }: &Identified) {
        let Some(shard) = self.granted.get(&grant).copied() else { return };
        let now = self.millis(Instant::now());
        match outcome {
            Outcome::Sent => self.buckets.sent(now, shard, grant),
            Outcome::Unused => {
                self.buckets.give_back(now, shard, grant);
                self.left += 1;
            }
            Outcome::Invalid => self.buckets.invalid(now, shard, grant),
            Outcome::Ready | Outcome::Failed => {}
        }
        if outcome != Outcome::Sent {
            self.granted.remove(&grant);
        }
        self.buckets.forget(now);
    }

    fn millis(&self, at: Instant) -> Millis {
        let since = at.saturating_duration_since(self.started).as_millis();
        Millis(u64::try_from(since).unwrap_or(u64::MAX))
    }

    fn at(&self, at: Millis) -> Instant {
        self.started + Duration::from_millis(at.0)
    }
}

#[cfg(test)]
mod tests {
    use shard_contract::identify::Priority;
    use shard_machine::{Machine, Random};

    use super::{super::Gate, *};

    fn limits(remaining: u32, max_concurrency: u16) -> Limits {
        let reset_after = Duration::from_hours(2);
        Limits { total: 1_000, remaining, reset_after, max_concurrency, reading: None }
    }

    #[tokio::test(start_paused = true)]
    async fn all_buckets_at_once_and_what_arrives_at_discord_is_5_seconds_apart_at_any_travel_time() {
        let gate = Gate::local(&limits(1_000, 4), &Machine::this());
        let begun = Instant::now();
        let arrive = (0..16).map(|shard| {
            let gate = gate.clone();
            async move {
                let mut grant = gate.ask(shard, Priority::Active).await;
                let at = begun.elapsed();
                grant.sent();
                let travel = Random::seeded(shard.into()).spread(Duration::from_millis(50), 0.4, 1.6);
                tokio::time::sleep(travel).await;
                grant.ready();
                (shard % 4, at, at + travel)
            }
        });
        let mut arrived = futures::future::join_all(arrive).await;
        assert_eq!(arrived.iter().filter(|(_, at, _)| at.is_zero()).count(), 4, "one of each bucket at once");
        arrived.sort();
        for pair in arrived.chunk_by(|one, next| one.0 == next.0).flat_map(|bucket| bucket.windows(2)) {
            assert!(pair[1].2 >= pair[0].2 + Duration::from_secs(5), "{pair:?}");
        }
        assert!(begun.elapsed() < Duration::from_secs(17));
    }

    #[tokio::test(start_paused = true)]
    async fn an_op_9_spaces_its_bucket_and_a_grant_that_is_not_used_is_given_back() {
        let gate = Gate::local(&limits(1_000, 1), &Machine::this());
        let ask = async |shard| gate.clone().ask(shard, Priority::Active).await;
        drop(ask(0).await);
        let begun = Instant::now();
        let mut grant = ask(1).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        grant.sent();
        grant.invalid();
        let grant = ask(0).await;
        assert_eq!(begun.elapsed(), Duration::from_millis(5_620));
        assert!(grant.is_valid());
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_goes_beyond_the_budget_before_it_is_renewed() {
        let gate = Gate::local(&limits(1, 1), &Machine::this());
        let begun = Instant::now();
        gate.clone().ask(0, Priority::Active).await.ready();
        gate.clone().ask(0, Priority::Active).await.ready();
        assert_eq!(begun.elapsed(), Duration::from_hours(2));
    }
}
