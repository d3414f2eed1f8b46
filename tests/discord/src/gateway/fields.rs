//! Fields of a client's frame: of the type that they must have, or the reason that its 4002 gives.
//!
//! From: JSON. For: `gateway/frames.rs`. `null` counts as left out: several libraries write out what they do not use.
//! Deliberately absent: structs to deserialize into. serde would take an array for them, and would not name the field.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::snowflake::Snowflake;

/// An object's fields.
pub type Fields = Map<String, Value>;

/// A reason for 4002: which field is wrong.
macro_rules! payload {
    ($text:literal) => {
        concat!("Error while decoding payload: ", $text, ".")
    };
}
pub(super) use payload;

/// The field, if it is there; `problem` where it cannot be read.
pub fn optional<'a, T>(
    fields: &'a Fields,
    name: &str,
    read: impl Fn(&'a Value) -> Option<T>,
    problem: &'static str,
) -> Result<Option<T>, &'static str> {
    let field = fields.get(name).filter(|value| !value.is_null());
    field.map(|value| read(value).ok_or(problem)).transpose()
}

/// The field; `problem` where it is not there or cannot be read.
pub fn required<'a, T>(
    fields: &'a Fields,
    name: &str,
    read: impl Fn(&'a Value) -> Option<T>,
    problem: &'static str,
) -> Result<T, &'static str> {
    optional(fields, name, read, problem)?.ok_or(problem)
}

/// An id, as a string of digits or a number.
pub fn snowflake(value: &Value) -> Option<Snowflake> {
    Snowflake::deserialize(value).ok()
}

/// Several ids.
pub fn snowflakes(value: &Value) -> Option<Vec<Snowflake>> {
    value.as_array()?.iter().map(snowflake).collect()
}

/// An integer of either sign, whatever its size.
pub fn integer(value: &Value) -> Option<i128> {
    value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from))
}
