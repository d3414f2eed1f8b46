//! The ConfigMap that pods watch: layouts, the gate's address, Discord's address.
//!
//! Its generation rises with its content and never otherwise, so that pods can ignore what is older.

use super::sealed;
use crate::model::{Addresses, Kind, Object};
use crate::names::Owner;
use serde_json::{Value, json};
use shard_contract::layouts::{DiscordAddress, GateAddress, Layout, Layouts};
use shard_contract::names::{LAYOUTS_KEY, layouts_config_map};

/// The document, one generation above the one before if anything differs.
#[must_use]
pub fn document(layouts: Vec<Layout>, addresses: &Addresses, before: Option<&Layouts>) -> Layouts {
    let mut document = Layouts {
        generation: before.map_or(1, |before| before.generation),
        layouts,
        gate: GateAddress { url: addresses.gate.clone() },
        discord: DiscordAddress { api: addresses.discord.clone() },
    };
    if before.is_some_and(|before| *before != document) {
        document.generation += 1;
    }
    document
}

/// `<bot>-layouts`.
#[must_use]
pub fn config_map(owner: &Owner, document: &Layouts) -> Object {
    let name = layouts_config_map(&owner.name);
    let mut body = owner.head(Kind::ConfigMap, &name, &owner.labels());
    let text = serde_json::to_value(document).unwrap_or(Value::Null).to_string();
    body["data"] = json!({ LAYOUTS_KEY: text });
    sealed(Kind::ConfigMap, name, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generation_rises_with_the_content_and_never_otherwise() {
        let addresses = Addresses { gate: "http://gate".into(), discord: None };
        let first = document(Vec::new(), &addresses, None);
        assert_eq!(first.generation, 1);
        assert_eq!(document(Vec::new(), &addresses, Some(&first)), first);
        let moved = Addresses { gate: "http://elsewhere".into(), discord: None };
        assert_eq!(document(Vec::new(), &moved, Some(&first)).generation, 2);
    }
}
