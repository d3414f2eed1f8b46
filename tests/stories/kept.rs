//! The Secrets with records in a story's world, as the API server would keep them.
//!
//! The operator makes and patches them, the pods of the story hold and lose records. A patch is carried out operation by
//! operation, its test first, as RFC 6902 says.

use serde_json::Value;
use shard_contract::names::{parse_record_key, sessions_secret};
use shard_contract::record::State;
use shard_operator::model::{Belongs, Object, RecordSeen, SecretFound, SecretSeen};
use std::collections::BTreeMap;

/// `{"rev":0,"state":"free"}`, the only record that an operator writes.
const FREE: &str = "eyJyZXYiOjAsInN0YXRlIjoiZnJlZSJ9";

#[derive(Default)]
pub struct Secrets(BTreeMap<String, SecretFound>);

impl Secrets {
    /// Those of the first so many shards.
    pub fn seen(&self, bot: &str, shards: u32) -> Vec<SecretSeen> {
        let names = (0..shards.div_ceil(64)).map(|index| sessions_secret(bot, index * 64));
        names.map(|name| SecretSeen { found: self.0.get(&name).cloned(), name }).collect()
    }

    pub fn create(&mut self, object: &Object) {
        assert!(!self.0.contains_key(&object.name), "{} is made twice", object.name);
        let data = object.body["data"].as_object().unwrap();
        let mut found =
            SecretFound { belongs: Belongs::ToThisBot, version: "1".into(), ..SecretFound::default() };
        for (key, value) in data {
            add(&mut found, key, value);
        }
        self.0.insert(object.name.clone(), found);
    }

    pub fn patch(&mut self, name: &str, operations: &[Value]) {
        let found = self.0.get_mut(name).unwrap();
        let (test, changes) = operations.split_first().unwrap();
        assert_eq!(
            (test["op"].as_str(), test["path"].as_str()),
            (Some("test"), Some("/metadata/resourceVersion"))
        );
        assert_eq!(test["value"].as_str(), Some(found.version.as_str()), "{name} is not what was read");
        for change in changes {
            let key = change["path"].as_str().unwrap().strip_prefix("/data").unwrap();
            match (change["op"].as_str().unwrap(), key.strip_prefix('/')) {
                ("add", None) => found.bare = false,
                ("add", Some(key)) => {
                    assert!(!found.bare, "there is nothing to add {key} to");
                    add(found, key, &change["value"]);
                }
                ("remove", Some(key)) => {
                    assert!(
                        found.records.remove(&parse_record_key(key).unwrap()).is_some(),
                        "{key} is not there"
                    );
                }
                other => panic!("{other:?}: not an operation of the operator"),
            }
        }
        found.version = (found.version.parse::<u32>().unwrap() + 1).to_string();
    }

    /// Deletes a Secret; says whether it was there.
    pub fn delete(&mut self, name: &str) -> bool {
        self.0.remove(name).is_some()
    }

    /// Makes a Secret that is not the bot's, or removes it.
    pub fn foreign(&mut self, name: &str) {
        if self.0.remove(name).is_none() {
            self.0.insert(name.to_owned(), SecretFound::default());
        }
    }

    /// Empties a Secret by hand.
    pub fn empty(&mut self, name: &str) {
        let found = self.0.get_mut(name).unwrap();
        found.records.clear();
        found.bare = true;
    }

    /// Writes a record as a pod does; with no owner it is torn.
    pub fn write(&mut self, bot: &str, key: &str, owner: Option<&str>) {
        let (session_group, shard) = parse_record_key(key).unwrap();
        let found = self.0.get_mut(&sessions_secret(bot, shard)).unwrap();
        let held = owner.map(|owner| RecordSeen {
            state: State::Held,
            owner: Some(owner.to_owned()),
            has_session: true,
        });
        found.records.insert((session_group, shard), held);
        found.bare = false;
    }

    /// Removes a record by hand.
    pub fn forget(&mut self, bot: &str, key: &str) {
        let (session_group, shard) = parse_record_key(key).unwrap();
        self.0.get_mut(&sessions_secret(bot, shard)).unwrap().records.remove(&(session_group, shard));
    }

    /// How many records of each session group are free, held and torn, for the transcript.
    pub fn told(&self) -> String {
        let mut session_groups: BTreeMap<u32, [usize; 3]> = BTreeMap::new();
        for ((session_group, _), record) in self.0.values().flat_map(|secret| &secret.records) {
            let column = record.as_ref().map_or(2, |record| usize::from(record.state != State::Free));
            session_groups.entry(*session_group).or_default()[column] += 1;
        }
        let said = session_groups.iter().map(|(session_group, [free, held, torn])| {
            let torn = if *torn > 0 { format!(", {torn} torn") } else { String::new() };
            format!("session group {session_group}: {free} free, {held} held{torn}")
        });
        said.collect::<Vec<_>>().join("; ")
    }
}

fn add(found: &mut SecretFound, key: &str, value: &Value) {
    let Some(record) = parse_record_key(key) else {
        assert_eq!(key, "about");
        return;
    };
    assert_eq!(value.as_str(), Some(FREE), "{key}: an operator writes no other record");
    let held = found.records.get(&record).cloned().flatten().filter(|one| one.state != State::Free);
    assert_eq!(held, None, "{key} is held");
    found.records.insert(record, Some(RecordSeen::default()));
}
