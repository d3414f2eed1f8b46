//! What of the ledger is asked for: the filters of `GET /ledger`.
//!
//! From: the query of the URL, or tests. For: snapshots. Counters are always those of everything; filters choose details.
//! Deliberately absent: filters on counters, which would need a counter for every combination.

use serde::{Deserialize, Serialize};

use super::{EventRecord, Ledger, grid};
use crate::snowflake::Snowflake;

/// Events given where no `limit` is.
const USUAL_EVENTS: usize = 100;
/// The most events in one answer.
pub const MOST_EVENTS: usize = 10_000;
/// Shards with the longest pauses that stand beside a grid where no `last` is.
const USUAL_PAUSES: usize = 20;
/// When an event without an answer counts as lost, where that is not said.
const LOST_AFTER_MS: u64 = 10_000;

/// The filters of `GET /ledger`; what is left out does not filter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LedgerQuery {
    /// Only what concerns this bot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application: Option<Snowflake>,
    /// Only sessions, IDENTIFYs, RESUMEs, closes and shards of this total.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u32>,
    /// Only those of this shard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<u32>,
    /// Only what happened at that time since the start or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<u64>,
    /// `false` leaves all lists out: only counters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<bool>,
    /// `true` gives `grids` in place of sessions and totals, and of `shards` only those with the longest pauses (`last`,
    /// by default 20): small enough to be asked for often.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grid: Option<bool>,
    /// At most so many entries of each log, the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<usize>,
    /// Details of which events are wanted; without it, of none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<EventFilter>,
    /// At most so many events, 1 to 10,000; by default 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// An event that asked for an answer counts as lost when it has none after so many milliseconds; by default 10,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost_after_ms: Option<u64>,
}

/// Which events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EventFilter {
    /// Every one.
    All,
    /// Those without an answer although they asked for one long enough ago.
    Lost,
    /// Those that a bot answered twice.
    Doubled,
    /// Those answered after a newer one of their guild.
    Reordered,
    /// Those for which no session was there.
    ToNobody,
}

impl LedgerQuery {
    /// Field, found, remedy; nothing where all is well.
    pub fn fault(&self) -> Option<String> {
        let limit = self.limit?;
        let is_fine = (1..=MOST_EVENTS).contains(&limit);
        (!is_fine).then(|| format!("limit: found {limit}; use 1 to {MOST_EVENTS}"))
    }

    /// How many events may be given.
    pub fn limit(&self) -> usize {
        self.limit.unwrap_or(USUAL_EVENTS).min(MOST_EVENTS)
    }

    /// Events made before that time and not answered by now are lost.
    pub fn lost_before(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.lost_after_ms.unwrap_or(LOST_AFTER_MS))
    }

    /// Whether this event's details are wanted.
    pub fn wants(&self, event: &EventRecord, now_ms: u64) -> bool {
        let is_kind = match self.events {
            None => false,
            Some(EventFilter::All) => true,
            Some(EventFilter::Lost) => {
                event.asks && event.acts.is_empty() && event.made_at_ms < self.lost_before(now_ms)
            }
            Some(EventFilter::Doubled) => event.acts.iter().any(|act| act.doubled),
            Some(EventFilter::Reordered) => event.acts.iter().any(|act| act.reordered),
            Some(EventFilter::ToNobody) => event.sessions == 0,
        };
        is_kind && self.since_ms.is_none_or(|since| event.made_at_ms >= since)
    }

    /// Leaves out of a whole ledger what is not asked for.
    pub fn filter(&self, ledger: &mut Ledger) {
        let of = |application: Option<Snowflake>, total: Option<u32>, shard: Option<u32>| {
            (self.application.is_none() || application.is_none() || self.application == application)
                && (self.total.is_none() || self.total == total)
                && (self.shard.is_none() || self.shard == shard)
        };
        let since = |at: u64| self.since_ms.is_none_or(|since| at >= since);
        ledger.sessions.retain(|one| of(Some(one.application_id), Some(one.total), Some(one.shard)));
        ledger.shards.retain(|one| of(Some(one.application_id), Some(one.total), Some(one.shard)));
        ledger.totals.retain(|one| of(Some(one.application_id), Some(one.total), self.shard));
        ledger
            .identify_log
            .retain(|one| of(Some(one.application_id), Some(one.total), Some(one.shard)) && since(one.at_ms));
        ledger.resume_log.retain(|one| of(None, one.total, one.shard) && since(one.at_ms));
        ledger.close_log.retain(|one| of(None, one.total, one.shard) && since(one.at_ms));
        ledger.violation_details.retain(|one| since(one.at_ms));
        if self.grid == Some(true) {
            ledger.grids = grid::grids(ledger);
            ledger.shards = grid::longest_pauses(ledger, self.last.unwrap_or(USUAL_PAUSES));
            ledger.sessions.clear();
            ledger.totals.clear();
        }
        if let Some(last) = self.last {
            keep_last(&mut ledger.identify_log, last);
            keep_last(&mut ledger.resume_log, last);
            keep_last(&mut ledger.close_log, last);
            keep_last(&mut ledger.violation_details, last);
            keep_last(&mut ledger.unknown_route_details, last);
        }
        if self.details == Some(false) {
            ledger.sessions.clear();
            ledger.shards.clear();
            ledger.identify_log.clear();
            ledger.resume_log.clear();
            ledger.close_log.clear();
            ledger.violation_details.clear();
            ledger.unknown_route_details.clear();
        }
    }
}

fn keep_last<T>(log: &mut Vec<T>, most: usize) {
    log.drain(..log.len().saturating_sub(most));
}
