//! What is to become of each layout in this round: the one value that objects, document, gate, records and status follow from.
//!
//! From the layouts that are known to the same with what pods are told of each and what is done about its set. Deliberately absent: which
//! of them there should be ([`super::wanted`]), in what order ([`super::recreate`]), and objects.

use super::objects::records::Needs;
use super::objects::stateful_set::Arrangement;
use super::rollout::{LayoutSeen, Rollout};
use crate::model::{GateLayout, Phase, Verdict};
use shard_contract::layouts::{Layout, Role};
use std::collections::BTreeMap;

/// What to do about layouts.
#[derive(Clone, Debug)]
pub struct Change<'a> {
    /// Every layout of which there is a trace, and the one that comes next, by rising number.
    pub layouts: Vec<LayoutPlanned<'a>>,
    /// How things stand, as far as layouts go.
    pub verdict: Verdict,
    /// Whether a fleet that runs is to be replaced or stopped by it, now or later.
    pub replaces: bool,
}

/// One layout, and what becomes of it.
#[derive(Clone, Debug)]
pub struct LayoutPlanned<'a> {
    /// What it has.
    pub layout: LayoutSeen<'a>,
    /// What pods are told of it; none: nothing.
    pub told: Option<Layout>,
    /// What is done about its set.
    pub set: SetStep,
}

/// What is done about a layout's set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetStep {
    /// It stands, and is kept as it should be.
    Keep,
    /// It is made.
    Make,
    /// It is tried, to be made when others have gone.
    Announce,
    /// It is taken away.
    Remove,
    /// Nothing: it is on its way out, or there is none.
    Leave,
}

impl<'a> LayoutPlanned<'a> {
    /// A layout in this role.
    #[must_use]
    pub fn of(layout: LayoutSeen<'a>, role: Option<Role>, set: SetStep) -> Self {
        let Arrangement { number, total, pods, revision: _, session_group, fallback_slot } =
            layout.arrangement;
        let told = role.map(|role| Layout { number, total, pods, role, session_group, fallback_slot });
        Self { layout, told, set }
    }

    /// Whether pods are told that it has this role.
    #[must_use]
    pub fn is(&self, role: Role) -> bool {
        self.told.as_ref().is_some_and(|told| told.role == role)
    }

    /// Whether its set stands or will, after this round.
    #[must_use]
    pub fn stands(&self) -> bool {
        matches!(self.set, SetStep::Keep | SetStep::Make)
    }
}

impl<'a> Change<'a> {
    /// Everything stays as it is, but for these sets beside the one with duty.
    #[must_use]
    pub fn keep(rollout: &Rollout<'a>, verdict: Verdict, strays: &[u32]) -> Self {
        let duty = rollout.duty().map(LayoutSeen::number);
        let planned = |layout: &LayoutSeen<'a>| {
            let number = layout.number();
            let is_living = layout.living().is_some();
            let (role, set) = if duty == Some(number) {
                (Some(Role::Active), SetStep::Keep)
            } else if strays.contains(&number) {
                let had_duty = !rollout.never_had_duty(layout);
                (had_duty.then_some(Role::Active), SetStep::Remove)
            } else if is_living && layout.role() == Some(Role::Standby) {
                (layout.role(), SetStep::Leave)
            } else {
                // With no set left the document still says which numbers were used, and which total a change came from.
                let is_mere_word = layout.set.is_none() && layout.pods.is_empty();
                let role = match layout.role().filter(|_| duty.is_none()) {
                    Some(Role::Standby) if !is_mere_word => None,
                    Some(Role::Standby) if verdict != Verdict::Settled => Some(Role::Standby),
                    told => told.map(|_| Role::Retiring),
                };
                (role, SetStep::Leave)
            };
            let mut planned = LayoutPlanned::of(layout.clone(), role, set);
            let is_over = duty.is_none() && !is_living && verdict == Verdict::Settled;
            if let Some(told) = planned.told.as_mut().filter(|_| is_over) {
                // Nothing runs and nothing is to run: the numbers stay, the totals do not.
                (told.total, told.pods) = (0, 0);
            }
            planned
        };
        let layouts = rollout.layouts.iter().map(planned).collect();
        Self { layouts, verdict, replaces: false }
    }

    /// The layout that has duty and keeps it.
    #[must_use]
    pub fn serving(&self) -> Option<&LayoutPlanned<'a>> {
        self.layouts.iter().find(|planned| planned.is(Role::Active) && planned.set == SetStep::Keep)
    }

    /// The layout that comes next, if pods are told of one that has no duty yet.
    #[must_use]
    pub fn next(&self) -> Option<&LayoutPlanned<'a>> {
        self.layouts.iter().find(|planned| planned.is(Role::Standby))
    }

    /// The layouts as pods are told.
    #[must_use]
    pub fn told(&self) -> Vec<Layout> {
        self.layouts.iter().filter_map(|planned| planned.told.clone()).collect()
    }

    /// The layouts whose shards may identify: those that have duty, also while they stop, since the first step of a stop may be refused.
    #[must_use]
    pub fn granted(&self) -> BTreeMap<u32, GateLayout> {
        let active = self.layouts.iter().filter(|planned| planned.is(Role::Active));
        let granted = active.map(|planned| {
            let Arrangement { number, total, pods, fallback_slot, .. } = planned.layout.arrangement;
            (number, GateLayout { total, pods, fallback_slot })
        });
        granted.collect()
    }

    /// Who needs records, before and after it. What stops gets no new ones, but keeps its Secrets, to park in; so does a layout whose set is
    /// gone and whose pods are not.
    #[must_use]
    pub fn needs(&self, rollout: &Rollout<'_>) -> Needs {
        let arranged = |planned: &LayoutPlanned<'_>| planned.layout.arrangement;
        let alive: Vec<_> = self.layouts.iter().map(arranged).filter(|layout| layout.total > 0).collect();
        // What has ended parks nothing any more. Of a layout whose total is forgotten nobody knows what its pods need.
        let forgotten = self.layouts.iter().filter(|planned| planned.layout.arrangement.total == 0);
        let mut unknown = forgotten.flat_map(|planned| &planned.layout.pods).chain(&rollout.unknown);
        let are_known = unknown.all(|pod| pod.phase == Phase::Ended);
        let session_groups = are_known.then(|| alive.iter().map(|layout| layout.session_group).collect());
        let wanted = self.layouts.iter().filter(|planned| planned.stands()).map(arranged).collect();
        Needs { wanted, alive, session_groups }
    }
}
