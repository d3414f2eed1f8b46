//! JSON Patch and merge patch.
//!
//! From an object as it is served and a patch to the object as it would be; what goes wrong is told as the real server tells it: a
//! failed `test` is an error in the request, without a word about which. Deliberately absent: `copy` and `move`, which nobody
//! here sends; they are refused.

use crate::status::{Refusal, bad_request, failure};
use serde_json::{Value, json};

/// A patch that cannot be carried out on this object.
fn rejected() -> Refusal {
    failure(422, "Invalid", "the server rejected our request due to an error in our request", Some(json!({})))
}

/// Carries out a JSON Patch.
pub(crate) fn json_patch(object: &mut Value, text: &[u8]) -> Result<(), Refusal> {
    let patch: Value = serde_json::from_slice(text).map_err(|_| bad_request("invalid JSON patch"))?;
    let Value::Array(operations) = patch else {
        return Err(bad_request(
            "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
        ));
    };
    for operation in &operations {
        let (word, at) =
            (operation["op"].as_str().unwrap_or_default(), operation["path"].as_str().unwrap_or_default());
        let done = match word {
            "test" => object.pointer(at).unwrap_or(&Value::Null) == &operation["value"],
            "add" => put(object, at, &operation["value"], true),
            "replace" => put(object, at, &operation["value"], false),
            "remove" => remove(object, at),
            _ => false,
        };
        if !done {
            return Err(rejected());
        }
    }
    Ok(())
}

fn put(object: &mut Value, path: &str, value: &Value, inserts: bool) -> bool {
    let Some((parent, name)) = parent(object, path) else { return false };
    match parent {
        // To replace what is not there is to add it: so does the real one.
        Value::Object(fields) => {
            fields.insert(name, value.clone());
            true
        }
        Value::Array(items) if name == "-" && inserts => {
            items.push(value.clone());
            true
        }
        Value::Array(items) => match name.parse::<usize>() {
            Ok(place) if inserts && place <= items.len() => {
                items.insert(place, value.clone());
                true
            }
            Ok(place) if !inserts && place < items.len() => {
                items[place] = value.clone();
                true
            }
            _ => false,
        },
        _ => false,
    }
}

fn remove(object: &mut Value, path: &str) -> bool {
    match parent(object, path) {
        Some((Value::Object(fields), name)) => fields.remove(&name).is_some(),
        Some((Value::Array(items), name)) => {
            let place = name.parse::<usize>().ok().filter(|place| *place < items.len());
            place.map(|place| items.remove(place)).is_some()
        }
        _ => false,
    }
}

/// What contains the last step of a path, and that step.
fn parent<'a>(object: &'a mut Value, path: &str) -> Option<(&'a mut Value, String)> {
    let (parent, name) = path.rsplit_once('/')?;
    let name = name.replace("~1", "/").replace("~0", "~");
    Some((object.pointer_mut(parent)?, name))
}

/// Carries out a merge patch.
pub(crate) fn merge_patch(object: &mut Value, text: &[u8]) -> Result<Value, Refusal> {
    let patch: Value = serde_json::from_slice(text).map_err(|_| bad_request("invalid JSON patch"))?;
    merge(object, &patch);
    Ok(patch)
}

fn merge(object: &mut Value, patch: &Value) {
    let Some(changes) = patch.as_object() else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = json!({});
    }
    for (name, change) in changes {
        if change.is_null() {
            crate::meta::remove_at(object, name);
        } else {
            merge(&mut object[name], change);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_carried_out_in_their_order() {
        let mut object = json!({ "data": { "k": "v", "a/b": 1 }, "list": [1, 3] });
        let patch = json!([
            { "op": "test", "path": "/data/k", "value": "v" },
            { "op": "add", "path": "/data/m", "value": "n" },
            { "op": "remove", "path": "/data/a~1b" },
            { "op": "add", "path": "/list/1", "value": 2 },
            { "op": "add", "path": "/list/-", "value": 4 },
            { "op": "replace", "path": "/list/0", "value": 0 },
        ]);
        json_patch(&mut object, patch.to_string().as_bytes()).unwrap();
        assert_eq!(object, json!({ "data": { "k": "v", "m": "n" }, "list": [0, 2, 3, 4] }));
    }

    #[test]
    fn a_failed_test_is_an_error_in_the_request() {
        let patch = br#"[{"op":"test","path":"/data/k","value":"w"}]"#;
        let refusal = json_patch(&mut json!({ "data": { "k": "v" } }), patch).unwrap_err();
        assert_eq!(refusal.code(), 422);
    }

    #[test]
    fn null_removes_and_maps_are_merged() {
        let mut object = json!({ "a": { "b": 1, "c": 2 }, "d": [1] });
        merge(&mut object, &json!({ "a": { "b": null, "e": { "f": 3 } }, "d": [2] }));
        assert_eq!(object, json!({ "a": { "c": 2, "e": { "f": 3 } }, "d": [2] }));
    }
}
