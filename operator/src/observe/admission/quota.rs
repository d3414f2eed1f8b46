//! What a refusal by a quota says: one pod is too much by itself, or only beside those that run.
//!
//! From the API server's sentence, the only place where it says so, to one of the two. Deliberately absent: quotas themselves, which need
//! rights of their own to read.

use super::quantity::amount;

/// How a quota is exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exceeded {
    /// By this pod alone: it would never be admitted.
    ByOne,
    /// By this pod beside others.
    ByAll,
}

/// How the quota that this refusal speaks of is exceeded; none: it does not speak of one.
#[must_use]
pub fn exceeded(message: &str) -> Option<Exceeded> {
    let (_, told) = message.split_once("exceeded quota: ")?;
    let (_, told) = told.split_once(", requested: ")?;
    let (requested, told) = told.split_once(", used: ")?;
    let (_, limited) = told.split_once(", limited: ")?;
    let limit =
        |name: &str| amounts(limited).find(|(other, _)| *other == name).and_then(|(_, amount)| amount);
    let too_much = |(name, amount): (&str, Option<f64>)| amount > limit(name).or(amount);
    Some(if amounts(requested).any(too_much) { Exceeded::ByOne } else { Exceeded::ByAll })
}

fn amounts(list: &str) -> impl Iterator<Item = (&str, Option<f64>)> {
    list.split(',').filter_map(|one| one.split_once('=')).map(|(name, text)| (name, amount(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_pod_is_too_much_only_where_it_asks_for_more_than_the_whole_quota() {
        let of = |requested: &str, used: &str, limited: &str| {
            exceeded(&format!(
                "pods \"b\" is forbidden: exceeded quota: q, requested: {requested}, used: {used}, limited: {limited}"
            ))
        };
        assert_eq!(of("pods=1", "pods=2", "pods=2"), Some(Exceeded::ByAll));
        assert_eq!(of("pods=1", "pods=0", "pods=0"), Some(Exceeded::ByOne));
        assert_eq!(of("limits.memory=1Gi", "limits.memory=0", "limits.memory=1000Mi"), Some(Exceeded::ByOne));
        assert_eq!(
            of("limits.memory=1Gi", "limits.memory=512Mi", "limits.memory=1536Mi"),
            Some(Exceeded::ByAll)
        );
        assert_eq!(
            of("pods=1,requests.cpu=500m", "pods=1,requests.cpu=1", "pods=5,requests.cpu=1"),
            Some(Exceeded::ByAll)
        );
        assert_eq!(
            of("pods=1,requests.cpu=1500m", "pods=1,requests.cpu=0", "pods=5,requests.cpu=1"),
            Some(Exceeded::ByOne)
        );
        assert_eq!(
            of("x=word", "x=1", "x=1"),
            Some(Exceeded::ByAll),
            "what cannot be compared is no reason to refuse"
        );
        assert_eq!(
            exceeded("pods \"b\" is forbidden: failed quota: q: must specify limits.cpu for: bot"),
            None
        );
    }
}
