//! Numbers and booleans of a command that came as text, as what they are.
//!
//! From: a command's JSON, before it is checked. For: `commands/definition.rs`. Discord takes both, and gives back what they are;
//! JDA sends `contexts` and `integration_types` as texts. What cannot be read so stays as it came, for the checks to refuse.
//! Deliberately absent: values of choices, whose type is what they are told apart by.

use serde_json::Value;

use crate::form_errors::{boolean, integer};

const INTEGERS: [&str; 3] = ["type", "min_length", "max_length"];
const LISTS_OF_INTEGERS: [&str; 3] = ["contexts", "integration_types", "channel_types"];
const BOOLEANS: [&str; 5] = ["nsfw", "dm_permission", "default_permission", "required", "autocomplete"];

/// The command, or one of its options, with what is inside.
pub fn typed(of: &Value) -> Value {
    let mut of = of.clone();
    for (field, value) in of.as_object_mut().into_iter().flatten() {
        let field = field.as_str();
        let list = value.as_array_mut().map(Vec::as_mut_slice);
        match (field, list) {
            ("options", Some(options)) => options.iter_mut().for_each(|option| *option = typed(option)),
            (_, Some(numbers)) if LISTS_OF_INTEGERS.contains(&field) => numbers.iter_mut().for_each(number),
            (_, None) if INTEGERS.contains(&field) => number(value),
            (_, None) if BOOLEANS.contains(&field) => {
                *value = boolean(value).map_or_else(|| value.take(), Value::from);
            }
            _ => {}
        }
    }
    of
}

fn number(value: &mut Value) {
    *value = integer(value).map_or_else(|| value.take(), Value::from);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_become_what_they_say_at_every_depth_and_anything_else_stays() {
        let option = json!({ "type": "7", "required": "true", "channel_types": ["0", 2, "x"], "name": "1" });
        let command =
            json!({ "type": "1", "contexts": ["0", "1"], "nsfw": 0, "options": [option], "name": "5" });
        let option = json!({ "type": 7, "required": true, "channel_types": [0, 2, "x"], "name": "1" });
        let expected =
            json!({ "type": 1, "contexts": [0, 1], "nsfw": false, "options": [option], "name": "5" });
        assert_eq!(typed(&command), expected);
        for other in
            [json!({ "contexts": "0", "type": [1], "nsfw": "yes", "options": 7 }), json!([]), json!(7)]
        {
            assert_eq!(typed(&other), other);
        }
    }
}
