//! Quantities of Kubernetes, as amounts.
//!
//! The API server keeps `256Mi` and `268435456` apart, though they are the same, and writes `0.05` as `50m`. Deliberately absent:
//! arithmetic, and amounts beyond what 53 bits hold.

use serde_json::Value;

/// Where quantities, or maps of them, stand: the field and the one around it.
const PLACES: [(&str, &str); 5] = [
    ("resources", "limits"),
    ("resources", "requests"),
    ("emptyDir", "sizeLimit"),
    ("resourceFieldRef", "divisor"),
    ("spec", "overhead"),
];

/// A quantity, near enough to be compared: <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>.
pub fn amount(text: &str) -> Option<f64> {
    const SUFFIXES: [(&str, f64); 14] = [
        ("Ki", 1_024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("Ei", 1_152_921_504_606_846_976.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
    ];
    let text = text.trim();
    let with = SUFFIXES.iter().find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, *factor)));
    let (number, factor) = with.unwrap_or((text, 1.0));
    Some(number.parse::<f64>().ok()? * factor)
}

/// Whether two parts of a pod template are equal, but for how their quantities are written.
#[must_use]
pub fn alike(one: &Value, other: &Value) -> bool {
    within(one, other, "", false)
}

fn within(one: &Value, other: &Value, around: &str, are_quantities: bool) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, value)| {
                    let are = are_quantities || PLACES.contains(&(around, name.as_str()));
                    other.get(name).is_some_and(|other| within(value, other, name, are))
                })
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| within(one, other, around, false))
        }
        (Value::String(one), Value::String(other)) if are_quantities && one != other => {
            let amounts = (amount(one), amount(other));
            amounts.0.is_some() && amounts.0 == amounts.1
        }
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_the_same_amount_is_alike_and_only_where_amounts_stand() {
        let of = |memory: &str, text: &str| json!({ "spec": { "containers": [{ "resources": { "limits": { "memory": memory } }, "env": [{ "value": text }] }] } });
        assert!(alike(&of("256Mi", "1k"), &of("268435456", "1k")));
        assert!(!alike(&of("256Mi", "1k"), &of("256M", "1k")));
        assert!(!alike(&of("256Mi", "1k"), &of("256Mi", "1000")), "a text");
        assert!(!alike(&of("256Mi", "1k"), &json!({})));
        assert!(!alike(&of("word", "1k"), &of("another", "1k")));
        let label = |value: &str| json!({ "metadata": { "labels": { "limits": value, "storage": value, "overhead": value } } });
        assert!(!alike(&label("1.10"), &label("1.1")));
        let size = |limit: &str| json!({ "emptyDir": { "sizeLimit": limit } });
        assert!(alike(&size("1Gi"), &size("1024Mi")) && !alike(&size("1Gi"), &size("1G")));
    }
}
