//! From the body of a call to an object of the kind that its URL names.
//!
//! Text, then the kind and version that it says, then its fields, strictly or not, in the real server's order and words. Deliberately
//! absent: protobuf.

use crate::address::Query;
use crate::decode::{Decoded, decode};
use crate::duplicates::duplicates;
use crate::kinds::Kind;
use crate::meta;
use crate::status::{Cause, Refusal, bad_request, invalid};
use serde_json::Value;

/// An object as it was sent, and what the sender is warned of.
pub(crate) struct Sent {
    pub(crate) object: Value,
    pub(crate) warnings: Vec<String>,
}

/// Reads the body of a creation or a replacement.
pub(crate) fn object(kind: &Kind, body: &[u8], query: &Query) -> Result<Sent, Refusal> {
    let value = text(kind, body)?;
    let cannot = |why: &str| {
        let (version, name) = (&kind.version, &kind.kind);
        bad_request(format!("{name} in version {version:?} cannot be handled as a {name}: {why}"))
    };
    let said = |field: &str| value[field].as_str().unwrap_or_default();
    let (version, name) = (said("apiVersion"), said("kind"));
    if kind.traits.is_custom && version != kind.api_version() {
        let wanted = kind.api_version();
        return Err(bad_request(format!(
            "the API version in the data ({version}) does not match the expected API version ({wanted})"
        )));
    }
    if !name.is_empty() && name != kind.kind {
        let why = format!(
            "converting ({}.{name}) to ({}.{}): unknown conversion",
            kind.version,
            if kind.group.is_empty() { "core" } else { &kind.group },
            kind.kind
        );
        let told =
            format!("{name} in version {:?} cannot be handled as a {}: {why}", kind.version, kind.kind);
        return Err(bad_request(told));
    }
    let Decoded { value, unknown } = decode(kind, &value).map_err(|why| cannot(&why))?;
    let twice = duplicates(body).into_iter().map(|field| format!("duplicate field {field:?}"));
    let warnings: Vec<_> = twice.chain(told(unknown)).collect();
    match query.get("fieldValidation") {
        "Strict" if !warnings.is_empty() => {
            Err(cannot(&format!("strict decoding error: {}", warnings.join(", "))))
        }
        "Ignore" => Ok(Sent { object: value, warnings: Vec::new() }),
        _ => Ok(Sent { object: value, warnings }),
    }
}

/// Reads what a patch made of an object.
pub(crate) fn patched(kind: &Kind, value: &Value, query: &Query) -> Result<Sent, Refusal> {
    let cannot = |why: &str| {
        let text = Value::String(value.to_string());
        invalid("", "", "", &[Cause::invalid("patch", &text, why)])
    };
    let Decoded { value: object, unknown } = decode(kind, value).map_err(|why| cannot(&why))?;
    let warnings = told(unknown);
    match query.get("fieldValidation") {
        "Strict" if !warnings.is_empty() => {
            Err(cannot(&format!("strict decoding error: {}", warnings.join(", "))))
        }
        "Ignore" => Ok(Sent { object, warnings: Vec::new() }),
        _ => Ok(Sent { object, warnings }),
    }
}

fn told(unknown: Vec<String>) -> Vec<String> {
    unknown.into_iter().map(|field| format!("unknown field {field:?}")).collect()
}

/// Reads JSON, or YAML where that may be sent.
fn text(kind: &Kind, body: &[u8]) -> Result<Value, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        let body = String::from_utf8_lossy(body);
        let shown = if body.is_empty() { "<empty>" } else { &body };
        let why = if error.is_eof() { "unexpected end of JSON input".to_owned() } else { error.to_string() };
        bad_request(format!(
            "the object provided is unrecognized (must be of type {}): couldn't get version/kind; json parse error: {why} \
             ({shown})",
            kind.kind
        ))
    })
}

/// Reads an applied configuration.
pub(crate) fn config(body: &[u8]) -> Result<Value, Refusal> {
    serde_json::from_slice(body).or_else(|_| {
        let text = String::from_utf8_lossy(body);
        serde_saphyr::from_str(&text).map_err(|error| bad_request(format!("error decoding YAML: {error}")))
    })
}

/// Holds name and namespace to the URL's.
pub(crate) fn place(object: &mut Value, namespace: &str, name: &str) -> Result<(), Refusal> {
    let (said, at) = (meta::namespace(object).to_owned(), meta::name(object).to_owned());
    if !name.is_empty() && !at.is_empty() && at != name {
        return Err(bad_request(format!(
            "the name of the object ({at}) does not match the name on the URL ({name})"
        )));
    }
    if !name.is_empty() {
        meta::set(object, "name", name);
    }
    if !said.is_empty() && said != namespace {
        return Err(bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    if namespace.is_empty() {
        meta::remove(object, "namespace");
    } else {
        meta::set(object, "namespace", namespace);
    }
    Ok(())
}
