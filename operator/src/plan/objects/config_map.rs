//! The ConfigMap that pods watch: layouts, the gate's address, Discord's address.
//!
//! Its generation rises with its content and never otherwise, so that pods can ignore what is older. It is at least the
//! time of its making in seconds: a document that somebody deleted comes back above the one that pods have seen.

use super::with_hash;
use crate::model::{Kind, Object, Observed};
use crate::names::Owner;
use serde_json::{Value, json};
use shard_contract::layouts::{Cut, DiscordAddress, GateAddress, Layout, Layouts};
use shard_contract::names::{LAYOUTS_KEY, layouts_config_map};

/// The document: the one before, if it says the same, else one of a higher generation. `gone`: pods that are taken for gone, by UID.
#[must_use]
pub fn document(
    before: Option<&Layouts>,
    layouts: Vec<Layout>,
    gone: &[String],
    observed: &Observed,
) -> Layouts {
    let kept = before.map_or(0, |before| before.generation);
    // What concerns no layout any more goes with the last that it concerned.
    let is_of_one = |cut: &&Cut| {
        layouts.iter().any(|layout| layout.session_group == cut.from || layout.session_group == cut.to)
    };
    let cuts = before.iter().flat_map(|before| &before.cuts).filter(is_of_one).cloned().collect();
    let document = Layouts {
        generation: kept,
        layouts,
        gate: GateAddress { url: observed.addresses.gate.clone() },
        discord: DiscordAddress {
            api: observed.addresses.discord.clone(),
            time_factor: observed.addresses.time_factor,
        },
        cuts,
        gone: gone.to_vec(),
    };
    if before == Some(&document) {
        return document;
    }
    let now = observed.now.as_second().try_into().unwrap_or(0);
    Layouts { generation: now.max(kept.saturating_add(1)), ..document }
}

/// `<bot>-layouts`.
#[must_use]
pub fn config_map(owner: &Owner, document: &Layouts) -> Object {
    let name = layouts_config_map(&owner.name);
    let mut body = owner.head(Kind::ConfigMap, &name, &owner.labels());
    let text = serde_json::to_value(document).unwrap_or(Value::Null).to_string();
    body["data"] = json!({ LAYOUTS_KEY: text });
    with_hash(Kind::ConfigMap, name, body)
}

#[cfg(test)]
mod tests {
    use super::{Layouts, Observed};
    use crate::model::Addresses;
    use k8s_openapi::jiff::Timestamp;

    /// The document of no layouts at this second, with this gate, after this one.
    fn document(gate: &str, second: i64, before: Option<&Layouts>) -> Layouts {
        let observed = Observed {
            now: Timestamp::from_second(second).unwrap(),
            addresses: Addresses { gate: gate.into(), ..Addresses::default() },
            ..Observed::nothing()
        };
        super::document(before, Vec::new(), &[], &observed)
    }

    #[test]
    fn the_generation_rises_with_the_content_and_never_otherwise() {
        let first = document("http://gate", 1_000, None);
        assert_eq!(first.generation, 1_000);
        assert_eq!(document("http://gate", 2_000, Some(&first)), first);
        assert_eq!(document("http://elsewhere", 1_000, Some(&first)).generation, 1_001);
    }

    #[test]
    fn a_document_that_was_deleted_comes_back_above_the_one_before() {
        let first = document("http://gate", 1_000, None);
        assert!(document("http://gate", 1_001, None).generation > first.generation);
    }
}
