//! The fleet summed up: from pods and their reports to what status counts.
//!
//! Pure. A pod is taken at its word. One that has said nothing, or not to this leader yet, is not online for being ready: that is its
//! probe's word, which may be anybody's. A shard counts then if the pod is ready and the shard's record names a session of it. A pod
//! that identifies by the fallback schedule can seldom say so, since it would say it to the gate that it does not reach: its silence does.

use crate::model::{NodeSeen, Observed, Phase, Plan, PodSeen, Refusal};
use shard_contract::layout::shards_of;
use shard_contract::layouts::{Layout, Role};
use shard_contract::record::PER_SECRET;
use shard_contract::report::{Report, ShardReport, ShardState, WaitsFor};
use std::time::Duration;

/// A pod that had no answer for so long identifies by the fallback schedule; it is also four report times.
const UNHEARD: Duration = Duration::from_secs(60);

/// What status counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fleet {
    /// The layout with duty.
    pub active: Option<Counted>,
    /// Every layout that has pods or duty.
    pub layouts: Vec<Counted>,
    /// Pods over all layouts.
    pub pods: u32,
    /// Guilds of the layout with duty.
    pub guilds: u64,
    /// A shard that Discord refused for good, and the close code.
    pub refused: Option<(u32, u16)>,
    /// A shard that waits for its record, and for what of it.
    pub waits_for: Option<(u32, WaitsFor)>,
    /// Pods of the layout with duty that do not run, quoted.
    pub troubles: Vec<String>,
    /// Pods that must be taken to identify by the fallback schedule: they say so, or are unheard.
    pub on_fallback_schedule: Vec<String>,
    /// Pods that say that they found themselves cut off and let their shards go.
    pub fenced: Vec<String>,
}

/// One layout counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The layout.
    pub layout: Layout,
    /// Its pods that exist.
    pub pods: u32,
    /// Those that speak: they reported, or are ready and hold a session.
    pub speaking: u32,
    /// Its shards that are connected, or resuming.
    pub online: u32,
}

/// Names the first few of many.
#[must_use]
pub fn first_of(all: &[String], between: &str) -> String {
    let first = all.iter().take(3).cloned().collect::<Vec<_>>().join(between);
    match all.len().saturating_sub(3) {
        0 => first,
        more => format!("{first}{between}and {more} more"),
    }
}

/// Sums up.
#[must_use]
pub fn fleet(observed: &Observed, plan: &Plan) -> Fleet {
    let layouts: Vec<_> = plan
        .layouts
        .iter()
        .map(|layout| count(layout, observed))
        .filter(|counted| counted.pods > 0 || counted.layout.role == Role::Active)
        .collect();
    let active = layouts.iter().find(|counted| counted.layout.role == Role::Active).cloned();
    let is_its =
        |refusal: &&Refusal| active.as_ref().is_some_and(|active| active.layout.number == refusal.layout);
    let of_active = |pod: &&PodSeen| active.as_ref().is_some_and(|active| active.layout.number == pod.layout);
    let shards = || {
        observed
            .pods
            .iter()
            .filter(of_active)
            .filter_map(|pod| pod.report.as_ref())
            .flat_map(|report| &report.shards)
    };
    let who_says = |says: fn(&Report) -> bool| {
        let pods = observed.pods.iter().filter(|pod| pod.report.as_ref().is_some_and(says));
        pods.map(|pod| pod.name.clone()).collect()
    };
    Fleet {
        on_fallback_schedule: observed
            .pods
            .iter()
            .filter(|pod| on_fallback_schedule(pod, observed))
            .map(|pod| pod.name.clone())
            .collect(),
        fenced: who_says(|report| report.isolated),
        pods: observed.pods.len().try_into().unwrap_or(u32::MAX),
        guilds: shards().map(|shard| u64::from(shard.guilds)).sum(),
        refused: shards().filter_map(|shard| Some((shard.id, shard.fatal_close?))).min(),
        waits_for: shards().filter_map(|shard| Some((shard.id, shard.waits_for?))).min(),
        troubles: observed
            .pods
            .iter()
            .filter(of_active)
            .filter_map(|pod| Some(format!("pod {}: {}", pod.name, pod.trouble.as_ref()?)))
            .chain(observed.refusals.iter().filter(is_its).map(|refusal| refusal.said.clone()))
            .collect(),
        active,
        layouts,
    }
}

fn on_fallback_schedule(pod: &PodSeen, observed: &Observed) -> bool {
    pod.report.as_ref().is_some_and(|report| report.on_fallback_schedule) || is_unheard(pod, observed)
}

/// Whether the pod could be heard and is not. What its container's troubles or its lost node explain is said as such. A ready
/// pod of which nothing shows that its image reports is one that does not. What cannot be told: an image that does not report
/// and takes more than a minute to become ready looks like one that does not reach the gate, and one whose every pod was
/// cut off before it kept its first record, and whose own probe calls it ready, looks like one that does not report.
fn is_unheard(pod: &PodSeen, observed: &Observed) -> bool {
    let node = pod.node.as_ref().and_then(|node| observed.nodes.get(node)).copied();
    let explained = pod.trouble.is_some() || node.is_some_and(NodeSeen::is_lost);
    let could_be_heard = pod.phase == Phase::Running && !pod.deleting && pod.report.is_none();
    could_be_heard && pod.silent >= UNHEARD && !explained && (!pod.ready || shows_to_report(pod, observed))
}

/// Whether others of its layout report, or the bot's shards keep records, which only what reports does.
fn shows_to_report(pod: &PodSeen, observed: &Observed) -> bool {
    let mut peers = observed.pods.iter().filter(|peer| peer.layout == pod.layout);
    let found = observed.secrets.iter().filter_map(|secret| secret.found.as_ref());
    let mut records = found.flat_map(|found| found.records.values().flatten());
    peers.any(|peer| peer.report.is_some()) || records.any(|record| record.owner.is_some())
}

fn count(layout: &Layout, observed: &Observed) -> Counted {
    let of_layout = || observed.pods.iter().filter(|pod| pod.layout == layout.number);
    let living = || of_layout().filter(|pod| !pod.deleting && pod.ordinal < layout.pods);
    let online = living().map(|pod| match &pod.report {
        Some(report) => connected(&report.shards, pod.ready),
        None => held(pod, layout, observed),
    });
    let speaks = |pod: &&PodSeen| pod.report.is_some() || held(pod, layout, observed) > 0;
    let counted = |number: usize| number.try_into().unwrap_or(u32::MAX);
    Counted {
        layout: layout.clone(),
        pods: counted(of_layout().count()),
        speaking: counted(living().filter(speaks).count()),
        online: counted(online.sum()),
    }
}

/// Shards of a ready pod that has not reported whose records name a session that it holds. Layouts from before there were records have none:
/// their pods' readiness stands in while a fresh leader hears the fleet.
fn held(pod: &PodSeen, layout: &Layout, observed: &Observed) -> usize {
    if !pod.ready {
        return 0;
    }
    let shards = shards_of(pod.ordinal, layout.pods, layout.total);
    let found = observed.secrets.iter().filter_map(|secret| secret.found.as_ref());
    let mut groups = found.flat_map(|found| found.records.keys());
    if !observed.heard && !groups.any(|(group, _)| *group == layout.session_group) {
        return shards.len();
    }
    let is_held = |shard: &u32| {
        let place = usize::try_from(shard / PER_SECRET).unwrap_or(usize::MAX);
        let found = observed.secrets.get(place).and_then(|secret| secret.found.as_ref());
        let record = found.and_then(|found| found.records.get(&(layout.session_group, *shard))?.as_ref());
        record.is_some_and(|record| record.has_session && record.owner.as_ref() == Some(&pod.uid))
    };
    shards.filter(is_held).count()
}

/// Connected, or resuming for less than the time after which its pod is not ready any more.
fn connected(shards: &[ShardReport], ready: bool) -> usize {
    let counts = |state| state == ShardState::Online || (state == ShardState::Resuming && ready);
    shards.iter().filter(|shard| counts(shard.state)).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{NodeState, RecordSeen, SecretFound, SecretSeen};
    use std::collections::BTreeMap;

    fn silent(ready: bool) -> PodSeen {
        PodSeen { ready, silent: UNHEARD, ..PodSeen::running() }
    }

    fn observed(pods: Vec<PodSeen>) -> Observed {
        Observed { pods, ..Observed::nothing() }
    }

    fn named(observed: &Observed) -> Vec<usize> {
        let all = observed.pods.iter().enumerate();
        all.filter(|(_, pod)| on_fallback_schedule(pod, observed)).map(|(place, _)| place).collect()
    }

    #[test]
    fn a_pod_is_on_the_fallback_schedule_that_says_so_or_could_be_heard_and_is_not() {
        let says = Report { on_fallback_schedule: true, ..Report::default() };
        let pods = vec![
            silent(false),
            PodSeen { report: Some(says), silent: Duration::ZERO, ..silent(true) },
            PodSeen { silent: Duration::from_secs(59), ..silent(false) },
            PodSeen { phase: Phase::Pending, ..silent(false) },
            PodSeen { deleting: true, ..silent(false) },
            PodSeen { trouble: Some("CrashLoopBackOff".into()), ..silent(false) },
            PodSeen { node: Some("lost".into()), ..silent(false) },
        ];
        let mut observed = observed(pods);
        let lost = NodeSeen { state: NodeState::Unknown, since: None };
        observed.nodes.insert("lost".into(), lost);
        assert_eq!(named(&observed), [0, 1]);
    }

    #[test]
    fn a_ready_pod_is_on_the_fallback_schedule_only_if_something_shows_that_its_image_reports() {
        let peer = |layout| PodSeen { report: Some(Report::default()), layout, ..silent(true) };
        assert!(named(&observed(vec![silent(true)])).is_empty());
        assert!(named(&observed(vec![silent(true), peer(2)])).is_empty());
        assert_eq!(named(&observed(vec![silent(true), peer(1)])), [0]);
        let kept = |owner: Option<&str>| {
            let record = RecordSeen { owner: owner.map(str::to_owned), ..RecordSeen::default() };
            let records = BTreeMap::from([((0, 0), Some(record))]);
            let found = SecretFound { records, ..SecretFound::default() };
            let secrets = vec![SecretSeen { name: "s".into(), found: Some(found) }];
            named(&Observed { secrets, ..observed(vec![silent(true)]) })
        };
        assert!(kept(None).is_empty());
        assert_eq!(kept(Some("u")), [0]);
    }

    fn shard(id: u32, state: ShardState) -> ShardReport {
        ShardReport {
            id,
            state,
            guilds: 1,
            unavailable_guilds: 0,
            latency_ms: None,
            identifies: 0,
            resumes: 0,
            events: 0,
            redelivered: 0,
            idle_ms: None,
            fatal_close: None,
            waits_for: None,
        }
    }

    #[test]
    fn a_shard_that_resumes_counts_until_its_pod_says_that_it_takes_too_long() {
        // A pod is not ready any more when a shard of it has been without a session for more than 60 s.
        use ShardState::{Identifying, Online, Refused, Resuming, Waiting};
        let all = [Online, Resuming, Waiting, Identifying, Refused];
        let shards: Vec<_> = (0..).zip(all).map(|(id, state)| shard(id, state)).collect();
        assert_eq!((connected(&shards, true), connected(&shards, false)), (2, 1));
    }

    #[test]
    fn a_ready_pod_without_a_report_is_online_only_with_shards_of_which_it_holds_a_session() {
        let layout =
            Layout { number: 1, total: 4, pods: 2, role: Role::Active, session_group: 3, fallback_slot: 0 };
        let online = |pod: PodSeen, records: &[(u32, u32, &str, bool)]| {
            let record = |(group, shard, owner, has_session): &(u32, u32, &str, bool)| {
                let owner = Some((*owner).to_owned());
                (
                    (*group, *shard),
                    Some(RecordSeen { owner, has_session: *has_session, ..RecordSeen::default() }),
                )
            };
            let found =
                SecretFound { records: records.iter().map(record).collect(), ..SecretFound::default() };
            let secrets = vec![SecretSeen { name: "s".into(), found: Some(found) }];
            let counted = count(&layout, &Observed { secrets, ..observed(vec![pod]) });
            (counted.online, counted.speaking)
        };
        let held = [(3, 0, "u", true), (3, 1, "u", true)];
        assert_eq!(online(silent(true), &[]), (0, 0));
        assert_eq!(online(silent(true), &held), (2, 1), "as a fresh leader finds it");
        assert_eq!(online(silent(false), &held), (0, 0));
        let others = [(3, 0, "u", false), (3, 1, "v", true), (2, 0, "u", true), (3, 2, "u", true)];
        assert_eq!(online(silent(true), &others), (0, 0), "begun, another's, another group's, another pod's");
        let report = Some(Report { shards: vec![shard(0, ShardState::Online)], ..Report::default() });
        assert_eq!(online(PodSeen { report, ..silent(true) }, &held), (1, 1), "its word counts");
    }

    #[test]
    fn of_many_the_first_three_are_named() {
        let names: Vec<_> = (0..5).map(|name| name.to_string()).collect();
        assert_eq!(first_of(&names, ", "), "0, 1, 2, and 2 more");
        assert_eq!(first_of(&names[..2], "; "), "0; 1");
        assert_eq!(first_of(&[], "; "), "");
    }
}
