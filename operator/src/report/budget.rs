//! The identify budget as status tells of it: what is left, what is kept for live shards, and until when.
//!
//! Pure. Discord's answer, counted down by the gate since. Deliberately absent: what the gate does about it.

use crate::model::budget::{kept_for_live, kept_from_all};
use crate::model::{GateSetting, Note, Observed, Plan, Reason};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

/// What is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// IDENTIFYs that Discord allows in 24 hours.
    pub total: u32,
    /// What is left of them.
    pub remaining: u32,
    /// How many are kept for live shards.
    pub reserve: u32,
    /// When it is full again.
    pub resets_at: Timestamp,
}

/// The budget; none before Discord said it.
#[must_use]
pub fn budget(observed: &Observed, plan: &Plan) -> Option<Budget> {
    let answer = observed.discord.answer?;
    let percent = match plan.gate {
        GateSetting::Open { reserve_percent, .. } => reserve_percent,
        GateSetting::Closed(_) | GateSetting::Blind(_) => 0,
    };
    Some(Budget {
        total: answer.total,
        remaining: observed.gate.map_or(answer.remaining, |gate| gate.remaining),
        reserve: kept_for_live(answer.total, percent),
        resets_at: answer.resets_at,
    })
}

impl Budget {
    /// What shards wait for, if the budget lets them wait.
    #[must_use]
    pub fn problem(&self) -> Option<Note> {
        let Self { total, remaining, reserve, resets_at } = self;
        let resets = seconds(*resets_at);
        let never_used = kept_from_all(*total);
        if *remaining <= never_used {
            let message = format!(
                "the daily budget is spent: {remaining} of {total} IDENTIFYs are left, and the last {never_used} are used by nobody; connected shards run on, the others wait until {resets}; look for what burned them: restarts in the pods' logs, or another process with this token"
            );
            return Some(Note::new(Reason::BudgetSpent, message));
        }
        (*remaining <= *reserve).then(|| {
            let message = format!(
                "{remaining} of {total} daily IDENTIFYs are left, of which {reserve} are kept for live shards; full again at {resets}; lower spec.identify.reservePercent to use them now"
            );
            Note::new(Reason::BudgetLow, message)
        })
    }
}

/// When the shards that wait now will have had their transition.
#[must_use]
pub fn done_at(observed: &Observed) -> Option<String> {
    let waiting = observed.gate?.waiting;
    let windows = waiting.div_ceil(observed.discord.answer?.max_concurrency.max(1));
    (windows > 0).then(|| {
        let window = observed.addresses.time_factor.real_ms(5_000);
        let after =
            SignedDuration::from_millis(i64::try_from(window * u64::from(windows)).unwrap_or(i64::MAX));
        seconds(observed.now.checked_add(after).unwrap_or(observed.now))
    })
}

/// Without fractions.
#[must_use]
pub fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// As people read it.
#[must_use]
pub fn seconds(at: Timestamp) -> String {
    whole_seconds(at).to_string()
}
