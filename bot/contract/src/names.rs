//! Names that both sides must spell alike: objects, labels, the gate's audience.

use crate::record::PER_SECRET;

/// Audience of the service-account tokens that the gate accepts. A token for the API server itself is refused there.
pub const GATE_AUDIENCE: &str = "shard-operator.dev/gate";

/// Label with the bot's name, on all objects of a bot.
pub const BOT_LABEL: &str = "shard-operator.dev/bot";
/// Label with the layout's number, on its StatefulSet, its PodDisruptionBudget and its pods.
pub const LAYOUT_LABEL: &str = "shard-operator.dev/layout";

/// Key of the one document in the ConfigMap [`layouts_config_map`]: a [`crate::layouts::Layouts`] as JSON.
pub const LAYOUTS_KEY: &str = "layouts.json";

/// Name of the ConfigMap that pods watch.
#[must_use]
pub fn layouts_config_map(bot: &str) -> String {
    format!("{bot}-layouts")
}

/// Name of the headless Service over all layouts, in whose DNS domain the pods are; its account, Role and RoleBinding are called the same.
#[must_use]
pub fn shards(bot: &str) -> String {
    format!("{bot}-shards")
}

/// Name of a layout's StatefulSet.
#[must_use]
pub fn stateful_set(bot: &str, layout: u32) -> String {
    format!("{bot}-{layout}")
}

/// Name of the Secret with this shard's record, `<bot>-sessions-<k>`.
#[must_use]
pub fn sessions_secret(bot: &str, shard: u32) -> String {
    format!("{bot}-sessions-{}", shard / PER_SECRET)
}

/// Key of a shard's record in its Secret.
#[must_use]
pub fn record_key(session_group: u32, shard: u32) -> String {
    format!("{session_group}.{shard}")
}

/// Family and shard of a record's key; `None` when it is none of ours.
#[must_use]
pub fn parse_record_key(key: &str) -> Option<(u32, u32)> {
    let (session_group, shard) = key.split_once('.')?;
    Some((session_group.parse().ok()?, shard.parse().ok()?))
}

/// Takes `<bot>-<layout>-<ordinal>` apart; `None` when this is not a pod name of ours.
#[must_use]
pub fn parse_pod(name: &str) -> Option<(&str, u32, u32)> {
    let (set, ordinal) = name.rsplit_once('-')?;
    let (bot, layout) = set.rsplit_once('-')?;
    Some((bot, layout.parse().ok()?, ordinal.parse().ok()?)).filter(|(bot, ..)| !bot.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_found_by_session_group_and_shard() {
        assert_eq!(
            (sessions_secret("b", 63), sessions_secret("b", 64)),
            ("b-sessions-0".into(), "b-sessions-1".into())
        );
        assert_eq!(parse_record_key(&record_key(3, 70)), Some((3, 70)));
        assert_eq!(parse_record_key("token"), None);
    }

    #[test]
    fn a_pod_name_says_bot_layout_and_ordinal() {
        assert_eq!(parse_pod("my-bot-12-3"), Some(("my-bot", 12, 3)));
        for not_ours in ["mybot", "mybot-1", "mybot-x-1", "mybot-1-x", "-1-1", ""] {
            assert_eq!(parse_pod(not_ours), None, "{not_ours:?}");
        }
    }
}
