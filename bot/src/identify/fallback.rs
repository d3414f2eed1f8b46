//! Without the gate: when this pod may IDENTIFY by the fallback schedule, as a last resort.
//!
//! From the time of a leader's last answer, this pod's place in the schedule ([`shard_contract::fallback`]) and Discord's answers
//! to a [`Allowance`]: a moment in the pod's own slot, with what the budget allows. In each of its slots it asks `GET /gateway/bot` anew
//! (limited to 2 per 5 s over all pods, which is why nobody asks outside of a slot of its own); the first look at Discord's clock
//! is a `GET /gateway`, which has no such limit. Guarantees: every IDENTIFY leaves while Discord's clock surely shows 1 s to
//! 3 s of the slot ([`Reading`]); one a bucket and slot; one a shard in ten minutes, also over restarts; as soon as a leader answers no more.
//! Deliberately absent: who waits, and the grant itself ([`crate::identify::gate`]).

mod choice;
mod tries;

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use shard_contract::{
    fallback::{ALONE_MS, Place, SLOT_MS, UNTIL_MS},
    pace::Pace,
};
use shard_machine::Random;
use tokio::time::Instant;

pub(crate) use self::{
    choice::{Waits, choose},
    tries::Tries,
};
use crate::{
    edges::{
        backoff::spread,
        discord::{Discord, DiscordError, Limits, Reading},
        operator::Operator,
        trouble::Trouble,
    },
    seen::status::Status,
};

/// Pods that lost the operator together do not look at Discord's clock together: they spread over this much of its time.
const FIRST_LOOK_WITHIN: Duration = Duration::from_secs(10);

/// Now some shards may IDENTIFY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// Until here.
    pub(crate) until: Instant,
    /// Discord's number of buckets: shards with the same remainder share one.
    pub(crate) buckets: u32,
    /// So many IDENTIFYs in all.
    pub(crate) most: u32,
}

/// A slot passed without a allowance.
#[derive(Debug, thiserror::Error)]
enum NoSlot {
    #[error(transparent)]
    Discord(#[from] DiscordError),
    #[error("Discord's answer carries no Date, so that nobody knows whose slot it is")]
    NoDate,
    #[error("the layouts document does not name layout {0}, so that it has no slot")]
    NoPlace(u32),
    #[error("{remaining} of {total} IDENTIFYs are left; without the operator the last fifth is not touched")]
    Budget { remaining: u32, total: u32 },
    #[error("Discord's answer came too late in the slot")]
    Late,
}

/// Whether the pod is on the fallback schedule, and the wait for its next slot.
pub(crate) struct FallbackSchedule {
    operator: Operator,
    discord: Arc<Discord>,
    status: Arc<Status>,
    layout: u32,
    ordinal: u32,
    on: bool,
    known: Known,
    next: Option<BoxFuture<'static, (Known, Result<Allowance, NoSlot>)>>,
    random: Random,
    trouble: Trouble,
}

/// What one slot leaves to the next.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    reading: Option<Reading>,
    /// No slot before this moment of Discord's time.
    not_before_ms: u64,
}

impl FallbackSchedule {
    pub(crate) fn new(
        operator: Operator,
        discord: Arc<Discord>,
        status: Arc<Status>,
        layout: u32,
        ordinal: u32,
        random: Random,
    ) -> Self {
        Self {
            operator,
            discord,
            status,
            layout,
            ordinal,
            on: false,
            known: Known::default(),
            next: None,
            random,
            trouble: Trouble::new("identify by the fallback schedule"),
        }
    }

    /// Whether the pod is on the fallback schedule.
    pub(crate) const fn is_on(&self) -> bool {
        self.on
    }

    /// When the pod will be on the fallback schedule if no leader answers.
    pub(crate) fn alone_at(&self) -> Instant {
        self.operator.answers().led + self.operator.pace().real(Duration::from_millis(ALONE_MS))
    }

    /// Looks whether a leader answered. `waits`: whether a shard must IDENTIFY.
    pub(crate) fn look(&mut self, waits: bool, now: Instant) {
        let alone = now >= self.alone_at();
        if self.on && !alone {
            self.on = false;
            self.next = None;
            self.status.set_on_fallback_schedule(false);
            tracing::info!("the gate answers again, the fallback schedule ends");
        } else if !self.on && alone && waits {
            self.on = true;
            self.status.set_on_fallback_schedule(true);
            let silent = now.duration_since(self.operator.answers().led);
            tracing::warn!(?silent, "no leader of the gate answers, identifying by the fallback schedule");
        }
    }

    /// Nobody may identify now: a wait that is not followed on would end in another pod's slot.
    pub(crate) fn rest(&mut self) {
        self.next = None;
    }

    /// Waits for the next allowance. May be dropped and called again without loss.
    pub(crate) async fn next(&mut self) -> Allowance {
        loop {
            if self.next.is_none() {
                let found = self.place();
                let (discord, pace, known) = (Arc::clone(&self.discord), self.operator.pace(), self.known);
                let (layout, random) = (self.layout, self.random.clone());
                self.next = Some(Box::pin(async move {
                    match found {
                        Some(mine) => slot(&discord, mine, pace, &random, known).await,
                        None => (known, Err(pause(pace, &random, NoSlot::NoPlace(layout)).await)),
                    }
                }));
            }
            let Some(next) = &mut self.next else { continue };
            let (known, allowance) = next.await;
            self.next = None;
            self.known = known;
            match allowance {
                Ok(allowance) => {
                    self.trouble.over();
                    return allowance;
                }
                Err(error) => drop(self.trouble.failed(&error)),
            }
        }
    }

    fn place(&self) -> Option<Place> {
        let layouts = self.operator.layouts();
        let layout = layouts.layouts.iter().find(|layout| layout.number == self.layout)?;
        Some(Place { fallback_slot: layout.fallback_slot, ordinal: self.ordinal, pods: layout.pods })
    }
}

/// Waits for the next slot of this place and asks Discord in it.
async fn slot(
    discord: &Discord,
    mine: Place,
    pace: Pace,
    random: &Random,
    mut known: Known,
) -> (Known, Result<Allowance, NoSlot>) {
    let before = match known.reading {
        Some(reading) => reading,
        None => match first_look(discord, pace, random).await {
            Ok(reading) => reading,
            Err(error) => return (known, Err(pause(pace, random, error).await)),
        },
    };
    known.reading = Some(before);
    let start = mine.next_slot(before.least(Instant::now()).max(known.not_before_ms));
    known.not_before_ms = start + 1;
    tokio::time::sleep_until(before.surely_from(start)).await;
    let asked = tokio::time::timeout_at(before.surely_from(start + UNTIL_MS), discord.limits()).await;
    let limits = match asked {
        Ok(Ok(limits)) => limits,
        Ok(Err(error)) => return (known, Err(error.into())),
        Err(_) => return (known, Err(NoSlot::Late)),
    };
    let Some(reading) = limits.reading else { return (known, Err(NoSlot::NoDate)) };
    known.reading = Some(reading);
    let allowance = allowance(start, reading, &limits, Instant::now());
    match allowance {
        Ok((from, allowance)) => {
            tokio::time::sleep_until(from).await;
            (known, Ok(allowance))
        }
        Err(error) => {
            // A clock that jumped back says that the slot is yet to come.
            known.not_before_ms = known.not_before_ms.min(reading.most(Instant::now()) + SLOT_MS);
            (known, Err(error))
        }
    }
}

/// When IDENTIFYs of this slot may leave, and how many.
fn allowance(
    start: u64,
    reading: Reading,
    limits: &Limits,
    now: Instant,
) -> Result<(Instant, Allowance), NoSlot> {
    let (remaining, total) = (limits.remaining, limits.total);
    let most = choice::allowed(remaining, total);
    if most == 0 {
        return Err(NoSlot::Budget { remaining, total });
    }
    let (from, until) = reading.window(start);
    let from = from.max(now);
    let soon = from <= now + reading.pace().real(Duration::from_millis(SLOT_MS));
    if from >= until || !soon {
        return Err(NoSlot::Late);
    }
    Ok((from, Allowance { until, buckets: limits.max_concurrency.max(1).into(), most }))
}

/// Discord's clock, before anything is known of it.
async fn first_look(discord: &Discord, pace: Pace, random: &Random) -> Result<Reading, NoSlot> {
    let within = pace.real(FIRST_LOOK_WITHIN);
    tokio::time::sleep(random.spread(within, 0.0, 1.0)).await;
    discord.clock().await?.ok_or(NoSlot::NoDate)
}

/// What fails at once is not tried again at once.
async fn pause(pace: Pace, random: &Random, error: NoSlot) -> NoSlot {
    tokio::time::sleep(spread(random, pace.real(FIRST_LOOK_WITHIN).max(Duration::from_secs(1)))).await;
    error
}

#[cfg(test)]
mod tests;
