//! Which layouts there should be next.
//!
//! From the sets that exist, the total that is wanted and what holds it back, to one of three: keep, stop the old, start
//! the next. That is the update type `Recreate`. What state a change is in is read off the sets and the pods alone.
//! Deliberately absent: the objects of a layout.

use super::objects::stateful_set::{Arrangement, KEEPS_RECORDS, identity, stateful_set};
use super::shards::Running;
use super::spec::Spec;
use crate::model::budget::kept_for_live;
use crate::model::{Child, Kind, Note, Observed, Phase, PodSeen, Reason, Same, Verdict};
use crate::names::{
    FALLBACK_SLOT_LABEL, HASH_ANNOTATION, IDENTITY_ANNOTATION, PODS_LABEL, RESTARTED_AT_ANNOTATION,
    REVISION_ANNOTATION, SESSION_GROUP_LABEL, TOTAL_LABEL,
};
use shard_contract::REVISION;
use shard_contract::fallback::LAYOUT_SLOTS;
use shard_contract::layout::{MAX_TOTAL, pods_for};
use shard_contract::layouts::Role;
use shard_contract::names::stateful_set as set_name;

/// A StatefulSet of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetSeen {
    /// Its layout's number.
    pub number: u32,
    /// Its layout's total.
    pub total: u32,
    /// Its layout's pods.
    pub pods: u32,
    /// The contract's revision that its pods were made by.
    pub revision: u32,
    /// Whose records its layout's shards have.
    pub session_group: u32,
    /// Its layout's slot in the fallback schedule.
    pub fallback_slot: u32,
    /// What its layout was made from.
    pub identity: String,
    /// What is written now and stands for the same pods, by its identity; none: nothing else is known to.
    pub same_as: Option<String>,
    /// The restart mark that it was made with, empty where there was none; none: it does not say.
    pub restarted_at: Option<String>,
    /// Whether it is on its way out.
    pub deleting: bool,
}

impl SetSeen {
    /// A set that is about to be made.
    #[must_use]
    pub fn of(next: Arrangement) -> Self {
        let Arrangement { number, total, pods, revision, session_group, fallback_slot } = next;
        Self {
            number,
            total,
            pods,
            revision,
            session_group,
            fallback_slot,
            identity: String::new(),
            same_as: None,
            restarted_at: None,
            deleting: false,
        }
    }

    /// Its arrangement.
    #[must_use]
    pub fn arrangement(&self) -> Arrangement {
        let Self { number, total, pods, revision, session_group, fallback_slot, .. } = *self;
        Arrangement { number, total, pods, revision, session_group, fallback_slot }
    }

    /// Whether somebody took its identity away.
    #[must_use]
    pub fn is_stripped(&self) -> bool {
        self.identity.is_empty()
    }

    /// Whether the spec still asks for what it was made from.
    #[must_use]
    pub fn matches(&self, spec: &Spec) -> bool {
        let wanted = identity(spec, self.total, self.pods, self.revision);
        self.identity == wanted || self.same_as.as_ref() == Some(&wanted)
    }
}

/// What to do about layouts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Keep what there is.
    Keep {
        /// The layout with duty, if there is one.
        current: Option<SetSeen>,
        /// How things stand; and why it is kept, if the spec asks for another.
        verdict: Verdict,
        /// Sets beside it that go: the document does not know them, so that their pods handle nothing.
        strays: Vec<SetSeen>,
    },
    /// Stop the old ones and wait until their pods are gone.
    Stop {
        /// The layouts to stop.
        old: Vec<SetSeen>,
        /// The layout that will start then; none when the bot is stopped.
        next: Option<Arrangement>,
        /// Pods that are still there.
        waits_for: usize,
    },
    /// Start this one.
    Start {
        /// The next layout.
        next: Arrangement,
    },
}

/// The sets among the children, by number. What a set is stands in its labels and annotations, which anybody may edit or take away, and but
/// for identity and revision in the document as well, which stands in for labels that are gone; the number is in its name. One made
/// before revision 2 has session group 0 and the slot that its number gives. One that lost its identity has none.
#[must_use]
pub fn sets(observed: &Observed) -> Vec<SetSeen> {
    let number = |child: &Child, label| {
        child.label(label).and_then(|value| value.parse().ok()).filter(|number| *number <= MAX_TOTAL)
    };
    let told = |layout: u32| {
        let mut told = observed.document.iter().flat_map(|document| &document.layouts);
        told.find(|told| told.number == layout && told.total > 0)
    };
    let alike = |layout: u32| {
        let alike = observed.answers.alike.as_ref();
        let alike = alike.filter(|alike| alike.layout == layout && alike.same == Same::Yes);
        alike.map(|alike| alike.identity.clone())
    };
    let mut sets: Vec<_> = observed
        .children
        .iter()
        .filter(|child| child.kind == Kind::StatefulSet && child.ours)
        .filter_map(|child| {
            let layout = layout_of(child)?;
            let revision = child.annotation(REVISION_ANNOTATION).and_then(|told| told.parse().ok());
            let revision = revision.unwrap_or(REVISION);
            let told = told(layout);
            let of_records = told.filter(|_| revision >= KEEPS_RECORDS);
            let session_group = number(child, SESSION_GROUP_LABEL);
            let fallback_slot = number(child, FALLBACK_SLOT_LABEL);
            Some(SetSeen {
                number: layout,
                session_group: session_group.or(of_records.map(|told| told.session_group)).unwrap_or(0),
                fallback_slot: fallback_slot.or(of_records.map(|told| told.fallback_slot)).unwrap_or(layout)
                    % LAYOUT_SLOTS,
                total: number(child, TOTAL_LABEL).or(told.map(|told| told.total))?,
                pods: number(child, PODS_LABEL).or(told.map(|told| told.pods))?,
                revision,
                identity: child.annotation(IDENTITY_ANNOTATION).unwrap_or_default().to_owned(),
                same_as: alike(layout),
                restarted_at: child.annotation(RESTARTED_AT_ANNOTATION).map(str::to_owned),
                deleting: child.deleting,
            })
        })
        .collect();
    sets.sort_by_key(|set| set.number);
    sets
}

/// Corrects what labels say of a set where somebody edited them: what it was made from gives its hash, and tells which of labels and document
/// are right while the spec is as it was; else the document is. A revision that is gone is the one that gives its identity.
pub fn recognise(spec: &Spec, observed: &Observed, sets: &mut [SetSeen]) {
    for set in sets {
        let name = set_name(&spec.owner.name, set.number);
        let mut children = observed.children.iter();
        let Some(child) = children.find(|child| child.kind == Kind::StatefulSet && child.name == name) else {
            continue;
        };
        if child.annotation(REVISION_ANNOTATION).and_then(|told| told.parse::<u32>().ok()).is_none() {
            // None: the spec has changed since, or somebody wrote something else there, and the pods are to be replaced.
            let made_by = |revision: &u32| set.identity == identity(spec, set.total, set.pods, *revision);
            set.revision = (1..=REVISION).find(made_by).unwrap_or(set.revision);
        }
        let told = observed.document.iter().flat_map(|document| &document.layouts);
        let Some(told) = told.into_iter().find(|told| told.number == set.number && told.total > 0) else {
            continue;
        };
        let hash = child.annotation(HASH_ANNOTATION).unwrap_or_default();
        let gives_hash = |arranged: Arrangement| {
            let made = stateful_set(spec, arranged);
            made.body["metadata"]["annotations"][HASH_ANNOTATION].as_str() == Some(hash)
        };
        let as_told = Arrangement {
            total: told.total,
            pods: told.pods,
            session_group: told.session_group,
            fallback_slot: told.fallback_slot,
            ..set.arrangement()
        };
        if as_told != set.arrangement() && !gives_hash(set.arrangement()) {
            set.total = told.total;
            set.pods = told.pods;
            set.session_group = told.session_group;
            set.fallback_slot = told.fallback_slot;
        }
    }
}

/// The number of the layout that a set of ours is: the end of its name, which nobody can edit.
fn layout_of(set: &Child) -> Option<u32> {
    set.name.rsplit_once('-')?.1.parse().ok()
}

/// A set of ours of which neither its labels nor the document say what its layout is.
#[must_use]
pub fn unreadable(observed: &Observed, sets: &[SetSeen]) -> Option<Note> {
    let mut ours = observed.children.iter().filter(|child| child.kind == Kind::StatefulSet && child.ours);
    let set = ours.find(|child| {
        let layout = layout_of(child);
        !child.deleting && !sets.iter().any(|set| Some(set.number) == layout)
    })?;
    Some(Note::new(
        Reason::SetUnreadable,
        format!(
            "StatefulSet {} lost its labels {TOTAL_LABEL} and {PODS_LABEL}, and the document with the layouts does not know it, so that nobody can tell which shards its pods have; nothing is changed; put the labels back (shards in all, pods), or delete the StatefulSet to have the fleet started anew",
            set.name
        ),
    ))
}

/// The fleet with duty; while a change is under way the one that comes next, or the one that was stopped last. And how
/// full its fullest shard is.
#[must_use]
pub fn running(sets: &[SetSeen], observed: &Observed) -> Option<Running> {
    let living = sets.iter().rev().find(|set| !set.deleting).map(|set| (set.number, set.total));
    let told = observed.document.iter().flat_map(|known| &known.layouts).map(|one| (one.number, one.total));
    let ending = sets.last().map(|set| (set.number, set.total));
    let (number, total) = living.or(told.max()).or(ending).filter(|(_, total)| *total > 0)?;
    let of_it = observed.pods.iter().filter(|pod| pod.layout == number);
    let shards = of_it.filter_map(|pod| pod.report.as_ref()).flat_map(|report| &report.shards);
    Some(Running { total, fullest: shards.map(|shard| shard.guilds).max().unwrap_or(0) })
}

/// The set that may stand for what the spec asks for, though it was written otherwise, and the identity of what is written now. Whoever
/// has the fleet restarted wants other pods, though they be the same.
#[must_use]
pub fn in_doubt<'a>(
    spec: &Spec,
    sets: &'a [SetSeen],
    observed: &Observed,
    total: u32,
) -> Option<(&'a SetSeen, String)> {
    let set = sets.iter().rev().find(|set| !set.deleting)?;
    let arranged = set.total == total && set.pods == pods_for(total, spec.shards_per_pod);
    // One that lost its identity may have lost the mark with it.
    let marked = set.is_stripped() && set.restarted_at.is_none()
        || set.restarted_at.as_deref() == Some(spec.restarted_at.as_deref().unwrap_or_default());
    if !arranged || !marked || set.matches(spec) {
        return None;
    }
    let wanted = identity(spec, set.total, set.pods, set.revision);
    let asked = observed.answers.alike.as_ref();
    let known = asked.is_some_and(|alike| alike.layout == set.number && alike.identity == wanted);
    (!known).then_some((set, wanted))
}

/// What to do about layouts to get to this total, as far as spec and budget go.
#[must_use]
pub fn wanted_change(
    spec: &Spec,
    sets: &[SetSeen],
    observed: &Observed,
    total: u32,
    current: Option<&SetSeen>,
) -> Change {
    let keep = |verdict| Change::Keep { current: current.cloned(), verdict, strays: Vec::new() };
    let pods = pods_for(total, spec.shards_per_pod);
    let fits = |set: &&SetSeen| set.total == total && set.pods == pods && set.matches(spec);
    let left = |number: u32| left(observed, number).count();
    if let Some(set) = current.filter(fits) {
        let old: Vec<_> = sets.iter().filter(|other| other.number != set.number).cloned().collect();
        let living = || old.iter().filter(|other| !other.deleting);
        return if living().all(|other| is_stray(other, set, observed)) {
            let strays = living().cloned().collect();
            Change::Keep { current: Some(set.clone()), verdict: Verdict::Settled, strays }
        } else {
            Change::Stop { old, next: Some(set.arrangement()), waits_for: left(set.number) }
        };
    }
    if let Some(note) = spec.refused.clone().filter(|_| total > 0) {
        return keep(Verdict::Stalled(note));
    }
    let next = next(sets, observed, total, pods);
    let idle = sets.is_empty() && left(next.number) == 0;
    if idle && total == 0 {
        return keep(Verdict::Settled);
    }
    // A change that has begun goes on: a bot without any fleet is not a safe point to pause at.
    let unfinished = observed.document.iter().flat_map(|known| &known.layouts).any(|layout| layout.total > 0);
    let begun = current.is_none() && (!idle || unfinished);
    if spec.paused && !begun {
        return keep(Verdict::Moving(Note::new(
            Reason::Paused,
            "spec.paused holds a change of the layout; set it to false to carry the change out",
        )));
    }
    if idle {
        return Change::Start { next };
    }
    if current.is_some()
        && let Some(note) = wait(spec, total, observed)
    {
        return keep(Verdict::Moving(note));
    }
    Change::Stop { old: sets.to_vec(), next: (total > 0).then_some(next), waits_for: left(next.number) }
}

/// Pods of other layouts than this one that may still hold shards.
pub fn left(observed: &Observed, number: u32) -> impl Iterator<Item = &PodSeen> {
    observed.pods.iter().filter(move |pod| pod.layout != number && pod.phase != Phase::Ended)
}

/// Whether a set came from a leader that is no more, after its successor had made the one that has duty: the document has never told of
/// it.
fn is_stray(other: &SetSeen, current: &SetSeen, observed: &Observed) -> bool {
    let told = |number: u32| {
        let mut told = observed.document.iter().flat_map(|document| &document.layouts);
        told.find(|layout| layout.number == number)
    };
    told(current.number).is_some_and(|layout| layout.role == Role::Active) && told(other.number).is_none()
}

/// What a running fleet waits for before it is stopped for another. The gate knows of grants that Discord's last answer does
/// not, and Discord of IDENTIFYs that the gate does not: the smaller count is the safer.
fn wait(spec: &Spec, total: u32, observed: &Observed) -> Option<Note> {
    if total == 0 {
        return None;
    }
    let Some(gateway) = observed.discord.answer.as_ref() else {
        return Some(Note::new(
            Reason::AskingDiscord,
            "the change needs IDENTIFYs; Discord is asked how many are left",
        ));
    };
    let reserve = u64::from(kept_for_live(gateway.total, spec.reserve_percent));
    let remaining = observed.gate.map_or(gateway.remaining, |gate| gate.remaining.min(gateway.remaining));
    let (needs, left) = (u64::from(total), u64::from(remaining).saturating_sub(reserve));
    (needs > left).then(|| {
        Note::new(
            Reason::WaitingForBudget,
            format!(
                "the change needs {needs} IDENTIFYs; {remaining} of {} are left today and {reserve} are kept for live shards; the budget is full again at {}{}",
                gateway.total,
                gateway.resets_at,
                if needs + reserve > u64::from(gateway.total) {
                    ", but even then it does not fit: lower spec.shards or spec.identify.reservePercent"
                } else {
                    ""
                }
            ),
        )
    })
}

/// The next layout. The first has session group 0; later ones have the session group of the one before when they have its total, else one
/// of their own. The slot is the lowest that no layout has which may still have pods somewhere.
fn next(sets: &[SetSeen], observed: &Observed, total: u32, pods: u32) -> Arrangement {
    let number = next_number(sets, observed);
    let told = observed.document.iter().flat_map(|document| &document.layouts);
    let told = told.filter(|layout| layout.role != Role::Standby && layout.number != number);
    let told = told.map(|layout| (layout.number, layout.total, layout.session_group, layout.fallback_slot));
    let known: Vec<_> = sets
        .iter()
        .map(|set| (set.number, set.total, set.session_group, set.fallback_slot))
        .chain(told)
        .collect();
    let before = known.iter().max_by_key(|(number, ..)| number);
    let session_group = match before {
        None => 0,
        Some((_, before, session_group, _)) if *before == total => *session_group,
        Some(_) => number,
    };
    let taken = |fallback_slot: &u32| known.iter().any(|(_, total, _, of)| *total > 0 && of == fallback_slot);
    let fallback_slot =
        (0..LAYOUT_SLOTS).find(|fallback_slot| !taken(fallback_slot)).unwrap_or(number % LAYOUT_SLOTS);
    Arrangement { number, total, pods, revision: REVISION, session_group, fallback_slot }
}

/// One above every number that any trace of an earlier layout names.
#[must_use]
pub fn next_number(sets: &[SetSeen], observed: &Observed) -> u32 {
    let told = observed.document.iter().flat_map(|document| &document.layouts);
    // One that was only announced has made nothing yet.
    let told = told.filter(|layout| layout.role != Role::Standby).map(|layout| layout.number);
    let pods = observed.pods.iter().map(|pod| pod.layout);
    sets.iter().map(|set| set.number).chain(told).chain(pods).max().unwrap_or(0).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crd::ShardedBot;
    use crate::model::{DiscordSeen, GateFigures, GatewaySeen};
    use crate::plan::spec::check;
    use k8s_openapi::jiff::Timestamp;
    use serde_json::json;
    use shard_contract::layouts::{Layout, Layouts};
    use shard_contract::names::LAYOUT_LABEL;

    fn set(number: u32, labels: &[(&str, &str)], revision: u32) -> Child {
        let mut all = json!({
            LAYOUT_LABEL: number.to_string(), TOTAL_LABEL: "16", PODS_LABEL: "2",
        });
        for (key, value) in labels {
            all[*key] = (*value).into();
        }
        let annotations =
            json!({ REVISION_ANNOTATION: revision.to_string(), IDENTITY_ANNOTATION: "identity" });
        Child {
            kind: Kind::StatefulSet,
            name: format!("b-{number}"),
            uid: format!("set-{number}"),
            ours: true,
            version: String::new(),
            generation: 0,
            of_a_bot: true,
            deleting: false,
            hand: None,
            live: json!({ "metadata": { "labels": all, "annotations": annotations } }),
        }
    }

    fn told(number: u32, role: Role, session_group: u32, fallback_slot: u32) -> Layout {
        Layout { number, total: 16, pods: 2, role, session_group, fallback_slot }
    }

    fn observed(children: Vec<Child>, layouts: Vec<Layout>) -> Observed {
        Observed {
            children,
            document: (!layouts.is_empty()).then(|| Layouts { layouts, ..Layouts::default() }),
            ..Observed::nothing()
        }
    }

    #[test]
    fn session_group_and_slot_are_read_off_the_set_or_follow_from_its_revision() {
        let labelled = set(5, &[(SESSION_GROUP_LABEL, "3"), (FALLBACK_SLOT_LABEL, "2")], 2);
        let document = || vec![told(5, Role::Active, 4, 3)];
        let of = |child: Child, layouts| {
            let sets = sets(&observed(vec![child], layouts));
            (sets[0].session_group, sets[0].fallback_slot)
        };
        assert_eq!(of(labelled.clone(), vec![]), (3, 2), "the document was deleted");
        assert_eq!(of(labelled, document()), (3, 2), "somebody may have edited the document");
        assert_eq!(of(set(5, &[], 2), document()), (4, 3), "the labels were removed");
        assert_eq!(of(set(5, &[], 1), document()), (0, 1), "a set from before session groups");
    }

    #[test]
    fn a_set_that_the_document_never_told_of_goes_and_the_one_with_duty_stays() {
        let template = json!({ "spec": { "containers": [{ "name": "bot", "image": "bot:1" }] } });
        let spec = json!({ "tokenSecretRef": { "name": "token" }, "shardsPerPod": 8, "template": template });
        let spec = check(&ShardedBot::new("b", serde_json::from_value(spec).unwrap())).unwrap();
        let fits = |number| {
            let mut set = set(number, &[], 2);
            set.live["metadata"]["annotations"][IDENTITY_ANNOTATION] = identity(&spec, 16, 2, 2).into();
            set
        };
        let of = |document| {
            let observed = observed(vec![fits(1), fits(2)], document);
            match wanted_change(&spec, &sets(&observed), &observed, 16, sets(&observed).last()) {
                Change::Keep { strays, .. } => (strays.iter().map(|set| set.number).collect(), vec![]),
                Change::Stop { old, .. } => (vec![], old.iter().map(|set| set.number).collect::<Vec<_>>()),
                Change::Start { .. } => (vec![], vec![]),
            }
        };
        assert_eq!(of(vec![told(2, Role::Active, 0, 0)]), (vec![1], vec![]));
        let known = vec![told(1, Role::Active, 0, 0), told(2, Role::Standby, 0, 1)];
        assert_eq!(of(known), (vec![], vec![1]));
    }

    #[test]
    fn a_fleet_that_runs_with_what_is_refused_today_is_kept_and_can_be_stopped() {
        let template =
            json!({ "spec": { "hostNetwork": true, "containers": [{ "name": "bot", "image": "bot:1" }] } });
        let spec = json!({ "tokenSecretRef": { "name": "token" }, "shardsPerPod": 8, "template": template });
        let spec = check(&ShardedBot::new("b", serde_json::from_value(spec).unwrap())).unwrap();
        let mut fits = set(1, &[], 2);
        fits.live["metadata"]["annotations"][IDENTITY_ANNOTATION] = identity(&spec, 16, 2, 2).into();
        let observed = observed(vec![fits], vec![told(1, Role::Active, 0, 0)]);
        let sets = sets(&observed);
        let wanted = |total| wanted_change(&spec, &sets, &observed, total, sets.last());
        let kept = |change| match change {
            Change::Keep { current: Some(_), verdict, .. } => Some(verdict),
            _ => None,
        };
        assert_eq!(kept(wanted(16)), Some(Verdict::Settled));
        let refused = kept(wanted(32)).unwrap();
        assert!(matches!(refused, Verdict::Stalled(note) if note.message.contains("hostNetwork")));
        assert!(matches!(wanted(0), Change::Stop { next: None, .. }));
    }

    #[test]
    fn a_change_needs_what_both_discord_and_the_gate_have_left() {
        let template = json!({ "spec": { "containers": [{ "name": "bot", "image": "bot:1" }] } });
        let spec = json!({ "tokenSecretRef": { "name": "token" }, "shardsPerPod": 8, "template": template });
        let bot = ShardedBot::new("b", serde_json::from_value(spec).unwrap());
        let spec = Spec { reserve_percent: 20, ..check(&bot).unwrap() };
        let waits = |discord: u32, gate: Option<u32>| {
            let answer = GatewaySeen {
                shards: 1,
                total: 1_000,
                remaining: discord,
                resets_at: Timestamp::UNIX_EPOCH,
                max_concurrency: 1,
                asked_at: Timestamp::UNIX_EPOCH,
            };
            let observed = Observed {
                discord: DiscordSeen { answer: Some(answer), problem: None },
                gate: gate.map(|remaining| GateFigures { remaining, ..GateFigures::default() }),
                ..observed(Vec::new(), Vec::new())
            };
            wait(&spec, 100, &observed).map(|note| note.message)
        };
        assert_eq!((waits(300, None), waits(300, Some(300))), (None, None));
        assert!(waits(300, Some(299)).unwrap().contains("; 299 of 1000 are left"), "grants since");
        assert!(waits(299, Some(300)).unwrap().contains("; 299 of 1000 are left"), "others' since");
    }

    #[test]
    fn the_next_layout_has_the_session_group_of_its_total_and_a_slot_of_its_own() {
        let next = |children, layouts, total| {
            let observed = observed(children, layouts);
            let next = next(&sets(&observed), &observed, total, 2);
            (next.number, next.session_group, next.fallback_slot)
        };
        let active = |number, session_group, fallback_slot| {
            vec![told(number, Role::Active, session_group, fallback_slot)]
        };
        assert_eq!(next(vec![], vec![], 16), (1, 0, 0), "the first");
        assert_eq!(next(vec![set(1, &[], 1)], vec![], 16), (2, 0, 0), "after one of revision 1");
        assert_eq!(next(vec![], active(4, 2, 0), 16), (5, 2, 1), "the same total");
        assert_eq!(next(vec![], active(4, 2, 1), 32), (5, 5, 0), "another total");
        let announced = vec![told(4, Role::Retiring, 2, 0), told(5, Role::Standby, 5, 1)];
        assert_eq!(next(vec![], announced, 16), (5, 2, 1), "what was only announced has made nothing");
        let three = [("0", 1), ("1", 2), ("3", 3)]
            .map(|(fallback_slot, number)| set(number, &[(FALLBACK_SLOT_LABEL, fallback_slot)], 2));
        assert_eq!(next(three.into(), vec![], 16).2, 2, "the one that is left");
    }
}
