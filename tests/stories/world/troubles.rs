//! What goes wrong in a story's world: pods fall silent, nodes are lost, IDENTIFYs fail, records are torn.

use super::{World, kept};
use jiff::SignedDuration;
use serde_json::json;
use shard_operator::model::{
    BackingOff, Child, Contest, Fingerprint, Hand, Kind, NodeLoss, NodeSeen, NodeState, Note, Object, Reason,
    Refusal, TokenSeen, Tripped,
};
use std::time::Duration;

impl World {
    /// Why pods of the newest set cannot be made, or nothing; `room WHY`: there is only no room for them.
    pub(super) fn set_refusal(&mut self, why: &str) {
        let (said, lacks_room) = why.strip_prefix("room ").map_or((why, false), |why| (why, true));
        let sets = self.children.iter().filter(|child| child.kind == Kind::StatefulSet);
        let layout = sets.filter_map(Child::layout).max().unwrap_or(0);
        let refusal = Refusal { layout, said: said.to_owned(), lacks_room };
        self.refusals = Some(refusal).filter(|refusal| !refusal.said.is_empty()).into_iter().collect();
    }

    /// Another installation, `unsure`, or none.
    pub(super) fn set_contender(&mut self, who: &str) {
        self.contest = match who {
            "" => Contest::Alone,
            "unsure" => Contest::Unsure,
            name => Contest::With(name.to_owned()),
        };
    }

    /// Takes marks of ours from an object: `NAME MARK...`.
    pub(super) fn strip(&mut self, what: &str) {
        let mut words = what.split(' ');
        let child = self.child(words.next().unwrap());
        for mark in words {
            for marks in ["labels", "annotations"] {
                let marks = child.live["metadata"][marks].as_object_mut();
                marks.unwrap().remove(&format!("shard-operator.dev/{mark}"));
            }
        }
    }

    /// `NAME MARK VALUE`.
    pub(super) fn annotate(&mut self, what: &str) {
        let words: Vec<_> = what.split(' ').collect();
        let child = self.child(words[0]);
        child.live["metadata"]["annotations"][format!("shard-operator.dev/{}", words[1])] = words[2].into();
    }

    /// Somebody edits the spec of a set: `NAME`, `NAME rollout`, or `NAME rolling` (its update strategy).
    pub(super) fn edit_set(&mut self, what: &str) {
        let (name, how) = what.split_once(' ').unwrap_or((what, ""));
        let child = self.child(name);
        child.hand = Some(if how == "rollout" { Hand::Rollout } else { Hand::Somebody });
        if how == "rolling" {
            child.live["spec"]["updateStrategy"]["type"] = "RollingUpdate".into();
        }
    }

    /// Of a set these fields are as they should be.
    pub(super) fn merge(&mut self, object: &Object) {
        let child = self.child(&object.name);
        for part in ["metadata", "spec"] {
            let fields = object.body[part].as_object().cloned().unwrap_or_default();
            child.live[part].as_object_mut().unwrap().extend(fields);
        }
    }

    pub(super) fn child(&mut self, name: &str) -> &mut Child {
        let is_it = |child: &&mut Child| child.kind == Kind::StatefulSet && child.name == name;
        self.children.iter_mut().find(is_it).unwrap()
    }

    /// `missing`, `no-key`, `unusable`, `immutable` (made anew now), or one that is there.
    pub(super) fn set_token(&mut self, what: &str) {
        self.token_immutable_since = (what == "immutable").then_some(self.now);
        if what == "replaced" {
            self.token_untold = self.pods.iter().map(|pod| pod.uid.clone()).collect();
        }
        self.token = match what {
            "missing" => TokenSeen::SecretMissing,
            "no-key" => TokenSeen::KeyMissing(vec!["password".into()]),
            "unusable" => TokenSeen::Unusable("it is empty"),
            _ => TokenSeen::Present(Fingerprint([1; 16])),
        };
    }

    /// What of the spec cannot be read, or nothing.
    pub(super) fn set_unreadable(&mut self, what: &str) {
        self.unreadable = (!what.is_empty()).then(|| Note::new(Reason::SpecUnreadable, what));
    }

    /// `Wait` or `Replace`.
    pub(super) fn set_on_node_loss(&mut self, what: &str) {
        self.on_node_loss = if what == "Wait" { NodeLoss::Wait } else { NodeLoss::Replace };
    }

    /// An object of somebody else at a name that the bot needs.
    pub(super) fn put_strange(&mut self, name: &str) {
        let object = Object { kind: Kind::Service, name: name.to_owned(), body: json!({ "metadata": {} }) };
        self.children.push(Child { ours: false, of_a_bot: false, ..kept(&object) });
    }

    /// `NAME lost`, `NAME gone`, `NAME back`.
    pub(super) fn change_node(&mut self, what: &str) {
        let (name, how) = what.split_once(' ').unwrap();
        let state = match how {
            "lost" => NodeState::Unknown,
            "gone" => NodeState::Gone,
            _ => NodeState::Answers,
        };
        let since = (state != NodeState::Gone).then_some(self.now);
        self.nodes.insert(name.to_owned(), NodeSeen { state, since });
    }

    /// `N SECONDS`: so many failures, and the next probe; `closed`.
    pub(super) fn set_breaker(&mut self, what: &str) {
        self.gate.breaker = what.split_once(' ').map(|(failures, seconds)| Tripped {
            failures: failures.parse().unwrap(),
            next_probe_seconds: seconds.parse().unwrap(),
        });
    }

    /// `SHARDS SECONDS`: as many back off, for so long at the most.
    pub(super) fn set_back_off(&mut self, what: &str) {
        self.gate.backing_off = what.split_once(' ').map(|(shards, seconds)| BackingOff {
            shards: shards.parse().unwrap(),
            longest_seconds: seconds.parse().unwrap(),
        });
    }

    /// `held FAMILY N`: the first N shards; `torn KEY`; `forget KEY`; `empty SECRET`; `foreign SECRET`.
    pub(super) fn change_records(&mut self, what: &str) {
        let words: Vec<_> = what.split(' ').collect();
        match words[0] {
            "held" => {
                let shards: u32 = words[2].parse().unwrap();
                for shard in 0..shards {
                    self.secrets.write("mybot", &format!("{}.{shard}", words[1]), Some("pod"));
                }
            }
            "torn" => self.secrets.write("mybot", words[1], None),
            "forget" => self.secrets.forget("mybot", words[1]),
            "foreign" => self.secrets.foreign(words[1]),
            "empty" => self.secrets.empty(words[1]),
            other => panic!("{other}: not something that becomes of records"),
        }
    }

    pub(super) fn wait(&mut self, seconds: u32) {
        self.now = self.now.checked_add(SignedDuration::from_secs(seconds.into())).unwrap();
        let silent = self.pods.iter_mut().filter(|pod| pod.report.is_none());
        silent.for_each(|pod| pod.silent += Duration::from_secs(seconds.into()));
    }
}
