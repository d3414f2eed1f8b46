//! The types that the server in memory is made of, from the real server's OpenAPI.
//!
//! From its documents to one line a type, without descriptions: `tests/apiserver/src/schema.json`. `UPDATE=1` writes it.
//! Deliberately absent: kinds that are not served.

use super::real::Real;
use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value};
use shard_tests::checkout::root;
use std::collections::BTreeMap;
use std::{env, fs};

const DOCUMENTS: [&str; 7] = [
    "/openapi/v3/api/v1",
    "/openapi/v3/apis/apps/v1",
    "/openapi/v3/apis/policy/v1",
    "/openapi/v3/apis/rbac.authorization.k8s.io/v1",
    "/openapi/v3/apis/coordination.k8s.io/v1",
    "/openapi/v3/apis/authentication.k8s.io/v1",
    "/openapi/v3/apis/events.k8s.io/v1",
];
const ROOTS: [&str; 17] = [
    "apps.v1.StatefulSet",
    "authentication.v1.TokenRequest",
    "authentication.v1.TokenReview",
    "autoscaling.v1.Scale",
    "coordination.v1.Lease",
    "core.v1.ConfigMap",
    "core.v1.Event",
    "core.v1.Namespace",
    "core.v1.Node",
    "core.v1.Pod",
    "core.v1.Secret",
    "core.v1.Service",
    "core.v1.ServiceAccount",
    "events.v1.Event",
    "policy.v1.PodDisruptionBudget",
    "rbac.v1.Role",
    "rbac.v1.RoleBinding",
];

/// Whether the file says what the real server says.
///
/// # Errors
/// When it does not, with the remedy.
pub fn is_fresh(real: &Real) -> Result<()> {
    let mut all = BTreeMap::new();
    for document in DOCUMENTS {
        let document = real.document(document)?;
        let schemas = document.pointer("/components/schemas").and_then(Value::as_object);
        for (name, schema) in schemas.context("a document without schemas")? {
            all.insert(short(name), schema.clone());
        }
    }
    let mut kept = BTreeMap::new();
    for root in ROOTS {
        keep(root, &all, &mut kept)?;
    }
    let lines: Vec<_> =
        kept.iter().map(|(name, schema)| format!("{}:{schema}", Value::from(name.as_str()))).collect();
    let wanted = format!("{{\n{}\n}}\n", lines.join(",\n"));
    let file = root().join("tests/apiserver/src/schema.json");
    if env::var_os("UPDATE").is_some() {
        fs::write(&file, &wanted)?;
    }
    ensure!(
        fs::read_to_string(&file)? == wanted,
        "{} is stale; run UPDATE=1 cargo test --package shard-tests --test conformance",
        file.display()
    );
    Ok(())
}

fn short(name: &str) -> String {
    let name = name.trim_start_matches("io.k8s.");
    let name = name.strip_prefix("api.").filter(|rest| !rest.starts_with("resource")).unwrap_or(name);
    name.trim_start_matches("apimachinery.pkg.apis.").trim_start_matches("apimachinery.pkg.").to_owned()
}

fn keep(name: &str, all: &BTreeMap<String, Value>, kept: &mut BTreeMap<String, Value>) -> Result<()> {
    if kept.contains_key(name) {
        return Ok(());
    }
    kept.insert(name.to_owned(), Value::Null);
    let schema = trimmed(all.get(name).with_context(|| format!("no type {name}"))?, all, kept)?;
    kept.insert(name.to_owned(), schema);
    Ok(())
}

fn trimmed(
    schema: &Value,
    all: &BTreeMap<String, Value>,
    kept: &mut BTreeMap<String, Value>,
) -> Result<Value> {
    let mut words = schema.as_object().cloned().context("a schema that is none")?;
    // A reference with a default beside it.
    if let Some(Value::Array(all_of)) = words.remove("allOf") {
        words.extend(all_of.first().and_then(Value::as_object).cloned().unwrap_or_default());
    }
    let mut trim = Map::new();
    for (word, value) in words {
        let value = match (word.as_str(), &value) {
            ("description" | "x-kubernetes-group-version-kind", _) => continue,
            ("properties", Value::Object(fields)) => fields
                .iter()
                .map(|(name, field)| Ok((name.clone(), trimmed(field, all, kept)?)))
                .collect::<Result<Map<_, _>>>()?
                .into(),
            ("items" | "additionalProperties", Value::Object(_)) => trimmed(&value, all, kept)?,
            ("$ref", Value::String(name)) => {
                let name = short(name.rsplit('/').next().unwrap_or_default());
                keep(&name, all, kept)?;
                name.into()
            }
            _ => value,
        };
        trim.insert(word, value);
    }
    Ok(Value::Object(trim))
}
