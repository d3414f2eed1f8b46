//! Strategic merge patches, as far as anybody here sends them.
//!
//! From an object and a patch to the object: maps are merged, null removes, lists with a merge key are merged by it, others are
//! replaced. Deliberately absent: directives such as `$patch` and `$setElementOrder`.

use crate::schema::Schema;
use serde_json::Value;

/// Applies a patch.
pub(crate) fn merge(schema: &Schema, object: &mut Value, patch: &Value) {
    let Some(changes) = patch.as_object() else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = Value::Object(serde_json::Map::new());
    }
    let unknown = Schema::default();
    for (name, change) in changes {
        let field = schema.field(name).unwrap_or(&unknown);
        match (change, &field.merge_key) {
            (Value::Null, _) => crate::meta::remove_at(object, name),
            (Value::Object(_), _) => merge(field, &mut object[name], change),
            (Value::Array(items), Some(key)) if object[name].is_array() => {
                merge_lists(field, key, &mut object[name], items);
            }
            _ => object[name] = change.clone(),
        }
    }
}

fn merge_lists(schema: &Schema, key: &str, list: &mut Value, changes: &[Value]) {
    let Some(items) = list.as_array_mut() else { return };
    for change in changes {
        let found = items.iter().position(|item| item.get(key) == change.get(key));
        match found {
            Some(place) => merge(schema.item(), &mut items[place], change),
            None => items.push(change.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Types;
    use serde_json::json;

    #[test]
    fn conditions_are_merged_by_their_type() {
        let schema = Types::built_in().unwrap().get("core.v1.Pod").unwrap();
        let mut pod = json!({ "status": { "phase": "Running", "conditions": [{ "type": "A", "x": 1 }, { "type": "B" }] } });
        merge(
            &schema,
            &mut pod,
            &json!({ "status": { "phase": null, "conditions": [{ "type": "A", "y": 2 }, { "type": "C" }] } }),
        );
        let wanted = json!({ "status": { "conditions": [{ "type": "A", "x": 1, "y": 2 }, { "type": "B" }, { "type": "C" }] } });
        assert_eq!(pod, wanted);
    }
}
