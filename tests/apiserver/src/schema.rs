//! What objects are made of: types, keys of lists, defaults, bounds and rules.
//!
//! From the real server's OpenAPI, which stands in `schema.json` as one line a type (made and held fresh by the conformance
//! test), and from our CRD. For decoding, defaulting, validation and the merging of fields. Deliberately absent: descriptions,
//! and everything that neither source uses: `allOf`, `not`, `multipleOf`, formats that are only checked.

use crate::rules::{Rule, UnknownRule};
use regex::Regex;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

/// The built-in types.
const BUILT_IN: &str = include_str!("schema.json");

/// A schema that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// Not readable.
    #[error("the definition cannot be read")]
    Read(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A type refers to one that is not there.
    #[error("{0}: no such type")]
    Missing(String),
    /// A rule that is not known here, so that nobody would check it.
    #[error(transparent)]
    Rule(#[from] UnknownRule),
    /// A word of OpenAPI that is not known here, so that nobody would look at it.
    #[error("{path}: `{word}` is not supported here; teach tests/apiserver/src/schema.rs")]
    Word {
        /// Where it stands.
        path: String,
        /// The word.
        word: String,
    },
}

/// What kind of value stands somewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Type {
    /// Known fields, or any by one schema.
    Object,
    List,
    Text,
    Integer,
    Number,
    Bool,
    IntOrText,
    Quantity,
    /// Whatever it is: maps are merged, lists are not.
    #[default]
    Any,
}

/// How a list is merged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Merged {
    #[default]
    Whole,
    Set,
    ByKeys(Vec<String>),
}

/// One place in an object.
#[derive(Clone, Debug, Default)]
pub(crate) struct Schema {
    /// The type's name in the real server's sources, for messages.
    pub(crate) go: String,
    pub(crate) kind: Type,
    pub(crate) format: String,
    pub(crate) properties: BTreeMap<String, Arc<Schema>>,
    pub(crate) additional: Option<Arc<Schema>>,
    pub(crate) items: Option<Arc<Schema>>,
    pub(crate) merged: Merged,
    pub(crate) is_atomic: bool,
    /// The key by which a strategic merge patch knows items.
    pub(crate) merge_key: Option<String>,
    pub(crate) keeps_unknown: bool,
    pub(crate) may_be_null: bool,
    pub(crate) default: Option<Value>,
    pub(crate) required: Vec<String>,
    pub(crate) choices: Vec<String>,
    pub(crate) minimum: Option<i64>,
    pub(crate) maximum: Option<i64>,
    pub(crate) min_length: Option<usize>,
    pub(crate) max_length: Option<usize>,
    pub(crate) pattern: Option<Regex>,
    pub(crate) min_items: Option<usize>,
    pub(crate) max_items: Option<usize>,
    pub(crate) rules: Vec<Rule>,
}

static ANY: LazyLock<Schema> = LazyLock::new(Schema::default);

impl Schema {
    /// What stands in a field; none where the field is not known.
    pub(crate) fn field(&self, name: &str) -> Option<&Schema> {
        if let Some(known) = self.properties.get(name) {
            return Some(known);
        }
        if let Some(any) = &self.additional {
            return Some(any);
        }
        (self.keeps_unknown || self.kind == Type::Any).then_some(&ANY)
    }

    /// What an item of the list is.
    pub(crate) fn item(&self) -> &Schema {
        self.items.as_deref().unwrap_or(&ANY)
    }

    /// Whether it is merged as one value.
    pub(crate) fn is_leaf(&self, value: &Value) -> bool {
        match value {
            Value::Object(_) => self.is_atomic,
            Value::Array(_) => self.merged == Merged::Whole,
            _ => true,
        }
    }

    /// Whether it is a map from any key.
    pub(crate) fn is_map(&self) -> bool {
        self.properties.is_empty() && self.additional.is_some()
    }
}

/// All types by name.
pub(crate) struct Types {
    raw: Map<String, Value>,
    made: BTreeMap<String, Arc<Schema>>,
}

impl Types {
    pub(crate) fn built_in() -> Result<Self, SchemaError> {
        let raw = serde_json::from_str(BUILT_IN).map_err(|error| SchemaError::Read(error.into()))?;
        Ok(Self { raw, made: BTreeMap::new() })
    }

    /// The type of this name. None of them contains itself.
    pub(crate) fn get(&mut self, name: &str) -> Result<Arc<Schema>, SchemaError> {
        if let Some(made) = self.made.get(name) {
            return Ok(Arc::clone(made));
        }
        let raw = self.raw.get(name).cloned().ok_or_else(|| SchemaError::Missing(name.to_owned()))?;
        let mut schema = self.parse(name, &raw)?;
        name.rsplit('.').next().unwrap_or(name).clone_into(&mut schema.go);
        let made = Arc::new(schema);
        self.made.insert(name.to_owned(), Arc::clone(&made));
        Ok(made)
    }

    /// The schema of a custom kind, with the metadata that every object has.
    pub(crate) fn custom(&mut self, kind: &str, raw: &Value) -> Result<Arc<Schema>, SchemaError> {
        let mut schema = self.parse("", raw)?;
        kind.clone_into(&mut schema.go);
        let text = Arc::new(Schema { kind: Type::Text, ..Schema::default() });
        schema.properties.insert("metadata".to_owned(), self.get("meta.v1.ObjectMeta")?);
        schema.properties.insert("apiVersion".to_owned(), Arc::clone(&text));
        schema.properties.insert("kind".to_owned(), text);
        Ok(Arc::new(schema))
    }

    fn parse(&mut self, path: &str, raw: &Value) -> Result<Schema, SchemaError> {
        let mut schema = Schema::default();
        let Some(words) = raw.as_object() else {
            return Err(SchemaError::Word { path: path.to_owned(), word: raw.to_string() });
        };
        if let Some(name) = words.get("$ref").and_then(Value::as_str) {
            schema = Schema::clone(&*self.get(name)?);
        }
        for (word, value) in words {
            self.take(path, &mut schema, word, value)?;
        }
        // An object of which nothing is said.
        let is_bare = schema.properties.is_empty() && schema.additional.is_none() && !schema.keeps_unknown;
        if schema.kind == Type::Object && is_bare && schema.go.is_empty() && path.ends_with("FieldsV1") {
            schema.kind = Type::Any;
        }
        Ok(schema)
    }

    fn take(
        &mut self,
        path: &str,
        schema: &mut Schema,
        word: &str,
        value: &Value,
    ) -> Result<(), SchemaError> {
        let text = || value.as_str().unwrap_or_default().to_owned();
        let texts = || -> Vec<String> {
            value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        // YAML of the CRD has `1.0` where an integer is meant.
        #[expect(clippy::cast_possible_truncation, reason = "bounds of integers")]
        let integer = || value.as_i64().or_else(|| value.as_f64().map(|number| number as i64));
        let size = || integer().and_then(|size| usize::try_from(size).ok());
        match word {
            "$ref" | "description" | "title" | "x-kubernetes-unions" | "x-kubernetes-patch-strategy" => {}
            "type" => schema.kind = kind(&text()),
            "format" => schema.format = text(),
            "nullable" => schema.may_be_null = value == &json!(true),
            "default" => schema.default = Some(value.clone()),
            "required" => schema.required = texts(),
            "enum" => schema.choices = texts(),
            "minimum" => schema.minimum = integer(),
            "maximum" => schema.maximum = integer(),
            "minLength" => schema.min_length = size(),
            "maxLength" => schema.max_length = size(),
            "pattern" => {
                schema.pattern = Some(Regex::new(&text()).map_err(|error| SchemaError::Read(error.into()))?);
            }
            "minItems" => schema.min_items = size(),
            "maxItems" => schema.max_items = size(),
            "properties" => {
                for (name, raw) in value.as_object().into_iter().flatten() {
                    let field = self.parse(&format!("{path}.{name}"), raw)?;
                    schema.properties.insert(name.clone(), Arc::new(field));
                }
            }
            "additionalProperties" => schema.additional = Some(Arc::new(self.parse(path, value)?)),
            "items" => schema.items = Some(Arc::new(self.parse(path, value)?)),
            "oneOf" => schema.kind = Type::Quantity,
            "x-kubernetes-int-or-string" => schema.kind = Type::IntOrText,
            "x-kubernetes-preserve-unknown-fields" => schema.keeps_unknown = value == &json!(true),
            "x-kubernetes-map-type" => schema.is_atomic = value == "atomic",
            "x-kubernetes-patch-merge-key" => schema.merge_key = Some(text()),
            "x-kubernetes-list-map-keys" => schema.merged = Merged::ByKeys(texts()),
            "x-kubernetes-list-type" => {
                if value == "set" {
                    schema.merged = Merged::Set;
                }
            }
            "x-kubernetes-validations" => {
                for rule in value.as_array().into_iter().flatten() {
                    schema.rules.push(Rule::known(rule)?);
                }
            }
            word => {
                return Err(SchemaError::Word { path: path.to_owned(), word: word.to_owned() });
            }
        }
        if schema.format == "int-or-string" {
            schema.kind = Type::IntOrText;
        }
        Ok(())
    }
}

fn kind(name: &str) -> Type {
    match name {
        "object" => Type::Object,
        "array" => Type::List,
        "string" => Type::Text,
        "integer" => Type::Integer,
        "number" => Type::Number,
        "boolean" => Type::Bool,
        _ => Type::Any,
    }
}
