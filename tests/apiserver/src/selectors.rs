//! Which objects a list or a watch speaks of.
//!
//! From `labelSelector` and `fieldSelector` to a test of objects, with the real parser's complaints. Deliberately absent: `<` and
//! `>` over labels.

use crate::kinds::Kind;
use crate::meta;
use serde_json::Value;

/// What is wanted of a label.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Want {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Missing,
}

/// What is wanted of objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selector {
    labels: Vec<(String, Want)>,
    fields: Vec<(String, bool, String)>,
}

impl Selector {
    /// # Errors
    /// In the real parser's words.
    pub(crate) fn parse(kind: &Kind, labels: &str, fields: &str) -> Result<Self, String> {
        Ok(Self { labels: parse_labels(labels)?, fields: parse_fields(kind, fields)? })
    }

    /// Whether an object is meant.
    pub(crate) fn matches(&self, object: &Value) -> bool {
        let labels = meta::labels(object);
        let is_labelled = self.labels.iter().all(|(key, want)| {
            let found = labels.get(key).and_then(Value::as_str);
            match want {
                Want::Exists => found.is_some(),
                Want::Missing => found.is_none(),
                Want::In(values) => found.is_some_and(|found| values.iter().any(|value| value == found)),
                Want::NotIn(values) => found.is_none_or(|found| values.iter().all(|value| value != found)),
            }
        });
        is_labelled
            && self.fields.iter().all(|(field, equal, value)| {
                let found = field.split('.').fold(object, |at, name| &at[name]).as_str().unwrap_or_default();
                (found == value) == *equal
            })
    }
}

fn parse_fields(kind: &Kind, text: &str) -> Result<Vec<(String, bool, String)>, String> {
    let mut wanted = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (field, equal, value) = if let Some((field, value)) = part.split_once("!=") {
            (field, false, value)
        } else if let Some((field, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
            (field, true, value)
        } else {
            return Err(format!("invalid selector: '{text}'; can't understand '{part}'"));
        };
        if !matches!(field, "metadata.name" | "metadata.namespace") && !kind.selectable().contains(&field) {
            return Err(unknown_field(kind, field));
        }
        wanted.push((field.to_owned(), equal, value.to_owned()));
    }
    Ok(wanted)
}

fn unknown_field(kind: &Kind, field: &str) -> String {
    if kind.traits.is_custom {
        return format!("field label not supported: {field}");
    }
    if kind.selectable().is_empty() {
        return format!(
            "{field:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
        );
    }
    format!("field label not supported: {field}")
}

/// A word, or one of `=`, `==`, `!=`, `!`, `(`, `)`, `,`.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let (mut word, mut sign) = (String::new(), String::new());
    let flush = |part: &mut String, words: &mut Vec<String>| {
        if !part.is_empty() {
            words.push(std::mem::take(part));
        }
    };
    for c in text.chars() {
        if matches!(c, '(' | ')' | ',') {
            flush(&mut word, &mut words);
            flush(&mut sign, &mut words);
            words.push(c.to_string());
        } else if matches!(c, '=' | '!' | '<' | '>') {
            flush(&mut word, &mut words);
            // Longest signs first: `===` is `==` and `=`.
            if matches!(sign.as_str(), "==" | "!=") {
                flush(&mut sign, &mut words);
            }
            sign.push(c);
        } else if c.is_whitespace() {
            flush(&mut word, &mut words);
            flush(&mut sign, &mut words);
        } else {
            flush(&mut sign, &mut words);
            word.push(c);
        }
    }
    flush(&mut word, &mut words);
    flush(&mut sign, &mut words);
    words
}

fn parse_labels(text: &str) -> Result<Vec<(String, Want)>, String> {
    let words = words(text);
    let mut rest = words.iter().map(String::as_str).peekable();
    let mut wanted = Vec::new();
    let failed = |found: Option<&str>, expected: &str| {
        format!("unable to parse requirement: found '{}', expected: {expected}", found.unwrap_or_default())
    };
    while let Some(first) = rest.next() {
        let is_missing = first == "!";
        let key = if is_missing { rest.next() } else { Some(first) };
        let key = key
            .filter(|key| !is_sign(key))
            .ok_or_else(|| failed(Some(first), "!, identifier, or 'end of string'"))?;
        let want = match rest.peek().copied() {
            _ if is_missing => Want::Missing,
            None | Some(",") => Want::Exists,
            Some(operator) => {
                rest.next();
                match operator {
                    "=" | "==" | "!=" => {
                        let value = match rest.peek().copied() {
                            None | Some(",") => String::new(),
                            Some(sign) if is_sign(sign) => return Err(failed(Some(sign), "identifier")),
                            Some(_) => rest.next().unwrap_or_default().to_owned(),
                        };
                        if operator == "!=" { Want::NotIn(vec![value]) } else { Want::In(vec![value]) }
                    }
                    "in" | "notin" => {
                        match rest.next() {
                            Some("(") => {}
                            found => {
                                let found = found.unwrap_or_default();
                                return Err(format!(
                                    "unable to parse requirement: found '{found}' expected: '('"
                                ));
                            }
                        }
                        let values: Vec<_> = rest
                            .by_ref()
                            .take_while(|word| *word != ")")
                            .filter(|word| *word != ",")
                            .map(str::to_owned)
                            .collect();
                        if operator == "in" { Want::In(values) } else { Want::NotIn(values) }
                    }
                    found => return Err(failed(Some(found), "in, notin, =, ==, !=, gt, lt")),
                }
            }
        };
        wanted.push((key.to_owned(), want));
        match rest.next() {
            None | Some(",") => {}
            found => return Err(failed(found, "',' or 'end of string'")),
        }
    }
    Ok(wanted)
}

fn is_sign(word: &str) -> bool {
    matches!(word, "=" | "==" | "!=" | "!" | "(" | ")" | "," | "<" | ">")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn labels_are_wanted_by_equality_sets_and_presence() {
        let object = json!({ "metadata": { "labels": { "app": "x", "tier": "one" } } });
        for (text, matches) in [
            ("", true),
            ("app=x", true),
            ("app==y", false),
            ("app!=y,tier", true),
            ("!app", false),
            ("app in (x, y), tier notin (two)", true),
            ("missing notin (a)", true),
            ("missing!=a", true),
            ("missing", false),
        ] {
            let selector = Selector { labels: parse_labels(text).unwrap(), fields: Vec::new() };
            assert_eq!(selector.matches(&object), matches, "{text}");
        }
    }
}
