//! When Discord made an event, read off twilight's types.
//!
//! From the table of [`shard_contract::events`], which goes by the type's name, to the time in the event that it points at. A guild that the session
//! had before is no join. The bot's own voice states are known from READY on; a session that was begun elsewhere has had none here, and they
//! count as anybody's. Deliberately absent: whose the event is.

use shard_contract::events::{Made, TimeOf, time_of};
use twilight_gateway::Event;
use twilight_model::{
    gateway::{event::GatewayEventDeserializer, payload::incoming::GuildCreate},
    id::{Id, marker::UserMarker},
};

use super::guilds::Guilds;

/// What the table says of a frame's type; none: it is an event of a type that the table does not know.
pub(super) fn time_in(frame: &str) -> Option<TimeOf> {
    let read = GatewayEventDeserializer::from_json(frame);
    // What is no event has no type.
    read.as_ref().and_then(GatewayEventDeserializer::event_type).map_or(Some(TimeOf::Session), time_of)
}

/// When this event was made. `guilds`: as they were before it. `now`: milliseconds since 1970.
pub(super) fn made(
    time: Option<TimeOf>,
    event: &Event,
    guilds: &Guilds,
    me: Option<Id<UserMarker>>,
    now: i64,
) -> Made {
    match (time, event) {
        (Some(TimeOf::Id | TimeOf::RoleId | TimeOf::RequestId), event) => {
            own_id(event).map_or(Made::Unknown, Made::by_id)
        }
        (Some(TimeOf::Join), Event::GuildCreate(created)) => match created.as_ref() {
            GuildCreate::Available(guild) if guilds.is_joined_by(guild, now) => {
                guild.joined_at.map_or(Made::Unknown, |joined| Made::At(joined.as_micros() / 1_000))
            }
            _ => Made::ForSession,
        },
        (Some(TimeOf::Leave), Event::GuildDelete(deleted)) if deleted.unavailable == Some(true) => {
            Made::ForSession
        }
        (Some(TimeOf::VoiceState), Event::VoiceStateUpdate(voice)) if Some(voice.user_id) == me => {
            Made::ForSession
        }
        (Some(TimeOf::Session | TimeOf::Join), _) => Made::ForSession,
        (Some(TimeOf::Nowhere | TimeOf::Leave | TimeOf::VoiceState) | None, _) => Made::Unknown,
    }
}

/// The id that was given when it was made.
fn own_id(event: &Event) -> Option<u64> {
    Some(match event {
        Event::MessageCreate(message) => message.id.get(),
        Event::InteractionCreate(interaction) => interaction.id.get(),
        Event::GuildAuditLogEntryCreate(entry) => entry.id.get(),
        Event::EntitlementCreate(entitlement) => entitlement.id.get(),
        Event::ChannelCreate(channel) => channel.id.get(),
        Event::StageInstanceCreate(stage) => stage.id.get(),
        Event::GuildScheduledEventCreate(scheduled) => scheduled.id.get(),
        Event::AutoModerationRuleCreate(rule) => rule.id.get(),
        Event::RoleCreate(created) => created.role.id.get(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use twilight_gateway::EventTypeFlags;
    use twilight_model::gateway::event::GatewayEvent;

    use super::*;

    /// Discord's example of an id, and when it was given.
    const ID: &str = r#""id":"175928847299117063""#;
    const MADE: Made = Made::At(1_462_015_105_796);
    /// A minute after that.
    const NOW: i64 = 1_462_015_165_796;

    fn frame(name: &str, data: &str) -> String {
        format!(r#"{{"t":"{name}","s":1,"op":0,"d":{data}}}"#)
    }

    fn made_of(name: &str, data: &str, guilds: &Guilds, me: Option<u64>) -> Made {
        let frame = frame(name, data);
        let time = time_in(&frame);
        let parsed = twilight_gateway::parse(frame, EventTypeFlags::all()).unwrap_or_else(|error| {
            panic!("{name}: {:?}", std::error::Error::source(&error).map(ToString::to_string))
        });
        let Some(GatewayEvent::Dispatch(_, event)) = parsed else { panic!("{name}: no event") };
        made(time, &Event::from(event), guilds, me.map(Id::new), NOW)
    }

    #[test]
    fn each_type_with_an_id_of_its_own_tells_when_it_was_made() {
        let user = r#"{"id":"9","username":"u","discriminator":"0","avatar":null}"#;
        let table = [
            (
                "MESSAGE_CREATE",
                format!(
                    r#"{{{ID},"channel_id":"2","content":"a","type":0,"author":{user},"timestamp":"2026-11-29T12:00:00+00:00",
                    "edited_timestamp":null,"tts":false,"mention_everyone":false,"mentions":[],"mention_roles":[],
                    "attachments":[],"embeds":[],"pinned":false}}"#
                ),
            ),
            (
                "INTERACTION_CREATE",
                format!(
                    r#"{{{ID},"application_id":"3","type":1,"token":"t","version":1,"attachment_size_limit":1,"entitlements":[],"authorizing_integration_owners":{{}}}}"#
                ),
            ),
            (
                "GUILD_AUDIT_LOG_ENTRY_CREATE",
                format!(r#"{{{ID},"action_type":1,"target_id":null,"user_id":"9"}}"#),
            ),
            (
                "ENTITLEMENT_CREATE",
                format!(
                    r#"{{{ID},"sku_id":"1","application_id":"3","type":8,"deleted":false,"user_id":"9"}}"#
                ),
            ),
            ("CHANNEL_CREATE", format!(r#"{{{ID},"type":0}}"#)),
            (
                "STAGE_INSTANCE_CREATE",
                format!(
                    r#"{{{ID},"guild_id":"1","channel_id":"2","topic":"t","privacy_level":2,"discoverable_disabled":true}}"#
                ),
            ),
            (
                "GUILD_SCHEDULED_EVENT_CREATE",
                format!(
                    r#"{{{ID},"guild_id":"1","channel_id":null,"entity_id":null,"entity_metadata":null,"entity_type":3,"name":"n",
                    "privacy_level":2,"scheduled_start_time":"2026-11-29T12:00:00+00:00","scheduled_end_time":null,"status":1}}"#
                ),
            ),
            (
                "AUTO_MODERATION_RULE_CREATE",
                format!(
                    r#"{{{ID},"guild_id":"1","name":"n","creator_id":"9","event_type":1,"trigger_type":3,"trigger_metadata":{{}},
                    "actions":[],"enabled":true,"exempt_roles":[],"exempt_channels":[]}}"#
                ),
            ),
            (
                "GUILD_ROLE_CREATE",
                format!(
                    r#"{{"guild_id":"1","role":{{{ID},"name":"n","color":0,"colors":{{"primary_color":0}},"hoist":false,"position":1,
                    "permissions":"0","managed":false,"mentionable":false,"flags":0}}}}"#
                ),
            ),
        ];
        for (name, data) in table {
            assert_eq!(made_of(name, &data, &Guilds::default(), None), MADE, "{name}");
        }
    }

    #[test]
    fn what_tells_of_the_session_is_for_it_alone() {
        let of = |name: &str, data: &str| made_of(name, data, &Guilds::default(), Some(9));
        assert_eq!(of("RESUMED", "{}"), Made::ForSession);
        assert_eq!(of("GUILD_DELETE", r#"{"id":"1","unavailable":true}"#), Made::ForSession);
        assert_eq!(of("GUILD_DELETE", r#"{"id":"1"}"#), Made::Unknown);
        assert_eq!(of("GUILD_CREATE", r#"{"id":"1","unavailable":true}"#), Made::ForSession);
        let voice = |user: &str| {
            format!(
                r#"{{"channel_id":null,"guild_id":"1","user_id":"{user}","session_id":"s","deaf":false,"mute":false,"self_deaf":false,
                "self_mute":false,"self_stream":false,"self_video":false,"suppress":false,"request_to_speak_timestamp":null}}"#
            )
        };
        assert_eq!(of("VOICE_STATE_UPDATE", &voice("9")), Made::ForSession);
        assert_eq!(of("VOICE_STATE_UPDATE", &voice("8")), Made::Unknown);
        assert_eq!(of("TYPING_START", r#"{"channel_id":"1","user_id":"2","timestamp":3}"#), Made::Unknown);
    }

    #[test]
    fn only_an_event_can_be_of_a_type_that_nobody_knows() {
        assert_eq!(time_in(&frame("SOMETHING_NEW", "{}")), None);
        assert_eq!(time_in(r#"{"t":null,"s":null,"op":11,"d":null}"#), Some(TimeOf::Session));
        assert_eq!(time_in("["), Some(TimeOf::Session));
    }
}
