//! What happens to a fleet in a run: its shape and its faults, from a seed alone.
//!
//! Pure: the same seed gives the same list, on every machine and in every version that keeps this file. A fault names what
//! it hits by a number that is taken modulo what there is when its time has come. Deliberately absent: clocks and acts.

mod kind;

pub use kind::{About, KINDS, Kind};

use kind::{ABOUT, Whose};
use serde::Serialize;
use std::fmt;

/// Short enough that a zombie is noticed within a run, long enough for a busy machine.
const HEARTBEAT_MS: u64 = 4_000;
/// How long faults go on in a run, in milliseconds of real time.
pub const STORM_MS: u64 = 4_000;
/// The most faults of a run.
const MOST_FAULTS: u64 = 8;
/// How much longer than at least a fault lasts, at most.
const LASTS_MS: u64 = 2_900;
/// A pod whose kubelet is lost reports until its token is refused, and the gate goes by a review of it for five minutes: one loss of so
/// many lasts so much longer, which costs more of a story's time than all the rest.
const LONG_ONE_OF: u64 = 3;
const LONG_MS: u64 = 50_000;
/// The same where pods cannot send replies, which they give up after half a minute of Discord's time.
const UNANSWERED_MS: u64 = 1_900;
/// How soon after a fault the next one of a pair comes, at most.
const SOON_MS: u64 = 1_000;
/// One of so many with several replicas has each of them in an installation of its own.
const APART_ONE_OF: u64 = 3;
/// One run of so many is slow.
const SLOW_ONE_OF: u64 = 8;
/// How many times as long everything takes in a slow run.
const SLOW: u32 = 4;

/// What a fleet is like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shape {
    /// Of the world in the simulator.
    pub seed: u64,
    /// Pods that are asked for.
    pub pods: u32,
    /// Shards in all.
    pub shards: u32,
    /// Discord's buckets.
    pub buckets: u32,
    /// The operator's replicas.
    pub operators: u32,
    /// Installations that they belong to, one after the other, all of which watch the fleet. Processes are of one.
    pub installations: u32,
    /// Between two heartbeats of a connection, in milliseconds of real time.
    pub heartbeat_ms: u64,
}

/// Two pods, four shards, two buckets, one operator.
pub const SMALL: Shape = Shape {
    seed: 1,
    pods: 2,
    shards: 4,
    buckets: 2,
    operators: 1,
    installations: 1,
    heartbeat_ms: HEARTBEAT_MS,
};
/// The same with two operators.
pub const TWO_OPERATORS: Shape = Shape { operators: 2, ..SMALL };
/// One pod, one shard, one operator.
pub const ONE: Shape = Shape { pods: 1, shards: 1, buckets: 1, ..SMALL };

impl Shape {
    /// Shards of a pod.
    const fn of_a_pod(&self) -> u32 {
        self.shards.div_ceil(self.pods)
    }

    /// The shard that is hit by a number: one of the pod that is.
    pub(crate) const fn shard(&self, which: u32) -> u32 {
        which % self.pods * self.of_a_pod() + which / self.pods % self.of_a_pod()
    }
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// When, in milliseconds since the fleet was online.
    pub at_ms: u64,
    /// What.
    pub kind: Kind,
    /// Which pod, shard or replica.
    pub which: u32,
    /// For how long, where it lasts.
    pub for_ms: u64,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// The seed that it is made from.
    pub seed: u64,
    /// The fleet.
    pub shape: Shape,
    /// What its faults have in common.
    pub about: About,
    /// How many times as long each of its times is where time costs nothing.
    pub slowness: u32,
    /// Its faults, in the order of their times.
    pub faults: Vec<Fault>,
}

impl Schedule {
    /// The run of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let about = *dice.one_of(&ABOUT);
        // Who may IDENTIFY is a question where many wait for one bucket, and two may answer.
        let crowded = about == About::Identifies;
        let pods = dice.from(1, 4);
        let shape = Shape {
            seed,
            pods,
            shards: pods * if crowded { dice.from(2, 4) } else { dice.from(1, 3) },
            buckets: dice.from(1, if crowded { 2 } else { 4 }),
            operators: if crowded { 2 } else { dice.from(1, 2) },
            installations: 1,
            heartbeat_ms: HEARTBEAT_MS,
        };
        let slowness = if dice.below(SLOW_ONE_OF) == 0 { SLOW } else { 1 };
        let count = 2 + dice.below(MOST_FAULTS - 1);
        let mut faults: Vec<Fault> = Vec::new();
        for _ in 0..count {
            let mut next = fault(&mut dice, about, faults.last());
            if crowded && faults.is_empty() {
                next.kind = Kind::InvalidAll;
            }
            // A reply is given up after half a minute without Discord, so that it may be out of reach but once.
            if next.kind.leaves_replies_open() && faults.iter().any(|fault| fault.kind.leaves_replies_open())
            {
                next.kind = Kind::Drop;
            }
            faults.push(next);
        }
        // Stable: faults of one millisecond stay in the order in which they were thrown.
        faults.sort_by_key(|fault| fault.at_ms);
        // Thrown last: what is thrown before stays what it was.
        let apart = shape.operators > 1 && dice.below(APART_ONE_OF) == 0;
        let shape = Shape { installations: if apart { 2 } else { 1 }, ..shape };
        Self { seed, shape, about, slowness, faults }
    }
}

impl Schedule {
    /// Without what only virtual runs can do.
    #[must_use]
    pub fn of_processes(mut self) -> Self {
        self.faults.retain(|fault| fault.kind.hits_processes());
        self.shape.installations = 1;
        self
    }

    /// Its faults with the times of a slow run, if it is one.
    pub(crate) fn slowed(&self) -> Vec<Fault> {
        let slowness = u64::from(self.slowness);
        let slowed = |fault: &Fault| {
            let lasts = if fault.kind.leaves_replies_open() { 1 } else { slowness };
            Fault { at_ms: fault.at_ms * slowness, for_ms: fault.for_ms * lasts, ..fault.clone() }
        };
        self.faults.iter().map(slowed).collect()
    }

    /// The most IDENTIFYs that it can take: one for each shard, and one for each session that a fault may end. Only where there are
    /// some on their way then, a fault may cut some off.
    #[must_use]
    pub fn most_identifies(&self) -> u64 {
        let sum = |whose: fn(Kind) -> Whose| {
            let each = self.faults.iter().map(|fault| match whose(fault.kind) {
                Whose::Nobody => 0,
                Whose::Shard => 1,
                Whose::Pod => self.shape.of_a_pod(),
                Whose::All => self.shape.shards,
            });
            u64::from(each.sum::<u32>())
        };
        let ended = sum(Kind::ends_sessions);
        u64::from(self.shape.shards) + ended + if ended == 0 { 0 } else { sum(Kind::cuts_off) }
    }

    /// With these of its faults alone, by their places in the order of their times.
    #[must_use]
    pub fn only(&self, places: &[usize]) -> Self {
        let kept = self.faults.iter().enumerate().filter(|(place, _)| places.contains(place));
        Self { faults: kept.map(|(_, fault)| fault.clone()).collect(), ..self.clone() }
    }
}

/// Every other one hits what the one before it hit, or that shard's pod, or a shard of that pod; and soon after it.
fn fault(dice: &mut Dice, about: About, before: Option<&Fault>) -> Fault {
    let kind = *dice.one_of(about.kinds());
    let mut for_ms =
        kind.least_ms() + dice.below(if kind.leaves_replies_open() { UNANSWERED_MS } else { LASTS_MS });
    if kind == Kind::KubeletLost && dice.below(LONG_ONE_OF) == 0 {
        for_ms += LONG_MS;
    }
    let (at_ms, which, soon_ms) = (dice.below(STORM_MS), dice.from(0, 999), dice.below(SOON_MS));
    match before.filter(|_| dice.below(2) == 0) {
        Some(before) => Fault { at_ms: before.at_ms + soon_ms, kind, which: before.which, for_ms },
        None => Fault { at_ms, kind, which, for_ms },
    }
}

/// The seed of a run in a row of them: the first run has the row's own, so that any run can be had alone.
#[must_use]
pub fn seed_of(seed: u64, run: u64) -> u64 {
    if run == 0 { seed } else { Dice(seed ^ run.wrapping_mul(0x9E37_79B9_7F4A_7C15)).next() >> 16 }
}

/// Numbers from a seed: SplitMix64, written here so that no library's next version changes what a seed means.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[usize::try_from(self.below(all.len() as u64)).unwrap_or(0)]
    }

    fn from(&mut self, least: u32, most: u32) -> u32 {
        least + u32::try_from(self.below(u64::from(most - least) + 1)).unwrap_or(0)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shape { pods, shards, buckets, operators, installations, .. } = self.shape;
        write!(f, "{pods} pods, {shards} shards, {buckets} buckets, {operators} operators")?;
        if installations > 1 {
            write!(f, " of {installations} installations")?;
        }
        f.write_str("; ")?;
        write!(f, "{:?}, {} times as slow;", self.about, self.slowness)?;
        for Fault { at_ms, kind, which, for_ms } in &self.faults {
            write!(f, " {at_ms}:{kind}({which},{for_ms})")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_same_seed_gives_the_same_faults_and_another_seed_others() {
        assert_eq!(Schedule::of(7), Schedule::of(7));
        assert_ne!(Schedule::of(7).faults, Schedule::of(8).faults);
        assert_eq!((seed_of(7, 0), seed_of(7, 3)), (7, seed_of(7, 3)));
        // Written down once: a change of this line makes every seed that somebody noted mean something else.
        assert_eq!(Schedule::of(7).to_string(), include_str!("schedule/seven.txt").trim_end());
    }

    #[test]
    fn hundreds_of_runs_have_every_kind_and_every_shape_in_its_bounds() {
        let runs: Vec<_> = (0..300).map(|run| Schedule::of(seed_of(1, run))).collect();
        let kinds: BTreeSet<_> = runs.iter().flat_map(|run| &run.faults).map(|fault| fault.kind).collect();
        assert_eq!(kinds.len(), KINDS.len());
        assert!(runs.iter().any(|run| run.shape.installations == 2));
        let about: BTreeSet<_> = runs.iter().map(|run| (run.about, run.slowness)).collect();
        assert_eq!(about.len(), ABOUT.len() * 2);
        for Schedule { shape, faults, .. } in &runs {
            assert!((1..=4).contains(&shape.pods) && (1..=16).contains(&shape.shards), "{shape:?}");
            assert!((1..=4).contains(&shape.buckets) && (1..=2).contains(&shape.operators), "{shape:?}");
            assert!(faults.iter().filter(|fault| fault.kind.leaves_replies_open()).count() <= 1);
            assert!((1..=shape.operators).contains(&shape.installations), "{shape:?}");
            assert!((2..=9).contains(&faults.len()) && faults.is_sorted_by_key(|fault| fault.at_ms));
        }
        let most: BTreeSet<_> =
            runs.iter().map(|run| run.most_identifies().cmp(&run.shape.shards.into())).collect();
        assert!(most.len() == 2, "some may take more than one for each shard, and some not: {most:?}");
        let seeds: BTreeSet<_> = runs.iter().map(|run| run.seed).collect();
        assert_eq!(seeds.len(), runs.len());
    }
}
