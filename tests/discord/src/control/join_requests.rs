//! People who ask to be let into a guild, and what becomes of that.
//!
//! From: `/control/join-requests...`. For: tests of bots that follow GUILD_JOIN_REQUEST_CREATE, _UPDATE and _DELETE.
//! Deliberately absent: the events' shapes (`discord/join_requests.rs`).

use serde::{Deserialize, Serialize};

use super::{ControlError, bad};
use crate::discord::join_requests::Decision;
use crate::discord::{Delivery, Discord};
use crate::snowflake::{ShardOf, Snowflake};

/// Characters that a reason may have.
const LONGEST_REASON: usize = 160;

/// A person asks to be let into a guild.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NewJoinRequest {
    /// Into this guild; it wins over `shard`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guild_id: Option<Snowflake>,
    /// Into a guild of this shard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<ShardOf>,
    /// Who; by default somebody who is in no guild.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<Snowflake>,
}

/// A request that was made, and who was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MadeJoinRequest {
    /// The request.
    pub request_id: Snowflake,
    /// Its guild.
    pub guild_id: Snowflake,
    /// Who made it.
    pub user_id: Snowflake,
    /// The sessions into whose logs it went: those with GUILD_MODERATION, if the bots may kick members.
    pub delivered_to: Vec<Delivery>,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// A moderator lets the person in.
    Approved,
    /// A moderator does not.
    Rejected,
    /// The person does not want to any more: the request is deleted.
    Withdrawn,
}

/// A request is decided on, or withdrawn.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DecideJoinRequest {
    /// The request.
    pub request_id: Snowflake,
    /// `approved`, `rejected` or `withdrawn`.
    pub outcome: Outcome,
    /// Why it is rejected, 1 to 160 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Who was told of a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecidedJoinRequest {
    /// The sessions into whose logs it went.
    pub delivered_to: Vec<Delivery>,
}

impl Discord {
    /// A person asks to be let into a guild: GUILD_JOIN_REQUEST_CREATE.
    pub fn make_join_request(&self, request: NewJoinRequest) -> Result<MadeJoinRequest, ControlError> {
        if request.user_id == Some(Snowflake(0)) {
            return Err(bad("userId: found 0; use a snowflake, or leave it out"));
        }
        let guild = self.guild_for(request.guild_id, request.shard)?;
        let (made, delivered_to) = self.asks_to_join(guild, request.user_id);
        Ok(MadeJoinRequest { request_id: made.id, guild_id: guild, user_id: made.user.id, delivered_to })
    }

    /// A request is decided on: GUILD_JOIN_REQUEST_UPDATE, or GUILD_JOIN_REQUEST_DELETE.
    pub fn decide_join_request(
        &self,
        request: DecideJoinRequest,
    ) -> Result<DecidedJoinRequest, ControlError> {
        let DecideJoinRequest { request_id, outcome, reason } = request;
        let length = reason.as_ref().map_or(1, |reason| reason.chars().count());
        if !(1..=LONGEST_REASON).contains(&length) {
            return Err(bad(format!(
                "reason: found {length} characters; use 1 to {LONGEST_REASON}, or leave it out"
            )));
        }
        if reason.is_some() && outcome != Outcome::Rejected {
            return Err(bad("reason: found one of what is not rejected; leave it out"));
        }
        let decision = match outcome {
            Outcome::Approved => Decision::Approved,
            Outcome::Rejected => Decision::Rejected(reason),
            Outcome::Withdrawn => Decision::Withdrawn,
        };
        let told = self.decides(request_id, &decision).ok_or_else(|| {
            ControlError::NotFound(format!(
                "requestId: {request_id} is not open; use one of the last 10,000 that nobody has decided on"
            ))
        })?;
        Ok(DecidedJoinRequest { delivered_to: told })
    }
}
