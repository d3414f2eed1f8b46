//! What a StatefulSet says of its layout.
//!
//! It stands in its labels and annotations, which anybody may edit or take away, and but for identity and revision in the document as well,
//! which stands in for labels that are gone; the number is in its name. One made before revision 2 has session group 0 and the slot that its
//! number gives. One that lost its identity has none. Deliberately absent: what is to become of it.

use crate::model::{Alike, Child, Same};
use crate::names::{
    FALLBACK_SLOT_LABEL, HASH_ANNOTATION, IDENTITY_ANNOTATION, PODS_LABEL, RESTARTED_AT_ANNOTATION,
    REVISION_ANNOTATION, SESSION_GROUP_LABEL, TOTAL_LABEL,
};
use crate::plan::objects::stateful_set::{Arrangement, KEEPS_RECORDS, identity, stateful_set};
use crate::plan::spec::Spec;
use shard_contract::REVISION;
use shard_contract::fallback::LAYOUT_SLOTS;
use shard_contract::layout::MAX_TOTAL;
use shard_contract::layouts::Layout;

/// A StatefulSet of ours.
#[derive(Clone, Debug)]
pub struct SetSeen<'a> {
    /// The object.
    pub child: &'a Child,
    /// What its layout was made from; empty: somebody took that away.
    pub identity: String,
    /// What is written now and stands for the same pods, by its identity; none: nothing else is known to.
    pub same_as: Option<String>,
    /// The restart mark that it was made with, empty where there was none; none: it does not say.
    pub restarted_at: Option<String>,
}

impl<'a> SetSeen<'a> {
    /// A set and its layout's arrangement; none: nothing says which shards its pods have.
    #[must_use]
    pub fn read(
        child: &'a Child,
        told: Option<&Layout>,
        alike: Option<&Alike>,
    ) -> Option<(Arrangement, Self)> {
        let marked = |label| {
            child.label(label).and_then(|value| value.parse().ok()).filter(|number| *number <= MAX_TOTAL)
        };
        let number = child.layout()?;
        let revision = child.annotation(REVISION_ANNOTATION).and_then(|told| told.parse().ok());
        let revision = revision.unwrap_or(REVISION);
        let told = told.filter(|told| told.total > 0);
        let of_records = told.filter(|_| revision >= KEEPS_RECORDS);
        let session_group = marked(SESSION_GROUP_LABEL);
        let fallback_slot = marked(FALLBACK_SLOT_LABEL);
        let arrangement = Arrangement {
            number,
            total: marked(TOTAL_LABEL).or(told.map(|told| told.total))?,
            pods: marked(PODS_LABEL).or(told.map(|told| told.pods))?,
            revision,
            session_group: session_group.or(of_records.map(|told| told.session_group)).unwrap_or(0),
            fallback_slot: fallback_slot.or(of_records.map(|told| told.fallback_slot)).unwrap_or(number)
                % LAYOUT_SLOTS,
        };
        let same = alike.filter(|alike| alike.layout == number && alike.same == Same::Yes);
        let set = Self {
            child,
            identity: child.annotation(IDENTITY_ANNOTATION).unwrap_or_default().to_owned(),
            same_as: same.map(|alike| alike.identity.clone()),
            restarted_at: child.annotation(RESTARTED_AT_ANNOTATION).map(str::to_owned),
        };
        Some((arrangement, set))
    }

    /// Its layout's arrangement where somebody edited labels: what it was made from gives its hash, and tells which of labels and document
    /// are right while the spec is as it was; else the document is. A revision that is gone is the one that gives its identity.
    #[must_use]
    pub fn recognised(&self, labelled: Arrangement, told: Option<&Layout>, spec: &Spec) -> Arrangement {
        let mut arranged = labelled;
        if self.child.annotation(REVISION_ANNOTATION).and_then(|told| told.parse::<u32>().ok()).is_none() {
            // None: the spec has changed since, or somebody wrote something else there, and the pods are to be replaced.
            let made_by =
                |revision: &u32| self.identity == identity(spec, arranged.total, arranged.pods, *revision);
            arranged.revision = (1..=REVISION).find(made_by).unwrap_or(arranged.revision);
        }
        let Some(told) = told.filter(|told| told.total > 0) else { return arranged };
        let hash = self.child.annotation(HASH_ANNOTATION).unwrap_or_default();
        let gives_hash = |arranged: Arrangement| {
            let made = stateful_set(spec, arranged);
            made.body["metadata"]["annotations"][HASH_ANNOTATION].as_str() == Some(hash)
        };
        let as_told = Arrangement {
            total: told.total,
            pods: told.pods,
            session_group: told.session_group,
            fallback_slot: told.fallback_slot,
            ..arranged
        };
        if as_told != arranged && !gives_hash(arranged) { as_told } else { arranged }
    }

    /// Whether somebody took its identity away.
    #[must_use]
    pub fn is_stripped(&self) -> bool {
        self.identity.is_empty()
    }
}
