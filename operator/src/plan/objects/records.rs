//! The Secrets with the records of sessions: `<bot>-sessions-<k>`, one record per session group and shard.
//!
//! From the layouts and what was seen of the Secrets to the changes that are due. The operator only says two things of a
//! record, that it is free and that nobody needs it any more; all else is the pods' word:
//!
//! - A Secret that is missing is made, by POST and not by server-side apply, which would own the keys. One that was deleted
//!   by hand comes back without the records that pods may hold: a pod can add a record, but cannot make a Secret.
//! - A record that is missing is added as free when no pod may hold it: there is none at the shard's place in any layout
//!   of the session group, or it does not run, or it says that the shard waits, as one does that finds no record. Else it is left to
//!   its holder, who writes it with its next park or claim. So "free" never contradicts a pod that is connected.
//! - A record that exists is never written, but for one that nobody can read, which counts as missing.
//! - Records of a session group are removed when no layout, announced ones and those with only terminating pods included, has
//!   it any more. While a pod's layout is not known, none is removed and none is free.
//!
//! Each patch tests the Secret's version first, so that what a pod wrote in between stands. Layouts before revision 2 have
//! no records. Deliberately absent: sessions, and removing Secrets, which go with the bot.

use super::stateful_set::Arrangement;
use super::with_hash;
use crate::model::{Belongs, Kind, Object, Observed, Phase, PodSeen, SecretFound, Step};
use crate::names::Owner;
use k8s_openapi::ByteString;
use serde_json::{Map, Value, json};
use shard_contract::layout::pod_of;
use shard_contract::names::{record_key, sessions_secret};
use shard_contract::record::{PER_SECRET, Record};
use shard_contract::report::ShardState;
use std::collections::BTreeSet;

/// The key that each Secret has beside its records: without any, it would have no data to add a record to.
const ABOUT: &str = "about";
const ABOUT_TEXT: &str = "Who owns which session of the bot. Written by its pods; do not edit.\n";

/// Who needs records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Layouts whose shards must have records.
    pub wanted: Vec<Arrangement>,
    /// All layouts that may have pods, these included.
    pub alive: Vec<Arrangement>,
    /// The session groups whose records stay; none while it is not known of every pod which session group it has.
    pub session_groups: Option<BTreeSet<u32>>,
}

impl Needs {
    /// Names of the Secrets that must exist, by rising shards.
    #[must_use]
    pub fn secrets(&self, owner: &Owner) -> Vec<String> {
        let totals = self.alive.iter().filter(|layout| layout.keeps_records()).map(|layout| layout.total);
        secrets(&owner.name, totals.max().unwrap_or(0))
    }
}

/// Names of the Secrets for so many shards, by rising shards.
fn secrets(bot: &str, total: u32) -> Vec<String> {
    (0..total.div_ceil(PER_SECRET)).map(|index| sessions_secret(bot, index * PER_SECRET)).collect()
}

/// Which of the bot's Secrets this is.
fn index_of(bot: &str, secret: &str) -> Option<u32> {
    secret.strip_prefix(bot)?.strip_prefix("-sessions-")?.parse().ok()
}

/// What is to be done about the Secrets.
#[must_use]
pub fn records(owner: &Owner, needs: &Needs, observed: &Observed) -> Vec<Step> {
    let needed = needs.secrets(owner);
    let mut steps = Vec::new();
    for seen in &observed.secrets {
        let Some(index) = index_of(&owner.name, &seen.name) else { continue };
        match &seen.found {
            None if needed.contains(&seen.name) => {
                let free = missing(needs, index, None, observed);
                steps.push(Step::Create(secret(owner, &seen.name, &free)));
            }
            Some(found) if found.belongs == Belongs::ToThisBot && !found.deleting => {
                let operations = operations(needs, index, found, observed);
                if !operations.is_empty() {
                    steps.push(Step::Patch { secret: seen.name.clone(), operations });
                }
            }
            // `taken` speaks of one that is not ours.
            None | Some(_) => {}
        }
    }
    steps
}

/// A Secret as it is made.
fn secret(owner: &Owner, name: &str, free: &[String]) -> Object {
    let mut body = owner.head(Kind::Secret, name, &owner.labels());
    let mut data = Map::from_iter([(ABOUT.to_owned(), base64(ABOUT_TEXT))]);
    data.extend(free.iter().map(|key| (key.clone(), free_record())));
    body["type"] = "Opaque".into();
    body["data"] = Value::Object(data);
    with_hash(Kind::Secret, name.to_owned(), body)
}

/// The changes that a Secret needs, if it needs any, after the test that it is still what was read.
fn operations(needs: &Needs, index: u32, found: &SecretFound, observed: &Observed) -> Vec<Value> {
    let mut changes = Vec::new();
    if found.bare {
        changes.push(json!({ "op": "add", "path": "/data", "value": { ABOUT: base64(ABOUT_TEXT) } }));
    }
    if let Some(session_groups) = &needs.session_groups {
        let unneeded =
            found.records.keys().filter(|(session_group, _)| !session_groups.contains(session_group));
        changes.extend(unneeded.map(|(session_group, shard)| {
            json!({ "op": "remove", "path": format!("/data/{}", record_key(*session_group, *shard)) })
        }));
    }
    changes.extend(
        missing(needs, index, Some(found), observed)
            .iter()
            .map(|key| json!({ "op": "add", "path": format!("/data/{key}"), "value": free_record() })),
    );
    if !changes.is_empty() {
        changes
            .insert(0, json!({ "op": "test", "path": "/metadata/resourceVersion", "value": found.version }));
    }
    changes
}

/// Keys of the records of one Secret that are missing and surely free.
fn missing(needs: &Needs, index: u32, found: Option<&SecretFound>, observed: &Observed) -> Vec<String> {
    if needs.session_groups.is_none() {
        return Vec::new();
    }
    let mut keys = BTreeSet::new();
    for layout in needs.wanted.iter().filter(|layout| layout.keeps_records()) {
        let from = index * PER_SECRET;
        for shard in from..layout.total.min(from + PER_SECRET) {
            let stands = |found: &SecretFound| {
                found.records.get(&(layout.session_group, shard)).is_some_and(Option::is_some)
            };
            if !found.is_some_and(stands) && !may_be_held(needs, observed, layout.session_group, shard) {
                keys.insert((layout.session_group, shard));
            }
        }
    }
    keys.into_iter().map(|(session_group, shard)| record_key(session_group, shard)).collect()
}

/// Whether some pod may hold this shard's record.
fn may_be_held(needs: &Needs, observed: &Observed, session_group: u32, shard: u32) -> bool {
    let places = needs.alive.iter().filter(|layout| layout.session_group == session_group);
    let mut places =
        places.filter_map(|layout| Some((layout.number, pod_of(shard, layout.pods, layout.total)?)));
    places.any(|(number, ordinal)| {
        let mut there = observed.pods.iter().filter(|pod| (pod.layout, pod.ordinal) == (number, ordinal));
        there.any(|pod| may_hold(pod, shard))
    })
}

fn may_hold(pod: &PodSeen, shard: u32) -> bool {
    let Some(report) = &pod.report else { return pod.phase == Phase::Running };
    let state = report.shards.iter().find(|one| one.id == shard).map(|one| one.state);
    report.isolated || state != Some(ShardState::Waiting)
}

fn free_record() -> Value {
    // A record without fields that could fail to be written.
    base64(&serde_json::to_string(&Record::default()).unwrap_or_default())
}

fn base64(text: &str) -> Value {
    serde_json::to_value(ByteString(text.as_bytes().to_vec())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{RecordSeen, SecretSeen};
    use shard_contract::report::{Report, ShardReport};

    fn layout(number: u32, session_group: u32) -> Arrangement {
        Arrangement { number, total: 4, pods: 2, revision: 2, session_group, fallback_slot: 0 }
    }

    fn pod(layout: u32, ordinal: u32, state: Option<ShardState>) -> PodSeen {
        let shard = |id, state| ShardReport {
            id,
            state,
            guilds: 0,
            unavailable_guilds: 0,
            latency_ms: None,
            identifies: 0,
            resumes: 0,
            events: 0,
            redelivered: 0,
            idle_ms: None,
            fatal_close: None,
            waits_for: None,
        };
        let shards = |state| vec![shard(ordinal * 2, state), shard(ordinal * 2 + 1, state)];
        PodSeen {
            name: format!("b-{layout}-{ordinal}"),
            layout,
            ordinal,
            ready: true,
            node: None,
            report: state.map(|state| Report { layout, shards: shards(state), ..Report::default() }),
            ..PodSeen::running()
        }
    }

    fn observed(pods: Vec<PodSeen>, found: Option<SecretFound>) -> Observed {
        Observed {
            secrets: vec![SecretSeen { name: "b-sessions-0".into(), found }],
            pods,
            ..Observed::nothing()
        }
    }

    fn needs(alive: &[Arrangement], wanted: &[Arrangement]) -> Needs {
        let session_groups = Some(alive.iter().map(|layout| layout.session_group).collect());
        Needs { wanted: wanted.to_vec(), alive: alive.to_vec(), session_groups }
    }

    fn free(pods: Vec<PodSeen>, needs: &Needs) -> Vec<String> {
        missing(needs, 0, None, &observed(pods, None))
    }

    #[test]
    fn a_missing_record_is_free_only_when_no_pod_may_hold_it() {
        use ShardState::{Identifying, Online, Refused, Resuming, Waiting};
        let needs = needs(&[layout(1, 0)], &[layout(1, 0)]);
        assert_eq!(free(vec![], &needs), ["0.0", "0.1", "0.2", "0.3"]);
        assert_eq!(free(vec![pod(1, 0, Some(Waiting)), pod(1, 1, None)], &needs), ["0.0", "0.1"]);
        for holds in [Identifying, Online, Resuming, Refused] {
            assert_eq!(free(vec![pod(1, 0, Some(holds))], &needs), ["0.2", "0.3"], "{holds:?}");
        }
        let not_started = PodSeen { phase: Phase::Pending, ..pod(1, 0, None) };
        assert_eq!(free(vec![not_started, pod(1, 1, None)], &needs), ["0.0", "0.1"]);
        let mut fenced = pod(1, 0, Some(Waiting));
        fenced.report.as_mut().unwrap().isolated = true;
        assert_eq!(free(vec![fenced], &needs), ["0.2", "0.3"]);
    }

    #[test]
    fn a_holder_in_another_layout_of_the_session_group_counts_and_in_another_does_not() {
        let online = || vec![pod(1, 1, Some(ShardState::Online))];
        let same = needs(&[layout(1, 0), layout(2, 0)], &[layout(2, 0)]);
        assert_eq!(free(online(), &same), ["0.0", "0.1"]);
        let other = needs(&[layout(1, 0), layout(2, 2)], &[layout(2, 2)]);
        assert_eq!(free(online(), &other), ["2.0", "2.1", "2.2", "2.3"]);
        let unknown = Needs { session_groups: None, ..other };
        assert_eq!(free(online(), &unknown), Vec::<String>::new());
    }

    #[test]
    fn a_patch_tests_the_version_and_touches_no_record_of_a_living_session_group() {
        let held = Some(RecordSeen::default());
        let found = SecretFound {
            belongs: Belongs::ToThisBot,
            version: "7".into(),
            records: [((0, 0), held.clone()), ((0, 1), None), ((0, 2), held.clone()), ((5, 0), held)].into(),
            ..SecretFound::default()
        };
        let needs = needs(&[layout(1, 0)], &[layout(1, 0)]);
        let seen = observed(vec![pod(1, 1, Some(ShardState::Online))], Some(found.clone()));
        let changes = operations(&needs, 0, &found, &seen);
        let said: Vec<_> = changes.iter().map(|one| format!("{} {}", one["op"], one["path"])).collect();
        assert_eq!(
            said,
            [r#""test" "/metadata/resourceVersion""#, r#""remove" "/data/5.0""#, r#""add" "/data/0.1""#]
        );
        assert_eq!((&changes[0]["value"], &changes[2]["value"]), (&json!("7"), &free_record()));
        let unknown = Needs { session_groups: None, ..needs };
        assert_eq!(operations(&unknown, 0, &found, &seen), Vec::<Value>::new());
    }

    #[test]
    fn pods_of_the_first_revision_have_no_records() {
        let first = Arrangement { revision: 1, ..layout(1, 0) };
        let needs = needs(&[first], &[first]);
        let owner = Owner { name: "b".into(), namespace: "n".into(), uid: "u".into() };
        assert_eq!(records(&owner, &needs, &observed(vec![], None)), []);
        assert_eq!(needs.secrets(&owner), Vec::<String>::new());
    }
}
