//! Whether names, labels and keys are as Kubernetes wants them.
//!
//! From a text to what the real server says of it. Deliberately absent: names of kinds, which are known.

/// A subdomain.
pub(crate) const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
     start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
/// One part of a subdomain.
pub(crate) const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end \
     with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
/// A key of labels or annotations.
pub(crate) const KEY: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
     alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
     '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
/// A label's value.
pub(crate) const VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start \
     and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is \
     '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
/// A key of a ConfigMap or Secret.
pub(crate) const DATA_KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or \
     'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

pub(crate) fn is_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    is_between(text, 63, inner, |c| inner(c) || c == '-')
}

pub(crate) fn is_subdomain(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|part| {
            let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
            is_between(part, 253, inner, |c| inner(c) || c == '-')
        })
}

/// A key with its optional prefix.
pub(crate) fn is_key(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => is_subdomain(prefix) && is_word(name),
        None => is_word(text),
    }
}

pub(crate) fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_word(text)
}

pub(crate) fn is_data_key(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=253).contains(&text.len()) && text.chars().all(good) && text != "." && !text.starts_with("..")
}

fn is_word(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric();
    is_between(text, 63, inner, |c| inner(c) || matches!(c, '-' | '_' | '.'))
}

fn is_between(text: &str, longest: usize, end: impl Fn(char) -> bool, inside: impl Fn(char) -> bool) -> bool {
    (1..=longest).contains(&text.len())
        && text.starts_with(&end)
        && text.ends_with(&end)
        && text.chars().all(inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keys_and_values() {
        assert!(
            is_label("a-1")
                && !is_label("a.b")
                && !is_label("-a")
                && !is_label("")
                && !is_label(&"a".repeat(64))
        );
        assert!(is_subdomain("a.b-c") && !is_subdomain("a..b") && !is_subdomain("A"));
        assert!(is_key("shard-operator.dev/bot") && is_key("A_b.c") && !is_key("a b") && !is_key("/a"));
        assert!(is_label_value("") && !is_label_value("e f") && is_data_key("ca.crt") && !is_data_key(".."));
    }
}
