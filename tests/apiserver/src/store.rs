//! Objects and what became of them.
//!
//! From writes to objects by key, one version counter for all, and a bounded history of changes from which watches are fed and older
//! lists are made. Guarantees: what was read stays as it was read; versions only rise. Deliberately absent: meaning.

use crate::meta;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tokio::sync::watch;

/// Where an object is: its shelf, and `namespace/name`, ordered as etcd orders its keys.
pub(crate) type Key = (String, String);

/// One change.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) version: u64,
    pub(crate) key: Key,
    pub(crate) old: Option<Arc<Value>>,
    /// As it was last, where it is gone: with the version of its end.
    pub(crate) new: Arc<Value>,
    pub(crate) is_end: bool,
}

/// Everything that is kept.
pub(crate) struct Store {
    objects: BTreeMap<Key, Arc<Value>>,
    history: VecDeque<Change>,
    longest: usize,
    version: u64,
    /// Changes up to this version are no longer kept.
    compacted: u64,
    /// Of each shelf the version of its last change.
    last: BTreeMap<String, u64>,
    /// So many times all watches were ended.
    expired: u64,
    told: watch::Sender<u64>,
}

impl Store {
    /// With room for so many changes.
    pub(crate) fn new(longest: usize) -> Self {
        Self {
            objects: BTreeMap::new(),
            history: VecDeque::new(),
            longest,
            // Version 0 is "any", and 1 is what a client may ask for that has seen nothing.
            version: 1,
            compacted: 0,
            last: BTreeMap::new(),
            expired: 0,
            told: watch::Sender::new(1),
        }
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn compacted(&self) -> u64 {
        self.compacted
    }

    pub(crate) fn expired(&self) -> u64 {
        self.expired
    }

    /// Ends all watches.
    pub(crate) fn expire(&mut self) {
        self.expired += 1;
        self.told.send_replace(self.version);
    }

    /// The version of the last change on a shelf; 0 where there was none.
    pub(crate) fn last(&self, place: &str) -> u64 {
        self.last.get(place).copied().unwrap_or(0)
    }

    /// Tells of each change.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.told.subscribe()
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&Arc<Value>> {
        self.objects.get(key)
    }

    /// Everything, by key.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        self.objects.iter()
    }

    /// What stands on a shelf now, by key.
    pub(crate) fn shelf(&self, place: &str) -> BTreeMap<String, Arc<Value>> {
        let from = (place.to_owned(), String::new());
        let on = self.objects.range(from..).take_while(|(key, _)| key.0 == place);
        on.map(|(key, object)| (key.1.clone(), Arc::clone(object))).collect()
    }

    /// What stood on a shelf at a version that is still kept.
    pub(crate) fn shelf_at(&self, place: &str, version: u64) -> BTreeMap<String, Arc<Value>> {
        let mut objects = self.shelf(place);
        for change in self.history.iter().rev().take_while(|change| change.version > version) {
            if change.key.0 != place {
                continue;
            }
            match &change.old {
                Some(old) => objects.insert(change.key.1.clone(), Arc::clone(old)),
                None => objects.remove(&change.key.1),
            };
        }
        objects
    }

    /// Changes after a version, oldest first.
    pub(crate) fn since(&self, version: u64) -> impl Iterator<Item = &Change> {
        let from = self.history.partition_point(|change| change.version <= version);
        self.history.range(from..)
    }

    /// Keeps an object; returns it with its version.
    pub(crate) fn put(&mut self, key: Key, object: Value) -> Arc<Value> {
        let new = self.versioned(object);
        let old = self.objects.insert(key.clone(), Arc::clone(&new));
        self.tell(Change { version: self.version, key, old, new: Arc::clone(&new), is_end: false });
        new
    }

    /// Removes an object; returns it as it was last, with the version of its end.
    pub(crate) fn remove(&mut self, key: &Key, last: Value) -> Arc<Value> {
        let new = self.versioned(last);
        let old = self.objects.remove(key);
        self.tell(Change {
            version: self.version,
            key: key.clone(),
            old,
            new: Arc::clone(&new),
            is_end: true,
        });
        new
    }

    /// Forgets all changes.
    pub(crate) fn compact(&mut self) {
        self.history.clear();
        self.compacted = self.version;
    }

    fn versioned(&mut self, mut object: Value) -> Arc<Value> {
        self.version += 1;
        meta::set(&mut object, "resourceVersion", self.version.to_string());
        Arc::new(object)
    }

    fn tell(&mut self, change: Change) {
        if self.history.len() >= self.longest
            && let Some(oldest) = self.history.pop_front()
        {
            self.compacted = oldest.version;
        }
        self.last.insert(change.key.0.clone(), change.version);
        self.history.push_back(change);
        self.told.send_replace(self.version);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn key(name: &str) -> Key {
        ("things".to_owned(), format!("n/{name}"))
    }

    #[test]
    fn an_older_shelf_is_made_from_history() {
        let mut store = Store::new(10);
        let first = meta::version(&store.put(key("a"), json!({ "n": 1 })));
        store.put(key("a"), json!({ "n": 2 }));
        store.put(key("b"), json!({ "n": 3 }));
        store.remove(&key("a"), json!({ "n": 2 }));
        let then = store.shelf_at("things", first);
        assert_eq!(then.keys().collect::<Vec<_>>(), ["n/a"]);
        assert_eq!(then["n/a"]["n"], 1);
        assert_eq!(store.shelf("things").keys().collect::<Vec<_>>(), ["n/b"]);
        assert_eq!(store.since(first).count(), 3);
    }

    #[test]
    fn history_is_bounded() {
        let mut store = Store::new(2);
        for name in ["a", "b", "c"] {
            store.put(key(name), json!({}));
        }
        assert_eq!((store.since(0).count(), store.compacted()), (2, 2));
        store.compact();
        assert_eq!((store.since(0).count(), store.compacted()), (0, 4));
    }
}
