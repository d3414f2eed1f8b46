//! The ShardedBot of a round: read live, field by field, each within its bounds.
//!
//! From the object's text to a [`ShardedBot`], and what could not be read of its spec. A field that cannot be read has its
//! default and is named; the others count: the gate of a fleet that runs is set by them. The template is looked at as text first:
//! its length, how many values it has and how deeply they nest, since a tree of it takes many times as much memory. Deliberately absent:
//! what the schema and its rules refuse, and what is planned of a spec that cannot be read.

use crate::crd::{ShardedBot, ShardedBotSpec, ShardedBotStatus};
use crate::model::{Note, Reason};
use kube::core::ObjectMeta;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// The longest template, in bytes of JSON.
pub const TEMPLATE_BYTES: usize = 256 << 10;
/// The most values of a template: objects, lists, texts and numbers. An entry of a list of variables has three.
pub const TEMPLATE_VALUES: usize = 10_000;
/// How deeply a template may nest; a pod needs about ten levels.
pub const TEMPLATE_DEPTH: usize = 64;
/// The longest that any other field is, and the status, in bytes.
const FIELD_BYTES: usize = 64 << 10;

/// A template that is longer than this takes noticeable memory as a tree, in bytes: up to 80 times its length, in several copies.
const LARGE: usize = 16 << 10;

/// A ShardedBot, as far as it can be read; its template is still a text.
pub struct Read {
    bot: ShardedBot,
    template: String,
    unreadable: Option<Note>,
}

impl Read {
    /// Whether few of its like should be taken apart at a time.
    #[must_use]
    pub fn is_large(&self) -> bool {
        self.template.len() > LARGE
    }

    /// The bot, in which what cannot be read has its default; and what that is, and the remedy.
    #[must_use]
    pub fn whole(self) -> (ShardedBot, Option<Note>) {
        let Self { mut bot, template, mut unreadable } = self;
        if !template.is_empty() {
            match serde_json::from_str(&template) {
                Ok(template) => bot.spec.template = template,
                Err(error) => {
                    let message =
                        format!("spec.template: it cannot be read: {}; correct it", cut(&error.to_string()));
                    unreadable.get_or_insert_with(|| Note::new(Reason::SpecUnreadable, message));
                }
            }
        }
        (bot, unreadable)
    }
}

/// An error quotes what it found, which may be long.
fn cut(text: &str) -> String {
    text.chars().take(600).collect()
}

/// The object as it was stored; a field that is not here is skipped.
#[derive(Deserialize)]
struct Stored<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
    #[serde(borrow, default)]
    spec: Option<&'a RawValue>,
    #[serde(borrow, default)]
    status: Option<&'a RawValue>,
}

/// What is read of its metadata: managed fields nest as deeply as the spec does.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    generation: Option<i64>,
    resource_version: Option<String>,
    #[serde(borrow, default)]
    creation_timestamp: Option<&'a RawValue>,
    #[serde(borrow, default)]
    deletion_timestamp: Option<&'a RawValue>,
}

/// Reads a bot from the text of its object.
///
/// # Errors
/// When it is not an object of Kubernetes at all.
pub fn read(text: &str) -> Result<Read, serde_json::Error> {
    let Stored { metadata, spec, status } = serde_json::from_str(text)?;
    let time = |raw: Option<&RawValue>| raw.and_then(|raw| serde_json::from_str(raw.get()).ok());
    let metadata = ObjectMeta {
        name: metadata.name,
        namespace: metadata.namespace,
        uid: metadata.uid,
        generation: metadata.generation,
        resource_version: metadata.resource_version,
        creation_timestamp: time(metadata.creation_timestamp),
        deletion_timestamp: time(metadata.deletion_timestamp),
        ..ObjectMeta::default()
    };
    let status = status.filter(|raw| raw.get().len() <= FIELD_BYTES);
    let status: Option<ShardedBotStatus> = status.and_then(|raw| serde_json::from_str(raw.get()).ok());
    let mut fields = Fields::of(spec.map_or("{}", RawValue::get));
    let spec = fields.spec();
    let template = fields.template().unwrap_or_default().to_owned();
    Ok(Read { bot: ShardedBot { metadata, spec, status }, template, unreadable: fields.problem })
}

/// A bot of which only the metadata is known.
#[must_use]
pub fn unreadable(metadata: ObjectMeta, error: &dyn std::error::Error) -> Read {
    let mut fields = Fields { fields: BTreeMap::new(), problem: None };
    fields.found(
        Reason::SpecUnreadable,
        &format!("the object cannot be read: {error}; correct it, or make its annotations and spec.template shorter"),
    );
    let spec = fields.spec();
    let bot = ShardedBot { metadata, spec, status: None };
    Read { bot, template: String::new(), unreadable: fields.problem }
}

/// The fields of a spec, each as text, and the first that could not be read.
struct Fields<'a> {
    fields: BTreeMap<&'a str, &'a RawValue>,
    problem: Option<Note>,
}

impl<'a> Fields<'a> {
    fn of(spec: &'a str) -> Self {
        match serde_json::from_str(spec) {
            Ok(fields) => Self { fields, problem: None },
            Err(error) => {
                let mut none = Self { fields: BTreeMap::new(), problem: None };
                none.found(
                    Reason::SpecUnreadable,
                    &format!("spec: {error}; write it as `kubectl explain` says"),
                );
                none
            }
        }
    }

    /// Every field of the spec is named here, so that none is forgotten.
    fn spec(&mut self) -> ShardedBotSpec {
        let nothing = ShardedBotSpec::unset();
        ShardedBotSpec {
            token_secret_ref: self.required("tokenSecretRef", nothing.token_secret_ref),
            shards: self.field("shards", nothing.shards),
            shard_multiple: self.field("shardMultiple", nothing.shard_multiple),
            shards_per_pod: self.field("shardsPerPod", nothing.shards_per_pod),
            follow: self.field("follow", nothing.follow),
            update: self.field("update", nothing.update),
            identify: self.field("identify", nothing.identify),
            paused: self.field("paused", nothing.paused),
            restarted_at: self.field("restartedAt", nothing.restarted_at),
            // Of its own: it stays a text until there is room for its tree.
            template: nothing.template,
        }
    }

    fn required<T: DeserializeOwned>(&mut self, name: &str, otherwise: T) -> T {
        if self.raw(name).is_none() {
            self.found(Reason::SpecUnreadable, &format!("spec.{name}: it is missing; add it"));
        }
        self.field(name, otherwise)
    }

    fn field<T: DeserializeOwned>(&mut self, name: &str, otherwise: T) -> T {
        let Some(raw) = self.raw(name) else { return otherwise };
        if raw.len() > FIELD_BYTES {
            let found = raw.len();
            self.found(
                Reason::SpecUnreadable,
                &format!("spec.{name}: found {found} bytes; at most {FIELD_BYTES} are read; make it shorter"),
            );
            return otherwise;
        }
        serde_json::from_str(raw).unwrap_or_else(|error| {
            self.found(
                Reason::SpecUnreadable,
                &format!("spec.{name}: this version of the operator cannot read it: {error}; change it, or upgrade the operator"),
            );
            otherwise
        })
    }

    /// The template's text, unless there is none, or a larger one than is taken.
    fn template(&mut self) -> Option<&'a str> {
        let Some(raw) = self.raw("template") else {
            self.found(Reason::SpecUnreadable, "spec.template: it is missing; add it");
            return None;
        };
        let size = Size::of(raw);
        for (found, most, what) in [
            (raw.len(), TEMPLATE_BYTES, "bytes of JSON"),
            (size.values, TEMPLATE_VALUES, "values"),
            (size.depth, TEMPLATE_DEPTH, "nested levels"),
        ] {
            if found > most {
                self.found(
                    Reason::TemplateRefused,
                    &format!("spec.template: found {found} {what}; at most {most} are taken; move what is long into a ConfigMap or the image"),
                );
                return None;
            }
        }
        Some(raw)
    }

    /// A field's text; null is as good as nothing.
    fn raw(&self, name: &str) -> Option<&'a str> {
        self.fields.get(name).map(|raw| raw.get()).filter(|raw| *raw != "null")
    }

    /// The first thing found is the one that is told.
    fn found(&mut self, reason: Reason, message: &str) {
        self.problem.get_or_insert_with(|| Note::new(reason, cut(message)));
    }
}

/// How large a JSON text is, counted without parsing it into a tree.
struct Size {
    values: usize,
    depth: usize,
}

impl Size {
    /// Of a text that is known to be JSON. Each comma, bracket and brace begins a value at most once.
    fn of(json: &str) -> Self {
        let (mut values, mut depth, mut deepest) = (1, 0_usize, 0);
        let mut bytes = json.bytes();
        while let Some(byte) = bytes.next() {
            match byte {
                b'"' => skip_text(&mut bytes),
                b'{' | b'[' => {
                    depth += 1;
                    deepest = deepest.max(depth);
                    values += 1;
                }
                b'}' | b']' => depth = depth.saturating_sub(1),
                b',' => values += 1,
                _ => {}
            }
        }
        Self { values, depth: deepest }
    }
}

/// Goes on behind the closing quotation mark.
fn skip_text(bytes: &mut std::str::Bytes<'_>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'"' => return,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn object(spec: &Value) -> String {
        json!({
            "metadata": { "name": "mybot", "namespace": "bots", "uid": "u", "generation": 3, "creationTimestamp": "2026-01-01T00:00:00Z" },
            "spec": spec, "status": { "observedGeneration": 2 },
        })
        .to_string()
    }

    fn whole(text: &str) -> (ShardedBot, Option<Note>) {
        read(text).unwrap().whole()
    }

    fn told(spec: &Value) -> Option<(Reason, String)> {
        whole(&object(spec)).1.map(|note| (note.reason, note.message))
    }

    fn with_template(template: &Value) -> Value {
        json!({ "tokenSecretRef": { "name": "t" }, "shards": 4, "identify": { "reservePercent": 33 }, "template": template })
    }

    #[test]
    fn field_by_field_reads_what_the_derive_reads() {
        let container = json!({ "spec": { "containers": [{ "name": "bot", "image": "i" }] } });
        for spec in [
            with_template(&container),
            json!({ "tokenSecretRef": { "name": "t" }, "template": container }),
            json!({
                "tokenSecretRef": { "name": "t", "key": "k" }, "shardMultiple": 16, "shardsPerPod": 8,
                "follow": { "minShards": 2 }, "update": { "type": "Recreate" }, "paused": true,
                "restartedAt": "now", "template": { "metadata": { "labels": { "a": "b" } }, "spec": {} },
            }),
        ] {
            let derived: ShardedBotSpec = serde_json::from_value(spec.clone()).unwrap();
            let (bot, unreadable) = whole(&object(&spec));
            assert_eq!((bot.spec, unreadable), (derived, None), "{spec}");
            let metadata = &bot.metadata;
            assert_eq!((metadata.generation, bot.status.unwrap().observed_generation), (Some(3), 2));
            assert!(metadata.creation_timestamp.is_some() && metadata.deletion_timestamp.is_none());
        }
    }

    #[test]
    fn a_field_that_cannot_be_read_is_named_and_the_others_count() {
        let mut spec = with_template(&json!({ "spec": { "containers": [] } }));
        spec["update"] = json!({ "type": "Canary" });
        let (bot, unreadable) = whole(&object(&spec));
        let note = unreadable.unwrap();
        assert_eq!(note.reason, Reason::SpecUnreadable);
        assert!(
            note.message.starts_with("spec.update: ") && note.message.contains("Canary"),
            "{}",
            note.message
        );
        assert_eq!((bot.spec.shards, bot.spec.identify.reserve_percent), (Some(4), 33));
        let missing = told(&json!({ "template": { "spec": {} } })).unwrap().1;
        assert_eq!(missing, "spec.tokenSecretRef: it is missing; add it");
        assert!(told(&json!([])).unwrap().1.starts_with("spec: "));
        let long = told(
            &json!({ "restartedAt": "x".repeat(FIELD_BYTES), "template": {}, "tokenSecretRef": { "name": "t" } }),
        );
        assert!(long.unwrap().1.contains("65538 bytes"));
    }

    #[test]
    fn null_is_as_good_as_nothing() {
        let mut spec = with_template(&json!({ "spec": {} }));
        spec["update"] = Value::Null;
        spec["shardMultiple"] = Value::Null;
        assert_eq!(told(&spec), None);
    }

    #[test]
    fn a_template_is_refused_by_its_size_before_it_is_a_tree() {
        let nested = |levels: usize| {
            let text = format!("{}{}", "{\"a\":".repeat(levels), "1".to_owned() + &"}".repeat(levels));
            let around = object(&with_template(&json!({ "spec": "HERE" })));
            whole(&around.replace("\"HERE\"", &text))
        };
        for (levels, refused) in [(20, false), (62, false), (130, true), (5_000, true)] {
            let (bot, unreadable) = nested(levels);
            assert_eq!(unreadable.is_some(), refused, "{levels}");
            assert_eq!(bot.spec.shards, Some(4), "the rest of the spec counts");
            if let Some(note) = unreadable {
                assert_eq!(note.reason, Reason::TemplateRefused);
                assert!(note.message.contains("nested levels; at most 64"), "{}", note.message);
            }
        }
        let maps = told(&with_template(&json!({ "spec": { "x": vec![json!({}); 200_000] } })));
        assert!(maps.as_ref().unwrap().1.contains("bytes of JSON; at most 262144"), "{maps:?}");
        let maps = told(&with_template(&json!({ "spec": { "x": vec![json!({}); 20_000] } })));
        assert!(maps.as_ref().unwrap().1.contains("values; at most 10000"), "{maps:?}");
        let quoted = with_template(&json!({ "spec": { "x": "[{,\"".repeat(20_000) } }));
        assert_eq!(told(&quoted), None, "brackets within a text are none");
    }
}
