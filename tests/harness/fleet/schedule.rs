//! What happens to a fleet in a run: its shape and its faults, from a seed alone.
//!
//! Pure: the same seed gives the same list, on every machine and in every version that keeps this file. A fault names what
//! it hits by a number that is taken modulo what there is when its time has come. Deliberately absent: clocks and acts.

use serde::Serialize;
use std::fmt;

/// Short enough that a zombie is noticed within a run, long enough for a busy machine.
const HEARTBEAT_MS: u64 = 4_000;
/// How long faults go on in a run, in milliseconds of real time.
pub const STORM_MS: u64 = 4_000;
/// The most faults of a run.
const MOST_FAULTS: u64 = 8;

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
    /// Between two heartbeats of a connection, in milliseconds of real time.
    pub heartbeat_ms: u64,
}

/// Two pods, four shards, two buckets, one operator.
pub const SMALL: Shape =
    Shape { seed: 1, pods: 2, shards: 4, buckets: 2, operators: 1, heartbeat_ms: HEARTBEAT_MS };
/// The same with two operators.
pub const TWO_OPERATORS: Shape = Shape { operators: 2, ..SMALL };
/// One pod, one shard, one operator.
pub const ONE: Shape = Shape { pods: 1, shards: 1, buckets: 1, ..SMALL };

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

/// What may go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// A container is killed; its volumes stay.
    ContainerKill,
    /// A pod is deleted, with its grace.
    PodDelete,
    /// TCP ends without a word.
    Drop,
    /// Every connection ends so.
    DropAll,
    /// Op 7.
    Reconnect,
    /// Op 9 with true.
    InvalidResumable,
    /// Op 9 with false.
    Invalid,
    /// A connection that stays open and dead.
    Freeze,
    /// One replica of the operator is killed and comes back.
    OperatorKill,
    /// All of them.
    OperatorsKill,
    /// Pods do not reach the gate.
    GateAway,
    /// REST says 429, the bot's own.
    RestLimitedUser,
    /// REST says 429, everybody's.
    RestLimitedShared,
    /// REST says 429, the whole bot's.
    RestLimitedGlobal,
    /// REST fails.
    RestError,
    /// REST does not answer.
    RestTimeout,
    /// REST answers nonsense.
    RestGarbage,
    /// REST ends in mid-answer.
    RestCut,
    /// Discord is gone.
    Outage,
    /// The API server is gone for operators and pods.
    ApiAway,
    /// A pod is cut off from everything.
    Partition,
    /// One replica of the operator stops in good order, as in a roll-out, and comes back.
    OperatorStop,
    /// A few writes of pods reach the API server when their senders have long given up. Virtual runs alone: no proxy is between processes.
    WritesLate,
}

/// Every kind. The order is part of what a seed means.
pub const KINDS: [Kind; 23] = [
    Kind::ContainerKill,
    Kind::PodDelete,
    Kind::Drop,
    Kind::DropAll,
    Kind::Reconnect,
    Kind::InvalidResumable,
    Kind::Invalid,
    Kind::Freeze,
    Kind::OperatorKill,
    Kind::OperatorsKill,
    Kind::GateAway,
    Kind::RestLimitedUser,
    Kind::RestLimitedShared,
    Kind::RestLimitedGlobal,
    Kind::RestError,
    Kind::RestTimeout,
    Kind::RestGarbage,
    Kind::RestCut,
    Kind::Outage,
    Kind::ApiAway,
    Kind::Partition,
    Kind::OperatorStop,
    Kind::WritesLate,
];

/// One run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// The seed that it is made from.
    pub seed: u64,
    /// The fleet.
    pub shape: Shape,
    /// Its faults, in the order of their times.
    pub faults: Vec<Fault>,
}

impl Schedule {
    /// The run of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let pods = dice.from(2, 4);
        let shape = Shape {
            seed,
            pods,
            shards: pods * dice.from(1, 3),
            buckets: dice.from(1, 4),
            operators: dice.from(1, 2),
            heartbeat_ms: HEARTBEAT_MS,
        };
        let count = 2 + dice.below(MOST_FAULTS - 1);
        let mut faults: Vec<_> = (0..count).map(|_| fault(&mut dice)).collect();
        // Stable: faults of one millisecond stay in the order in which they were thrown.
        faults.sort_by_key(|fault| fault.at_ms);
        Self { seed, shape, faults }
    }
}

impl Schedule {
    /// Without what only virtual runs can do.
    #[must_use]
    pub fn of_processes(mut self) -> Self {
        self.faults.retain(|fault| fault.kind != Kind::WritesLate);
        self
    }

    /// With these of its faults alone, by their places in the order of their times.
    #[must_use]
    pub fn only(&self, places: &[usize]) -> Self {
        let kept = self.faults.iter().enumerate().filter(|(place, _)| places.contains(place));
        Self { faults: kept.map(|(_, fault)| fault.clone()).collect(), ..self.clone() }
    }
}

fn fault(dice: &mut Dice) -> Fault {
    let kind = KINDS[usize::try_from(dice.below(KINDS.len() as u64)).unwrap_or(0)];
    Fault { at_ms: dice.below(STORM_MS), kind, which: dice.from(0, 999), for_ms: 100 + dice.below(2_900) }
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

    fn from(&mut self, least: u32, most: u32) -> u32 {
        least + u32::try_from(self.below(u64::from(most - least) + 1)).unwrap_or(0)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = format!("{self:?}");
        let (first, rest) = name.split_at(1);
        write!(f, "{}{rest}", first.to_lowercase())
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shape { pods, shards, buckets, operators, .. } = self.shape;
        write!(f, "{pods} pods, {shards} shards, {buckets} buckets, {operators} operators;")?;
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
        for Schedule { shape, faults, .. } in &runs {
            assert!((2..=4).contains(&shape.pods) && (2..=12).contains(&shape.shards), "{shape:?}");
            assert!((1..=4).contains(&shape.buckets) && (1..=2).contains(&shape.operators), "{shape:?}");
            assert!((2..=9).contains(&faults.len()) && faults.is_sorted_by_key(|fault| fault.at_ms));
        }
        let seeds: BTreeSet<_> = runs.iter().map(|run| run.seed).collect();
        assert_eq!(seeds.len(), runs.len());
    }
}
