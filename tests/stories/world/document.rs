//! The layouts document of a story, and for how long it has named the pods that are taken for gone.

use super::World;
use jiff::Timestamp;
use shard_contract::layouts::Layouts;
use shard_operator::model::Kind;
use std::collections::BTreeMap;
use std::time::Duration;

/// Since when each is named, by UID and whether its pod is there.
pub type Named = BTreeMap<(String, bool), Timestamp>;

impl World {
    pub(super) fn document(&self) -> Option<Layouts> {
        let map = self.children.iter().find(|child| child.kind == Kind::ConfigMap && child.ours)?;
        serde_json::from_str(map.live["data"]["layouts.json"].as_str().unwrap()).ok()
    }

    /// By UID, as the operator remembers it.
    pub(super) fn named(&mut self, document: Option<&Layouts>) -> BTreeMap<String, Duration> {
        let before = std::mem::take(&mut self.named);
        let mut told = BTreeMap::new();
        for uid in document.into_iter().flat_map(|document| &document.gone) {
            let key = (uid.clone(), self.pods.iter().any(|pod| pod.uid == *uid));
            let since = before.get(&key).copied().unwrap_or(self.now);
            told.insert(uid.clone(), (self.now - since).try_into().unwrap());
            self.named.insert(key, since);
        }
        told
    }
}
