//! What may change while the simulator runs, and the checks of such a change.
//!
//! From: options at the start, then `POST /control/settings`. For: entry, REST. A change is all or nothing.
//! Deliberately absent: faults that hit one connection only (`control/connections.rs` drops those).

use serde::{Deserialize, Serialize};

use crate::snowflake::Snowflake;

/// The longest skew.
pub const MOST_SKEW_MS: u32 = 10_000;
/// The longest that a heartbeat's acknowledgement is held back.
pub const MOST_ACK_MS: u32 = 1000;

/// The settings in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Settings {
    /// What `GET /gateway/bot` recommends.
    pub recommended_shards: u32,
    /// Buckets: IDENTIFYs in 5 s.
    pub max_concurrency: u32,
    /// IDENTIFYs in a day.
    pub total: u32,
    /// IDENTIFYs left today.
    pub remaining: u32,
    /// Whether every token is refused: REST 401, gateway 4004.
    pub refuse_token: bool,
    /// State of REST.
    pub rest: RestState,
    /// What happens to a RESUME while the session's old connection is open.
    pub resume_while_connected: ResumeWhileConnected,
    /// Which sessions get an interaction.
    pub interactions_to: InteractionsTo,
    /// Whether an IDENTIFY that comes too early in its bucket counts against the day.
    pub refused_identify_counts: bool,
    /// What comes of an IDENTIFY that breaks no rule.
    pub identify_leads_to: IdentifyLeadsTo,
    /// What happens to a RESUME from before a sequence that a heartbeat has named.
    pub resume_below_heartbeat: ResumeBelowHeartbeat,
    /// Sessions get an event up to so much later than it was made, each by a time of its own.
    pub skew_ms: u32,
    /// Whether all sessions get the events of different guilds in the same order.
    pub same_order: bool,
    /// Invalid requests of an address in 10 minutes that bring it a ban.
    pub invalid_request_limit: u32,
    /// A heartbeat is acknowledged so much after it came.
    pub ack_ms: u32,
    /// With which code a client's close is answered.
    pub close_answer: CloseAnswerIs,
    /// Whether a voice channel that the bots may not view has `bitrate` and `user_limit`. Discord does not say, and several
    /// libraries cannot read one without.
    pub hidden_voice_bitrate: bool,
}

/// State of REST.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RestState {
    /// It answers.
    #[default]
    Normal,
    /// Every call gets 503.
    Unavailable,
}

/// What comes of an IDENTIFY that breaks no rule. It counts either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum IdentifyLeadsTo {
    /// A session, and READY.
    #[default]
    Ready,
    /// Close 4000 instead of READY, as in an incident of Discord's; to the gate it is what a bot that crashes is.
    Close,
}

/// Discord does not say whether a second connection may RESUME a session whose first is open; so both can be had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ResumeWhileConnected {
    /// The new connection has the session, the old one is closed with 4000.
    #[default]
    TakeOver,
    /// The new connection gets op 9 false, the old one keeps the session.
    Refuse,
}

/// Discord does not say whether an interaction reaches the sessions of every total; so both can be had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum InteractionsTo {
    /// Every session of the guild's shard, whatever its total.
    #[default]
    All,
    /// One of them.
    One,
}

/// Discord does not say whether a heartbeat's sequence lets it forget what came before; so both can be had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ResumeBelowHeartbeat {
    /// What came after the RESUME's sequence is replayed, if it is still kept.
    #[default]
    Replay,
    /// Op 9 false: it was forgotten.
    Refuse,
}

/// What Discord's own server answers a client's close with is not known; so both can be had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CloseAnswerIs {
    /// The client's own code, as RFC 6455 advises.
    #[default]
    Own,
    /// 1000, whatever the client's code was. What becomes of the session goes by the client's.
    Normal,
}

/// A change of settings: what is left out stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SettingsChange {
    /// 1 to 100,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recommended_shards: Option<u32>,
    /// 1 to 10,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrency: Option<u32>,
    /// The bot whose `total` and `remaining` change; every bot's where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application_id: Option<Snowflake>,
    /// 1 to 10,000,000. What was used today stays used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u32>,
    /// 0 to `total`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining: Option<u32>,
    /// True also closes every open connection with 4004, as when an owner makes a new token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refuse_token: Option<bool>,
    /// `normal` or `unavailable`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rest: Option<RestState>,
    /// `takeOver` or `refuse`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resume_while_connected: Option<ResumeWhileConnected>,
    /// `all` or `one`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interactions_to: Option<InteractionsTo>,
    /// Whether an IDENTIFY that comes too early in its bucket counts against the day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused_identify_counts: Option<bool>,
    /// `ready` or `close`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identify_leads_to: Option<IdentifyLeadsTo>,
    /// `replay` or `refuse`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resume_below_heartbeat: Option<ResumeBelowHeartbeat>,
    /// 0 to 10,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skew_ms: Option<u32>,
    /// Whether all sessions get the events of different guilds in the same order. Within a guild they always do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same_order: Option<bool>,
    /// 1 to 1,000,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invalid_request_limit: Option<u32>,
    /// 0 to 1,000, in real milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ack_ms: Option<u32>,
    /// `own` or `normal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub close_answer: Option<CloseAnswerIs>,
    /// Whether a voice channel that the bots may not view has `bitrate` and `user_limit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden_voice_bitrate: Option<bool>,
}

impl SettingsChange {
    /// The settings after the change, or what is wrong with it and what to do.
    pub fn applied_to(&self, settings: &Settings) -> Result<Settings, String> {
        let total = in_range("total", self.total, 1..=10_000_000)?.unwrap_or(settings.total);
        let used = settings.total - settings.remaining.min(settings.total);
        let remaining = self.remaining.unwrap_or(total.saturating_sub(used));
        if remaining > total {
            return Err(format!(
                "remaining: {remaining} is more than total, {total}; use 0 to {total} or raise total too"
            ));
        }
        let shards = in_range("recommendedShards", self.recommended_shards, 1..=100_000)?;
        let buckets = in_range("maxConcurrency", self.max_concurrency, 1..=10_000)?;
        Ok(Settings {
            recommended_shards: shards.unwrap_or(settings.recommended_shards),
            max_concurrency: buckets.unwrap_or(settings.max_concurrency),
            total,
            remaining,
            refuse_token: self.refuse_token.unwrap_or(settings.refuse_token),
            rest: self.rest.unwrap_or(settings.rest),
            resume_while_connected: self.resume_while_connected.unwrap_or(settings.resume_while_connected),
            interactions_to: self.interactions_to.unwrap_or(settings.interactions_to),
            refused_identify_counts: self.refused_identify_counts.unwrap_or(settings.refused_identify_counts),
            identify_leads_to: self.identify_leads_to.unwrap_or(settings.identify_leads_to),
            resume_below_heartbeat: self.resume_below_heartbeat.unwrap_or(settings.resume_below_heartbeat),
            skew_ms: in_range("skewMs", self.skew_ms, 0..=MOST_SKEW_MS)?.unwrap_or(settings.skew_ms),
            same_order: self.same_order.unwrap_or(settings.same_order),
            invalid_request_limit: in_range(
                "invalidRequestLimit",
                self.invalid_request_limit,
                1..=1_000_000,
            )?
            .unwrap_or(settings.invalid_request_limit),
            ack_ms: in_range("ackMs", self.ack_ms, 0..=MOST_ACK_MS)?.unwrap_or(settings.ack_ms),
            close_answer: self.close_answer.unwrap_or(settings.close_answer),
            hidden_voice_bitrate: self.hidden_voice_bitrate.unwrap_or(settings.hidden_voice_bitrate),
        })
    }
}

fn in_range(
    field: &str,
    value: Option<u32>,
    range: std::ops::RangeInclusive<u32>,
) -> Result<Option<u32>, String> {
    match value {
        Some(found) if !range.contains(&found) => {
            Err(format!("{field}: found {found}; use {} to {}", range.start(), range.end()))
        }
        fine => Ok(fine),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            recommended_shards: 1,
            max_concurrency: 1,
            total: 1000,
            remaining: 990,
            refuse_token: false,
            rest: RestState::Normal,
            resume_while_connected: ResumeWhileConnected::TakeOver,
            interactions_to: InteractionsTo::All,
            refused_identify_counts: true,
            identify_leads_to: IdentifyLeadsTo::Ready,
            resume_below_heartbeat: ResumeBelowHeartbeat::Replay,
            skew_ms: 0,
            same_order: true,
            invalid_request_limit: 10_000,
            ack_ms: 5,
            close_answer: CloseAnswerIs::Own,
            hidden_voice_bitrate: true,
        }
    }

    #[test]
    fn what_is_left_out_stays_and_what_was_used_stays_used() {
        let change = SettingsChange { total: Some(500), ..SettingsChange::default() };
        assert_eq!(
            change.applied_to(&settings()).unwrap(),
            Settings { total: 500, remaining: 490, ..settings() }
        );
    }

    #[test]
    fn a_bad_value_is_named_with_its_range() {
        let change = SettingsChange { max_concurrency: Some(0), ..SettingsChange::default() };
        assert_eq!(change.applied_to(&settings()).unwrap_err(), "maxConcurrency: found 0; use 1 to 10000");
        let change = SettingsChange { remaining: Some(1001), ..SettingsChange::default() };
        assert!(
            change
                .applied_to(&settings())
                .unwrap_err()
                .starts_with("remaining: 1001 is more than total, 1000")
        );
    }
}
