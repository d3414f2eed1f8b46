//! Requests of people to be let into a guild: made, approved, rejected, withdrawn.
//!
//! From: control. For: GUILD_JOIN_REQUEST_CREATE, _UPDATE, _DELETE to the sessions of the guild's shard that asked for
//! GUILD_MODERATION, if the bots may kick members. Source: Discord, `developers/resources/guild-join-request.mdx` and
//! `developers/events/gateway-events.mdx`. Deliberately absent: REST's endpoints of them, which answer 403 in guilds without
//! manual approval; the membership that an approval brings.

use std::collections::VecDeque;
use std::num::NonZeroU64;

use serde_json::{Value, json};

use super::delivery::{Delivery, Occasion};
use super::{Discord, State, ms};
use crate::intents;
use crate::ledger::EventKind;
use crate::record::events::Made;
use crate::snowflake::Snowflake;
use crate::world::objects;
use crate::world::{self, User};

/// Requests that are remembered.
const MOST: usize = 10_000;

/// A person's request.
#[derive(Clone, Debug)]
pub(crate) struct JoinRequest {
    pub(crate) id: Snowflake,
    pub(crate) guild: Snowflake,
    pub(crate) user: User,
}

/// The last requests that nobody has decided on.
#[derive(Debug, Default)]
pub(crate) struct JoinRequests(VecDeque<JoinRequest>);

/// What becomes of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Approved,
    Rejected(Option<String>),
    Withdrawn,
}

impl Discord {
    /// A person asks to be let in; the request and who was told.
    pub(crate) fn asks_to_join(
        &self,
        guild: Snowflake,
        user: Option<Snowflake>,
    ) -> (JoinRequest, Vec<Delivery>) {
        let mut state = self.change();
        let user = user.map_or_else(world::somebody, world::person);
        let request = JoinRequest { id: state.mint.next(self.clock.unix_ms()), guild, user };
        state.join_requests.add(request.clone());
        let data =
            json!({ "guild_id": guild, "status": "SUBMITTED", "request": object(&request, "SUBMITTED") });
        let number = self.made(&mut state, request.id, guild);
        let told = self.tell(&mut state, "GUILD_JOIN_REQUEST_CREATE", guild, number, data);
        (request, told)
    }

    /// A request is decided on, or withdrawn; who was told, or none if there is no such request.
    pub(crate) fn decides(&self, id: Snowflake, decision: &Decision) -> Option<Vec<Delivery>> {
        let mut state = self.change();
        let request = state.join_requests.take(id)?;
        let guild = request.guild;
        let (name, data) = match decision {
            Decision::Withdrawn => {
                let data = json!({ "id": id, "guild_id": guild, "user_id": request.user.id });
                ("GUILD_JOIN_REQUEST_DELETE", data)
            }
            Decision::Approved | Decision::Rejected(_) => {
                let status = if *decision == Decision::Approved { "APPROVED" } else { "REJECTED" };
                let mut reviewed = object(&request, status);
                reviewed["reviewed_at"] = json!(objects::time(self.clock.unix_ms()));
                if let Decision::Rejected(reason) = decision {
                    reviewed["rejection_reason"] = json!(reason);
                }
                let owner = self.world.members_of(guild).into_iter().next().unwrap_or_else(world::somebody);
                reviewed["actioned_by_user"] = objects::user(&owner);
                let data = json!({ "guild_id": guild, "status": status, "request": reviewed });
                ("GUILD_JOIN_REQUEST_UPDATE", data)
            }
        };
        // The ledger knows every event by an id of its own, and theirs rise.
        let own = state.mint.next(self.clock.unix_ms());
        let number = self.made(&mut state, own, guild);
        Some(self.tell(&mut state, name, guild, number, data))
    }

    fn made(&self, state: &mut State, id: Snowflake, guild: Snowflake) -> Option<NonZeroU64> {
        let at_ms = ms(self.now());
        state.record.events.made(Made {
            id,
            kind: EventKind::JoinRequest,
            guild: Some(guild),
            at_ms,
            asks: false,
        })
    }

    fn tell(
        &self,
        state: &mut State,
        name: &'static str,
        guild: Snowflake,
        number: Option<NonZeroU64>,
        data: Value,
    ) -> Vec<Delivery> {
        if !self.options.kick_members {
            return Vec::new();
        }
        let intent = intents::GUILD_MODERATION;
        let (guild, at) = (Some(guild), self.now());
        let occasion = Occasion { name, at, guild, channel: None, application: None, intent, number };
        state.publish(&occasion, data.into())
    }
}

impl JoinRequests {
    fn add(&mut self, request: JoinRequest) {
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back(request);
    }

    fn take(&mut self, id: Snowflake) -> Option<JoinRequest> {
        let index = self.0.binary_search_by_key(&id, |request| request.id).ok()?;
        self.0.remove(index)
    }
}

fn object(of: &JoinRequest, status: &str) -> Value {
    json!({
        "id": of.id, "created_at": objects::time(of.id.time_ms()), "reviewed_at": null, "application_status": status,
        "rejection_reason": null, "guild_id": of.guild, "user_id": of.user.id, "user": objects::user(&of.user),
        "form_responses": [{
            "field_type": "TEXT_INPUT", "label": "How did you find this server?", "required": true,
            "response": "A friend invited me",
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_requests_are_remembered_and_each_is_decided_on_once() {
        let mut requests = JoinRequests::default();
        for id in 1..=(MOST as u64 + 5) {
            let request =
                JoinRequest { id: Snowflake(id), guild: Snowflake(7), user: world::person(Snowflake(id)) };
            requests.add(request);
        }
        assert_eq!(requests.0.len(), MOST);
        assert!(requests.take(Snowflake(5)).is_none());
        assert!(requests.take(Snowflake(6)).is_some() && requests.take(Snowflake(6)).is_none());
    }
}
