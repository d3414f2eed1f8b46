//! Keeping clear of pods that identify by the fallback schedule, because they may not hear the gate.
//!
//! From the pods that run, which of our answers each has surely heard, and Discord's time, to whether something granted now
//! could meet an IDENTIFY of [`shard_contract::fallback`]. A pod named by no call of this leader's time may be on the fallback schedule; one
//! whose named answer is [`DOUBTFUL_MS`] old may be again. Looks at the few slots around now, not at all pods.
//! Deliberately absent: pods of layouts that the plan does not list; they are on their way out, or have no duty yet, and begin nothing.

use super::clock::{DiscordTime, Millis};
use shard_contract::fallback::{APART_MS, DOUBTFUL_MS, FROM_MS, LAYOUT_SLOTS, SLOT_MS, UNTIL_MS};
use shard_contract::identify::GRANT_VALID_MS;
use shard_contract::pace::Pace;
use std::collections::{BTreeMap, HashMap, HashSet};

/// More slots than this around now mean that Discord's time is as good as unknown.
const MOST_SLOTS: u64 = 16;

/// The pods that run, and what is known of each.
#[derive(Clone, Debug, Default)]
pub struct FallbackPods {
    /// Fallback slot and pods of each layout.
    layouts: BTreeMap<u32, (u32, u32)>,
    /// UIDs at each ordinal of a layout; more than one for a moment while a pod is replaced.
    seats: HashMap<(u32, u32), Vec<String>>,
    listed: HashSet<String>,
    /// When the newest answer was given that a pod has surely heard.
    heard: HashMap<String, Millis>,
    greeted: HashSet<String>,
    /// The first list's pods: those that ran before this leader looked, and may have been on the fallback schedule.
    found: Option<HashSet<String>>,
    /// Since when pods that may have been on the fallback schedule are heard again. One whose container restarted right after its slot does not
    /// know of it, so it is given the time that another would have taken before it named an answer.
    back_since: HashMap<String, Millis>,
}

impl FallbackPods {
    /// Takes over which layouts `(number, slot, pods)` and which pods `(uid, layout, ordinal)` there are.
    pub fn set(
        &mut self,
        now: Millis,
        pace: Pace,
        layouts: impl IntoIterator<Item = (u32, u32, u32)>,
        pods: impl IntoIterator<Item = (String, u32, u32)>,
    ) {
        self.layouts =
            layouts.into_iter().map(|(number, slot, pods)| (number, (slot, pods.max(1)))).collect();
        self.seats.clear();
        self.listed.clear();
        for (uid, layout, ordinal) in pods {
            if self.layouts.contains_key(&layout) {
                self.listed.insert(uid.clone());
                self.seats.entry((layout, ordinal)).or_default().push(uid);
            }
        }
        self.found.get_or_insert_with(|| self.listed.clone());
        let (listed, kept) = (&self.listed, pace.real_ms(DOUBTFUL_MS));
        // A pod may call before the plan has seen it.
        self.heard.retain(|uid, at| listed.contains(uid) || now.since(*at) < kept);
        self.greeted.retain(|uid| listed.contains(uid));
        self.back_since
            .retain(|uid, since| listed.contains(uid) && now.since(*since) < pace.real_ms(APART_MS));
    }

    /// A pod has surely heard an answer that was given then; returns whether it may have been on the fallback schedule until now.
    pub fn heard(&mut self, now: Millis, pace: Pace, uid: &str, given_at: Millis) -> bool {
        let before = self.heard.get(uid).copied();
        self.heard.insert(uid.to_owned(), before.map_or(given_at, |at| given_at.max(at)));
        let doubted = self.listed.contains(uid) && before.is_none_or(|at| is_old(at, now, pace));
        let ran = before.is_some() || self.found.as_ref().is_some_and(|found| found.contains(uid));
        if doubted && ran {
            self.back_since.insert(uid.to_owned(), now);
        }
        doubted
    }

    /// Whether this pod should be answered at once, so that its next call can name an answer of ours: once a pod.
    pub fn greet(&mut self, uid: &str) -> bool {
        self.listed.contains(uid) && !self.heard.contains_key(uid) && self.greeted.insert(uid.to_owned())
    }

    /// Whether there is such a layout.
    #[must_use]
    pub fn knows(&self, layout: u32) -> bool {
        self.layouts.contains_key(&layout)
    }

    /// How many pods may be on the fallback schedule.
    #[must_use]
    pub fn count(&self, now: Millis, pace: Pace) -> u32 {
        let doubtful = self.listed.iter().filter(|uid| self.is_doubtful(uid, now, pace)).count();
        doubtful.try_into().unwrap_or(u32::MAX)
    }

    /// Whether no pod may be on the fallback schedule.
    #[must_use]
    pub fn none(&self, now: Millis, pace: Pace) -> bool {
        !self.listed.iter().any(|uid| self.is_doubtful(uid, now, pace))
    }

    /// Why nothing may be granted now, and until when at least; none when whatever a grant leads to comes far enough from
    /// the slots of every pod that may be on them.
    #[must_use]
    pub fn denies(&self, now: Millis, time: Option<&DiscordTime>, pace: Pace) -> Option<(Millis, String)> {
        let life = pace.real_ms(GRANT_VALID_MS);
        let bounds =
            time.and_then(|time| Some((time.bounds(now, pace)?.0, time.bounds(now.after(life), pace)?.1)));
        // A slot that begins between these two has IDENTIFYs too near to what a grant now leads to.
        let slots = bounds.map(|(early, late)| {
            let first = early.saturating_sub(UNTIL_MS + APART_MS).div_ceil(SLOT_MS);
            (early, first, (late + APART_MS).saturating_sub(FROM_MS) / SLOT_MS)
        });
        let Some((early, first, last)) =
            slots.filter(|(_, first, last)| last.saturating_sub(*first) < MOST_SLOTS)
        else {
            return (!self.none(now, pace)).then(|| {
                let because =
                    "pods may be identifying by the fallback schedule, and Discord's time is not known";
                (now.after(1_000), because.to_owned())
            });
        };
        let slot = (first..=last).find(|slot| self.is_taken(*slot, now, pace))?;
        let clear = slot * SLOT_MS + UNTIL_MS + APART_MS + 1;
        let because =
            "a pod that has not heard from the operator may be identifying by the fallback schedule";
        Some((now.after(pace.real_ms(clear.saturating_sub(early)).max(1)), because.to_owned()))
    }

    fn is_taken(&self, slot: u64, now: Millis, pace: Pace) -> bool {
        self.layouts.iter().any(|(number, (layout_slot, pods))| {
            if slot % u64::from(LAYOUT_SLOTS) != u64::from(layout_slot % LAYOUT_SLOTS) {
                return false;
            }
            let ordinal = slot / u64::from(LAYOUT_SLOTS) % u64::from(*pods);
            let seat = u32::try_from(ordinal).ok().and_then(|ordinal| self.seats.get(&(*number, ordinal)));
            seat.is_some_and(|uids| uids.iter().any(|uid| self.is_doubtful(uid, now, pace)))
        })
    }

    fn is_doubtful(&self, uid: &str, now: Millis, pace: Pace) -> bool {
        self.heard.get(uid).is_none_or(|at| is_old(*at, now, pace))
            || self.back_since.get(uid).is_some_and(|since| now.since(*since) < pace.real_ms(APART_MS))
    }
}

fn is_old(given_at: Millis, now: Millis, pace: Pace) -> bool {
    now.since(given_at) >= pace.real_ms(DOUBTFUL_MS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use shard_contract::fallback::{Place, may_leave};

    /// The gate's clock is Discord's, but for the second that `Date` leaves open.
    const TIME: DiscordTime = DiscordTime { said_ms: 0, asked_at: Millis(0), answered_at: Millis(0) };

    fn pods(count: u32) -> FallbackPods {
        let mut fallback = FallbackPods::default();
        let listed = (0..count).map(|ordinal| (format!("u{ordinal}"), 5, ordinal));
        fallback.set(Millis(0), Pace::REAL, [(5, 1, count)], listed);
        fallback
    }

    #[test]
    fn nothing_is_granted_that_could_come_near_a_doubtful_pods_slot() {
        let mut fallback = pods(3);
        for uid in ["u0", "u2"] {
            fallback.heard(Millis(2_900_000), Pace::REAL, uid, Millis(3_500_000));
        }
        let place = Place { fallback_slot: 1, ordinal: 1, pods: 3 };
        let mut granted = 0_u64;
        for now in (0..540_000_u64).step_by(250) {
            let now = 3_000_000 + now;
            if fallback.denies(Millis(now), Some(&TIME), Pace::REAL).is_some() {
                continue;
            }
            granted += 1;
            // It may be used at any time in its life, at any time that Discord's clock can show then.
            for at in (now..now + GRANT_VALID_MS + 1_000).step_by(500) {
                let near = (at - 7_499..=at + 7_499).step_by(100);
                for other in near {
                    let theirs = place.slot_at(other).is_some_and(|slot| may_leave(slot, other));
                    assert!(!theirs, "granted at {now}, out at {at}, theirs at {other}");
                }
            }
        }
        let share = granted * 100 / 2_160;
        assert!((85..95).contains(&share), "one slot in twelve is kept free, not more: {share} %");
    }

    #[test]
    fn it_waits_until_the_slot_is_over_and_not_longer() {
        let fallback = pods(1);
        let (at, because) = fallback.denies(Millis(75_000), Some(&TIME), Pace::REAL).unwrap();
        assert!(because.contains("by the fallback schedule"));
        assert!(fallback.denies(at.after(100), Some(&TIME), Pace::REAL).is_none());
        assert!(fallback.denies(Millis(at.0 - 100), Some(&TIME), Pace::REAL).is_some());
    }

    #[test]
    fn without_discords_time_nothing_is_granted_while_a_pod_may_be_on_the_fallback_schedule() {
        let mut fallback = pods(2);
        fallback.heard(Millis(1_000), Pace::REAL, "u0", Millis(1_000));
        assert!(fallback.denies(Millis(1_000), None, Pace::REAL).is_some());
        fallback.heard(Millis(2_000), Pace::REAL, "u1", Millis(2_000));
        assert_eq!(fallback.denies(Millis(9_500), None, Pace::REAL), None);
        assert_eq!(fallback.count(Millis(9_499), Pace::REAL), 1, "u1 may have come back right from its slot");
        assert_eq!(
            (fallback.count(Millis(9_500), Pace::REAL), fallback.count(Millis(46_000), Pace::REAL)),
            (0, 1)
        );
        assert!(fallback.denies(Millis(46_000), None, Pace::REAL).is_some(), "u0 was silent for 45 s");
    }

    #[test]
    fn a_dead_pod_counts_only_until_the_plan_drops_it_and_an_old_word_changes_nothing() {
        let mut fallback = pods(2);
        fallback.heard(Millis(9_000), Pace::REAL, "u0", Millis(9_000));
        fallback.heard(Millis(4_000), Pace::REAL, "u0", Millis(4_000));
        fallback.heard(Millis(9_500), Pace::REAL, "new", Millis(9_500));
        fallback.set(Millis(10_000), Pace::REAL, [(5, 1, 2)], [("u0".into(), 5, 0), ("new".into(), 5, 1)]);
        assert!(fallback.none(Millis(53_000), Pace::REAL));
    }

    #[test]
    fn only_who_may_come_right_from_its_slot_stays_in_doubt_for_a_while() {
        let mut fallback = pods(1);
        let seats = |pods: &[&str]| pods.iter().map(|uid| ((*uid).to_owned(), 5, 0)).collect::<Vec<_>>();
        fallback.set(Millis(90_000), Pace::REAL, [(5, 1, 1)], seats(&["u0", "new"]));
        assert!(fallback.heard(Millis(100_000), Pace::REAL, "u0", Millis(99_900)));
        assert!(fallback.heard(Millis(100_000), Pace::REAL, "new", Millis(99_900)));
        assert_eq!(fallback.count(Millis(107_499), Pace::REAL), 1, "u0 was there before this leader");
        assert_eq!(fallback.count(Millis(107_500), Pace::REAL), 0);
        assert!(!fallback.heard(Millis(130_000), Pace::REAL, "new", Millis(129_900)));
        assert!(
            fallback.heard(Millis(180_000), Pace::REAL, "new", Millis(179_900)),
            "silent for 45 s and more"
        );
        assert_eq!(fallback.count(Millis(180_000), Pace::REAL), 2);
        fallback.set(Millis(187_500), Pace::REAL, [(5, 1, 1)], seats(&["new"]));
        assert!(fallback.none(Millis(187_500), Pace::REAL) && fallback.back_since.is_empty());
    }

    #[test]
    fn a_pod_is_greeted_once() {
        let mut fallback = pods(1);
        assert!(!fallback.greet("stranger"));
        assert!(fallback.greet("u0"));
        assert!(!fallback.greet("u0"), "one that never names an answer would ask without end");
    }
}
