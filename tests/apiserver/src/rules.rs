//! The rules of our CRD that are written in CEL, in native code, one function a rule.
//!
//! From a rule's text to its check; a rule that is not in the table fails the server's construction, so none is skipped in silence.
//! No evaluator: `cel` brings a parser generator and forty crates for these eight lines. The conformance test holds each to the
//! real one. Deliberately absent: costs, messages that are expressions, `optionalOldSelf`.

use serde_json::Value;

/// A rule that nobody taught this server.
#[derive(Debug, thiserror::Error)]
#[error("the CRD's rule `{0}` is not known here; add it to tests/apiserver/src/rules.rs")]
pub struct UnknownRule(String);

/// Whether a value keeps a rule. The old value is there where the rule speaks of it.
type Check = fn(&Value, &Value) -> bool;

/// One rule.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// Where the failure is told, below the value.
    pub(crate) field: String,
    pub(crate) message: String,
    /// It compares with the value before, so it is not looked at where there was none.
    pub(crate) is_transition: bool,
    pub(crate) check: Check,
}

const TABLE: [(&str, Check); 7] = [
    ("self.minShards <= self.maxShards", |value, _| {
        integer(&value["minShards"]) <= integer(&value["maxShards"])
    }),
    ("self == oldSelf", |value, old| value == old),
    ("!has(self.shards) || !has(self.shardMultiple) || self.shards % self.shardMultiple == 0", |value, _| {
        match (value["shards"].as_i64(), value["shardMultiple"].as_i64()) {
            (Some(shards), Some(multiple)) => shards.checked_rem(multiple) == Some(0),
            _ => true,
        }
    }),
    (
        "self.template.spec.containers.exists_one(c, c.name == 'bot') || size(self.template.spec.containers) == 1",
        |value, _| {
            let containers = value["template"]["spec"]["containers"].as_array();
            let bots = containers.into_iter().flatten().filter(|one| one["name"] == "bot").count();
            bots == 1 || containers.is_some_and(|all| all.len() == 1)
        },
    ),
    (
        "!has(self.follow) || (self.follow.maxShards / self.shardMultiple) * self.shardMultiple >= self.follow.minShards",
        |value, _| {
            let Some(follow) = value.get("follow").filter(|follow| !follow.is_null()) else { return true };
            let multiple = integer(&value["shardMultiple"]);
            integer(&follow["maxShards"]).checked_div(multiple).map(|times| times * multiple)
                >= Some(integer(&follow["minShards"]))
        },
    ),
    ("size(self.metadata.name) <= 40", |value, _| crate::meta::name(value).chars().count() <= 40),
    ("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')", |value, _| {
        let name = crate::meta::name(value);
        let is_good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.ends_with(is_good)
            && name.chars().all(|c| is_good(c) || c == '-')
    }),
];

impl Rule {
    /// A rule as the CRD has it.
    pub(crate) fn known(rule: &Value) -> Result<Self, UnknownRule> {
        let text = |field: &str| rule[field].as_str().unwrap_or_default().to_owned();
        let written = text("rule").split_whitespace().collect::<Vec<_>>().join(" ");
        let others = rule
            .as_object()
            .into_iter()
            .flatten()
            .any(|(word, _)| !matches!(word.as_str(), "rule" | "message" | "fieldPath"));
        let found = TABLE.iter().find(|(known, _)| *known == written).filter(|_| !others);
        let Some((_, check)) = found else { return Err(UnknownRule(rule.to_string())) };
        let is_transition = written.contains("oldSelf");
        Ok(Self { field: text("fieldPath"), message: text("message"), is_transition, check: *check })
    }
}

fn integer(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_rule_that_nobody_knows_is_an_error() {
        assert!(Rule::known(&json!({ "rule": "self.a == 1", "message": "m" })).is_err());
        assert!(Rule::known(&json!({ "rule": "self == oldSelf", "messageExpression": "'m'" })).is_err());
        let known = Rule::known(&json!({ "rule": "self ==\n  oldSelf", "message": "m" })).unwrap();
        assert!(known.is_transition && !(known.check)(&json!(1), &json!(2)));
    }
}
