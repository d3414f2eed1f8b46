//! The layouts of a bot, each with what it has: one value, read once from the world.
//!
//! From sets, document and pods to layouts by their numbers, and to which of them has duty. What is planned of layouts is worked out from
//! it ([`super::change`]). Deliberately absent: what is to become of them.

mod set;

use super::objects::stateful_set::{Arrangement, identity};
use super::shards::Running;
use super::spec::Spec;
use crate::model::{Child, Kind, Note, Observed, Phase, PodSeen, Reason};
use crate::names::{PODS_LABEL, TOTAL_LABEL};
use shard_contract::REVISION;
use shard_contract::fallback::LAYOUT_SLOTS;
use shard_contract::layout::pods_for;
use shard_contract::layouts::{Layout, Role};
use shard_contract::report::ShardState;
use std::collections::{BTreeMap, BTreeSet};

pub use set::SetSeen;

/// Every layout of which there is a trace.
#[derive(Clone, Debug)]
pub struct Rollout<'a> {
    /// By rising number.
    pub layouts: Vec<LayoutSeen<'a>>,
    /// Pods of layouts of which nobody knows what they are.
    pub unknown: Vec<&'a PodSeen>,
    /// Whether one of those has, or had, a session.
    unknown_have_sessions: bool,
    /// Number of the layout with duty.
    duty: Option<u32>,
    /// Sets of ours of which neither labels nor document say what their layout is.
    unreadable: Vec<&'a Child>,
}

/// A layout with what it has.
#[derive(Clone, Debug)]
pub struct LayoutSeen<'a> {
    /// Whether a pod of it has, or had, a session: it says so, or owns a record.
    pub has_sessions: bool,
    /// What it is.
    pub arrangement: Arrangement,
    /// Its StatefulSet.
    pub set: Option<SetSeen<'a>>,
    /// What the document says of it.
    pub told: Option<&'a Layout>,
    /// Its pods.
    pub pods: Vec<&'a PodSeen>,
}

impl<'a> LayoutSeen<'a> {
    /// One that has nothing yet.
    #[must_use]
    pub fn to_come(arrangement: Arrangement) -> Self {
        Self { has_sessions: false, arrangement, set: None, told: None, pods: Vec::new() }
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.arrangement.number
    }

    /// What it does, as pods were told.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        self.told.map(|told| told.role)
    }

    /// Its set, unless that is on its way out.
    #[must_use]
    pub fn living(&self) -> Option<&SetSeen<'a>> {
        self.set.as_ref().filter(|set| !set.child.deleting)
    }

    /// Whether the spec still asks for what its set was made from.
    #[must_use]
    pub fn matches(&self, spec: &Spec) -> bool {
        let Arrangement { total, pods, revision, .. } = self.arrangement;
        let wanted = identity(spec, total, pods, revision);
        let is_it = |set: &SetSeen<'_>| set.identity == wanted || set.same_as.as_ref() == Some(&wanted);
        self.set.as_ref().is_some_and(is_it)
    }

    /// Whether it is of this total on as many pods as the spec says.
    #[must_use]
    pub fn is_arranged(&self, spec: &Spec, total: u32) -> bool {
        self.arrangement.total == total && self.arrangement.pods == pods_for(total, spec.shards_per_pod)
    }

    /// Whether its set runs and is all that is asked for.
    #[must_use]
    pub fn fits(&self, spec: &Spec, total: u32) -> bool {
        self.living().is_some() && self.is_arranged(spec, total) && self.matches(spec)
    }
}

impl<'a> Rollout<'a> {
    /// Reads it off what was observed.
    #[must_use]
    pub fn read(observed: &'a Observed) -> Self {
        let told: BTreeMap<_, _> =
            observed.document.iter().flat_map(|known| &known.layouts).map(|one| (one.number, one)).collect();
        let mut sets = BTreeMap::new();
        let mut unreadable = Vec::new();
        let ours = observed.children.iter().filter(|child| child.kind == Kind::StatefulSet && child.ours);
        for child in ours {
            let told = child.layout().and_then(|number| told.get(&number).copied());
            match SetSeen::read(child, told, observed.answers.alike.as_ref()) {
                Some((arrangement, set)) => _ = sets.insert(arrangement.number, (arrangement, set)),
                None => unreadable.push(child),
            }
        }
        let numbers: BTreeSet<_> = told.keys().chain(sets.keys()).copied().collect();
        let found = observed.secrets.iter().filter_map(|secret| secret.found.as_ref());
        let records = found.flat_map(|found| found.records.values().flatten());
        let owners: BTreeSet<_> = records.filter_map(|record| record.owner.as_ref()).collect();
        let have_sessions =
            |pods: &[&PodSeen]| pods.iter().any(|pod| owners.contains(&pod.uid) || has_session(pod));
        let layout = |number: u32| {
            let told = told.get(&number).copied();
            let (arrangement, set) = match sets.remove(&number) {
                Some((arrangement, set)) => (arrangement, Some(set)),
                None => (arrangement(told?), None),
            };
            let pods: Vec<_> = observed.pods.iter().filter(|pod| pod.layout == number).collect();
            Some(LayoutSeen { has_sessions: have_sessions(&pods), arrangement, set, told, pods })
        };
        let unknown: Vec<_> = observed.pods.iter().filter(|pod| !numbers.contains(&pod.layout)).collect();
        let layouts = numbers.iter().copied().filter_map(layout).collect();
        let unknown_have_sessions = have_sessions(&unknown);
        let mut rollout = Self { layouts, unknown_have_sessions, unknown, duty: None, unreadable };
        rollout.duty = rollout.has_duty().map(LayoutSeen::number);
        rollout
    }

    /// Corrects what labels say where somebody edited them.
    pub fn recognise(&mut self, spec: &Spec) {
        for layout in &mut self.layouts {
            if let Some(set) = &layout.set {
                layout.arrangement = set.recognised(layout.arrangement, layout.told, spec);
            }
        }
    }

    /// A set of ours of which neither its labels nor the document say what its layout is.
    #[must_use]
    pub fn unreadable(&self) -> Option<Note> {
        let set = self.unreadable.iter().find(|set| !set.deleting)?;
        Some(Note::new(
            Reason::SetUnreadable,
            format!(
                "StatefulSet {} lost its labels {TOTAL_LABEL} and {PODS_LABEL}, and the document with the layouts does not know it, so that nobody can tell which shards its pods have; nothing is changed; put the labels back (shards in all, pods), or delete the StatefulSet to have the fleet started anew",
                set.name
            ),
        ))
    }

    /// Layouts that have a set.
    pub fn with_sets(&self) -> impl Iterator<Item = &LayoutSeen<'a>> {
        self.layouts.iter().filter(|layout| layout.set.is_some())
    }

    /// Layouts whose set is not on its way out.
    pub fn living(&self) -> impl Iterator<Item = &LayoutSeen<'a>> {
        self.layouts.iter().filter(|layout| layout.living().is_some())
    }

    /// The layout with duty.
    #[must_use]
    pub fn duty(&self) -> Option<&LayoutSeen<'a>> {
        self.layouts.iter().find(|layout| Some(layout.number()) == self.duty)
    }

    /// Of those that live the newest that pods were told of as such, else one whose pods have sessions, else the newest. One that was made
    /// beside others has duty once all of their pods have gone; so has one of which nobody was told, since somebody deleted the document,
    /// unless no others have sessions.
    fn has_duty(&self) -> Option<&LayoutSeen<'a>> {
        let may_have = |layout: &&LayoutSeen<'_>| match layout.role() {
            Some(Role::Active | Role::Retiring) => true,
            None | Some(Role::Standby) if layout.has_sessions => true,
            None if self.living().count() == 1 && !self.others_have_sessions(layout.number()) => true,
            None | Some(Role::Standby) => self.left(layout.number()) == 0,
        };
        let order = |layout: &&LayoutSeen<'_>| {
            let had_it = layout.role().filter(|role| *role != Role::Standby).map(|role| role == Role::Active);
            (had_it, layout.has_sessions, layout.number())
        };
        self.living().filter(may_have).max_by_key(order)
    }

    /// Whether a layout never had duty: it was announced, and even made, and no more; or its set came from a leader that is no more, after its
    /// successor had made another, so that nobody was told of it.
    #[must_use]
    pub fn never_had_duty(&self, layout: &LayoutSeen<'_>) -> bool {
        let is_another = self.duty.is_some_and(|duty| duty != layout.number());
        let others_were_told = || self.layouts.iter().any(|other| other.role() == Some(Role::Active));
        let may_have_had_it = match layout.role() {
            Some(role) => role != Role::Standby,
            None => layout.has_sessions || layout.set.is_none() || !(is_another || others_were_told()),
        };
        !may_have_had_it && self.duty != Some(layout.number())
    }

    /// What pods of a layout are told whose set is gone or on its way out: who never had duty gets none.
    #[must_use]
    pub fn retiring(&self, layout: &LayoutSeen<'_>) -> Option<Role> {
        (!self.never_had_duty(layout)).then_some(Role::Retiring)
    }

    /// Whether pods of other layouts than this one have, or had, sessions.
    fn others_have_sessions(&self, number: u32) -> bool {
        let others = self.layouts.iter().any(|layout| layout.number() != number && layout.has_sessions);
        others || self.unknown_have_sessions
    }

    /// Pods of other layouts than this one that may still hold shards.
    #[must_use]
    pub fn left(&self, number: u32) -> usize {
        let others = self.layouts.iter().filter(|layout| layout.number() != number);
        let pods = others.flat_map(|layout| &layout.pods).chain(&self.unknown);
        pods.filter(|pod| pod.phase != Phase::Ended).count()
    }

    /// The fleet with duty; while a change is under way the one that comes next, or the one that was stopped last. And how
    /// full its fullest shard is.
    #[must_use]
    pub fn running(&self) -> Option<Running> {
        let told = || self.layouts.iter().rfind(|layout| layout.told.is_some());
        let layout = self.duty().or_else(told).or_else(|| self.layouts.last())?;
        let shards =
            layout.pods.iter().filter_map(|pod| pod.report.as_ref()).flat_map(|report| &report.shards);
        let fullest = shards.map(|shard| shard.guilds).max().unwrap_or(0);
        // Once its set is on its way out, what is told counts: a stopped bot has a total of none.
        let total = match (layout.living(), layout.told) {
            (None, Some(told)) => told.total,
            _ => layout.arrangement.total,
        };
        Some(Running { total, fullest }).filter(|running| running.total > 0)
    }

    /// One above every number that any trace of an earlier layout names, or the one that is announced: it has made nothing yet.
    #[must_use]
    pub fn next_number(&self) -> u32 {
        let made = |layout: &&LayoutSeen<'_>| {
            layout.set.is_some() || !layout.pods.is_empty() || layout.role() != Some(Role::Standby)
        };
        let numbers = self.layouts.iter().filter(made).map(LayoutSeen::number);
        let unknown = self.unknown.iter().map(|pod| pod.layout);
        let told = self.layouts.iter().filter(|layout| layout.told.is_some()).map(LayoutSeen::number).max();
        numbers.chain(unknown).max().unwrap_or(0).saturating_add(1).max(told.unwrap_or(0))
    }

    /// The next layout. The first has session group 0; later ones have the session group of the one before when they have its total, else
    /// one of their own. The slot is the lowest that no layout has which may still have pods somewhere.
    #[must_use]
    pub fn next(&self, total: u32, pods: u32) -> Arrangement {
        let number = self.next_number();
        let known = || self.layouts.iter().filter(|layout| layout.number() < number);
        let before = known().rfind(|layout| !self.never_had_duty(layout)).map(|layout| layout.arrangement);
        let session_group = match before {
            None => 0,
            Some(before) if before.total == total => before.session_group,
            Some(_) => number,
        };
        let arranged = || known().map(|layout| layout.arrangement);
        let taken = |slot: &u32| arranged().any(|layout| layout.total > 0 && layout.fallback_slot == *slot);
        let fallback_slot = (0..LAYOUT_SLOTS).find(|slot| !taken(slot)).unwrap_or(number % LAYOUT_SLOTS);
        Arrangement { number, total, pods, revision: REVISION, session_group, fallback_slot }
    }
}

/// Whether a pod says that a shard of it has had a session.
fn has_session(pod: &PodSeen) -> bool {
    let shards = pod.report.iter().flat_map(|report| &report.shards);
    shards.map(|shard| shard.state).any(|state| matches!(state, ShardState::Online | ShardState::Resuming))
}

/// What the document says of a layout that has no set; its pods, if it has any, are of the newest revision as far as anybody knows.
fn arrangement(told: &Layout) -> Arrangement {
    let Layout { number, total, pods, role: _, session_group, fallback_slot } = *told;
    Arrangement { number, total, pods, revision: REVISION, session_group, fallback_slot }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{RecordSeen, SecretFound, SecretSeen};
    use crate::names::{FALLBACK_SLOT_LABEL, IDENTITY_ANNOTATION, REVISION_ANNOTATION, SESSION_GROUP_LABEL};
    use serde_json::json;
    use shard_contract::layouts::Layouts;
    use shard_contract::names::LAYOUT_LABEL;

    impl Child {
        /// A set of 16 shards on 2 pods.
        pub(crate) fn set(number: u32, labels: &[(&str, &str)], revision: u32) -> Self {
            let mut all = json!({
                LAYOUT_LABEL: number.to_string(), TOTAL_LABEL: "16", PODS_LABEL: "2",
            });
            for (key, value) in labels {
                all[*key] = (*value).into();
            }
            let annotations =
                json!({ REVISION_ANNOTATION: revision.to_string(), IDENTITY_ANNOTATION: "identity" });
            let live = json!({ "metadata": { "labels": all, "annotations": annotations } });
            Self::ours(Kind::StatefulSet, &format!("b-{number}"), live)
        }
    }

    impl Observed {
        /// These objects, and a document that tells of these layouts; none of none.
        pub(crate) fn of(children: Vec<Child>, layouts: Vec<Layout>) -> Self {
            let document = (!layouts.is_empty()).then(|| Layouts { layouts, ..Layouts::default() });
            Self { children, document, ..Self::nothing() }
        }
    }

    fn told(number: u32, role: Role, session_group: u32, fallback_slot: u32) -> Layout {
        Layout { number, total: 16, pods: 2, role, session_group, fallback_slot }
    }

    #[test]
    fn session_group_and_slot_are_read_off_the_set_or_follow_from_its_revision() {
        let labelled = Child::set(5, &[(SESSION_GROUP_LABEL, "3"), (FALLBACK_SLOT_LABEL, "2")], 2);
        let document = || vec![told(5, Role::Active, 4, 3)];
        let of = |child: Child, layouts| {
            let observed = Observed::of(vec![child], layouts);
            let seen = Rollout::read(&observed).layouts[0].arrangement;
            (seen.session_group, seen.fallback_slot)
        };
        assert_eq!(of(labelled.clone(), vec![]), (3, 2), "the document was deleted");
        assert_eq!(of(labelled, document()), (3, 2), "somebody may have edited the document");
        assert_eq!(of(Child::set(5, &[], 2), document()), (4, 3), "the labels were removed");
        assert_eq!(of(Child::set(5, &[], 1), document()), (0, 1), "a set from before session groups");
    }

    #[test]
    fn of_several_the_one_that_pods_were_told_of_has_duty_and_the_next_once_the_others_have_gone() {
        let duty = |numbers: &[u32], layouts: Vec<Layout>, pods: &[u32]| {
            let sets = numbers.iter().map(|number| Child::set(*number, &[], 2)).collect();
            let mut observed = Observed::of(sets, layouts);
            observed.pods =
                pods.iter().map(|layout| PodSeen { layout: *layout, ..PodSeen::running() }).collect();
            Rollout::read(&observed).duty().map(LayoutSeen::number)
        };
        let (old, next) = (told(1, Role::Active, 0, 0), told(2, Role::Standby, 0, 1));
        assert_eq!(duty(&[1, 2], vec![], &[]), Some(2), "nobody was told of any");
        assert_eq!(duty(&[1, 2], vec![old.clone()], &[1, 2]), Some(1));
        let both = || vec![old.clone(), next.clone()];
        assert_eq!(duty(&[1, 2], both(), &[1, 2]), Some(1));
        let stopping = || vec![Layout { role: Role::Retiring, ..old.clone() }, next.clone()];
        assert_eq!(duty(&[2], stopping(), &[1, 2]), None, "pods of the old one are still there");
        assert_eq!(duty(&[2], stopping(), &[3, 2]), None, "or of one that nobody knows");
        assert_eq!(duty(&[2], stopping(), &[2]), Some(2));
        assert_eq!(duty(&[2], vec![], &[1, 2]), Some(2), "nobody else has sessions");
        assert_eq!(duty(&[], both(), &[]), None);
    }

    #[test]
    fn without_a_document_what_has_sessions_has_duty() {
        let pod = |layout: u32| PodSeen { uid: layout.to_string(), layout, ..PodSeen::running() };
        let sets = vec![Child::set(1, &[], 2), Child::set(2, &[], 2)];
        let mut observed = Observed { pods: vec![pod(1), pod(2)], ..Observed::of(sets, vec![]) };
        let duty = |observed: &Observed| Rollout::read(observed).duty().map(LayoutSeen::number);
        assert_eq!(duty(&observed), None, "both may have, or neither");
        let owner = RecordSeen { owner: Some("1".into()), ..RecordSeen::default() };
        let records = BTreeMap::from([((0, 0), Some(owner))]);
        let found = Some(SecretFound { records, ..SecretFound::default() });
        observed.secrets = vec![SecretSeen { name: "s".into(), found }];
        assert_eq!(duty(&observed), Some(1));
        observed.children.remove(0);
        assert_eq!(duty(&observed), None, "pods of the one that serves are still there");
        observed.pods.remove(0);
        assert_eq!(duty(&observed), Some(2));
    }

    #[test]
    fn the_next_layout_has_the_session_group_of_its_total_and_a_slot_of_its_own() {
        let next = |children, layouts, total| {
            let observed = Observed::of(children, layouts);
            let next = Rollout::read(&observed).next(total, 2);
            (next.number, next.session_group, next.fallback_slot)
        };
        let active = |number, session_group, fallback_slot| {
            vec![told(number, Role::Active, session_group, fallback_slot)]
        };
        assert_eq!(next(vec![], vec![], 16), (1, 0, 0), "the first");
        assert_eq!(next(vec![Child::set(1, &[], 1)], vec![], 16), (2, 0, 0), "after one of revision 1");
        assert_eq!(next(vec![], active(4, 2, 0), 16), (5, 2, 1), "the same total");
        assert_eq!(next(vec![], active(4, 2, 1), 32), (5, 5, 0), "another total");
        let announced = || vec![told(4, Role::Retiring, 2, 0), told(5, Role::Standby, 5, 1)];
        assert_eq!(next(vec![], announced(), 16), (5, 2, 1), "what was only announced has made nothing");
        let made = next(vec![Child::set(4, &[], 2), Child::set(5, &[], 2)], announced(), 16);
        assert_eq!((made.0, made.1), (6, 2), "and what was made has; but it never served");
        let three = [("0", 1), ("1", 2), ("3", 3)]
            .map(|(fallback_slot, number)| Child::set(number, &[(FALLBACK_SLOT_LABEL, fallback_slot)], 2));
        assert_eq!(next(three.into(), vec![], 16).2, 2, "the one that is left");
    }
}
