//! What is wrong with a form, field by field: the tree `errors` of Discord's error 50035.
//!
//! From: whoever checks a JSON body (commands, messages, callbacks). For: `rest/answer.rs`. Checks go on after the first
//! wrong field, as Discord's do. Codes and texts are those that Discord's clients have reported.
//! Source: Discord, `developers/reference.mdx` "Error Messages". Deliberately absent: fields that nobody checks.

use std::fmt::Display;
use std::ops::RangeInclusive;

use serde_json::{Map, Value, json};

/// The largest whole number up to which a float counts exactly.
const LARGEST_WHOLE: f64 = 9_007_199_254_740_992.0;

/// A JSON object.
pub type Object = Map<String, Value>;

/// What was found wrong so far, and the place that is looked at now.
#[derive(Clone, Debug, Default)]
pub struct FormErrors {
    path: Vec<String>,
    found: Vec<Wrong>,
}

#[derive(Clone, Debug)]
struct Wrong {
    path: Vec<String>,
    code: &'static str,
    message: String,
}

impl FormErrors {
    /// A form with one wrong field.
    pub fn of(field: &str, code: &'static str, message: impl Into<String>) -> Self {
        let mut errors = Self::default();
        errors.add(field, code, message);
        errors
    }

    /// Looks at what is under a key; keys are names of fields and indices, never words of the client's.
    pub fn within<T>(&mut self, key: impl Display, look: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(key.to_string());
        let seen = look(self);
        self.path.pop();
        seen
    }

    /// A field of the present place is wrong; the place itself where the field's name is empty.
    pub fn add(&mut self, field: &str, code: &'static str, message: impl Into<String>) {
        let mut path = self.path.clone();
        path.extend((!field.is_empty()).then(|| field.to_owned()));
        self.found.push(Wrong { path, code, message: message.into() });
    }

    /// The value, if nothing was found wrong.
    pub fn result<T>(self, value: T) -> Result<T, Self> {
        if self.found.is_empty() { Ok(value) } else { Err(self) }
    }

    /// The tree `errors`.
    pub fn tree(&self) -> Value {
        let mut tree = json!({});
        for wrong in &self.found {
            let place = wrong.path.iter().fold(&mut tree, |place, key| &mut place[key.as_str()]);
            let error = json!({ "code": wrong.code, "message": wrong.message });
            match place["_errors"].as_array_mut() {
                Some(errors) => errors.push(error),
                None => place["_errors"] = json!([error]),
            }
        }
        tree
    }

    /// The value as an object.
    pub fn object<'v>(&mut self, value: &'v Value) -> Option<&'v Object> {
        let object = value.as_object();
        if object.is_none() {
            self.add("", "MODEL_TYPE_CONVERT", "Only dictionaries may be used in a ModelType");
        }
        object
    }

    /// A field that must be there.
    pub fn required<'v>(&mut self, of: &'v Object, field: &str) -> Option<&'v Value> {
        let value = present(of, field);
        if value.is_none() {
            self.add(field, "BASE_TYPE_REQUIRED", "This field is required");
        }
        value
    }

    /// A text, if it is there.
    pub fn text<'v>(&mut self, of: &'v Object, field: &str) -> Option<&'v str> {
        let value = present(of, field)?;
        if value.as_str().is_none() {
            self.add(field, "STRING_TYPE_CONVERT", "Could not interpret the value as string.");
        }
        value.as_str()
    }

    /// A whole number, if it is there.
    pub fn integer(&mut self, of: &Object, field: &str) -> Option<i64> {
        let value = present(of, field)?;
        let number = integer(value);
        if number.is_none() {
            self.add(field, "NUMBER_TYPE_COERCE", "Value is not int.");
        }
        number
    }

    /// A boolean, if it is there.
    pub fn boolean(&mut self, of: &Object, field: &str) -> Option<bool> {
        let value = boolean(present(of, field)?);
        if value.is_none() {
            self.add(field, "BOOLEAN_TYPE_CONVERT", "Must be either true or false.");
        }
        value
    }

    /// A list of at most so many, if it is there.
    pub fn list<'v>(&mut self, of: &'v Object, field: &str, most: usize) -> Option<&'v [Value]> {
        let value = present(of, field)?;
        let Some(list) = value.as_array() else {
            self.add(field, "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType");
            return None;
        };
        if list.len() > most {
            self.add(field, "BASE_TYPE_MAX_LENGTH", format!("Must be {most} or fewer in length."));
            return None;
        }
        Some(list)
    }

    /// That a text has so many characters.
    pub fn length(&mut self, field: &str, text: &str, range: RangeInclusive<usize>) {
        let length = text.chars().count();
        let (least, most) = range.into_inner();
        if length > most && least == 0 {
            self.add(field, "BASE_TYPE_MAX_LENGTH", format!("Must be {most} or fewer in length."));
        } else if !(least..=most).contains(&length) {
            self.add(field, "BASE_TYPE_BAD_LENGTH", format!("Must be between {least} and {most} in length."));
        }
    }

    /// That a number is one of these.
    pub fn choice(&mut self, field: &str, number: i64, choices: &[i64]) {
        if !choices.contains(&number) {
            let choices: Vec<_> = choices.iter().map(ToString::to_string).collect();
            let message = format!("Value must be one of {{{}}}.", choices.join(", "));
            self.add(field, "BASE_TYPE_CHOICES", message);
        }
    }
}

/// A field that is there and not null.
pub fn present<'v>(of: &'v Object, field: &str) -> Option<&'v Value> {
    of.get(field).filter(|value| !value.is_null())
}

/// A whole number, also where it was written as text or with a fraction of nothing: forms know text alone, and some languages
/// one kind of number.
pub fn integer(value: &Value) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "whole, and within what a float counts exactly")]
    let whole =
        |number: f64| (number.fract() == 0.0 && number.abs() <= LARGEST_WHOLE).then_some(number as i64);
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok()).or_else(|| whole(value.as_f64()?))
}

/// A boolean, also in one of the other spellings that Discord has for it.
pub fn boolean(value: &Value) -> Option<bool> {
    match (value.as_bool(), value.as_str(), value.as_i64()) {
        (Some(boolean), ..) => Some(boolean),
        (_, Some("true" | "True" | "1"), _) | (.., Some(1)) => Some(true),
        (_, Some("false" | "False" | "0"), _) | (.., Some(0)) => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_stand_at_their_fields_and_every_one_is_told() {
        let mut errors = FormErrors::default();
        errors.within("options", |errors| {
            errors.within(2, |errors| {
                errors.add("name", "A", "a");
                errors.add("name", "B", "b");
                errors.add("", "C", "c");
            });
        });
        let tree = errors.tree();
        assert_eq!(tree["options"]["2"]["name"]["_errors"].as_array().unwrap().len(), 2);
        assert_eq!(tree["options"]["2"]["_errors"][0], json!({ "code": "C", "message": "c" }));
        assert!(errors.result(()).is_err());
    }

    #[test]
    fn fields_of_another_type_are_wrong_and_absent_ones_are_not() {
        let form = json!({ "text": 1, "number": "x", "list": {}, "flag": "yes", "none": null });
        let form = form.as_object().unwrap();
        let mut errors = FormErrors::default();
        errors.text(form, "text");
        errors.integer(form, "number");
        errors.list(form, "list", 3);
        errors.boolean(form, "flag");
        errors.text(form, "none");
        errors.text(form, "absent");
        let tree = errors.tree();
        let wrong: Vec<_> = tree.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(wrong, ["flag", "list", "number", "text"]);
    }

    #[test]
    fn numbers_and_booleans_are_read_in_every_spelling_that_discord_takes() {
        let numbers = [
            (json!(5), Some(5)),
            (json!("5"), Some(5)),
            (json!(-5.0), Some(-5)),
            (json!(5.5), None),
            (json!(1e300), None),
            (json!("five"), None),
            (json!([5]), None),
        ];
        for (value, expected) in numbers {
            assert_eq!(integer(&value), expected, "{value}");
        }
        let booleans = [
            (json!(true), Some(true)),
            (json!("True"), Some(true)),
            (json!(1), Some(true)),
            (json!("false"), Some(false)),
            (json!(0), Some(false)),
            (json!(2), None),
            (json!("yes"), None),
        ];
        for (value, expected) in booleans {
            assert_eq!(boolean(&value), expected, "{value}");
        }
    }

    #[test]
    fn lengths_are_counted_in_characters() {
        let table = [
            ("", 0, 2, true),
            ("äöü", 1, 3, true),
            ("abcd", 1, 3, false),
            ("", 1, 3, false),
            ("abc", 0, 2, false),
        ];
        for (text, least, most, expected) in table {
            let mut errors = FormErrors::default();
            errors.length("x", text, least..=most);
            assert_eq!(errors.result(()).is_ok(), expected, "{text}");
        }
    }
}
