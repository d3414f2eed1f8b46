//! When Discord made an event: a table of its dispatch types.
//!
//! From a type's name to where in the event the time stands at which Discord made it, if anywhere. Where two fleets divide the events at an
//! instant of Discord's time ([`crate::whose`]), both read it here, so it goes by type alone and never by when an event was received: two
//! pods would differ. An id counts as fresh for types that are documented as "sent when ... is created"
//! (<https://docs.discord.com/developers/events/gateway-events>); that it was made at that moment is inferred, and where it was not, an event is still
//! handled once. A type that is not in the table counts as one without a time. Deliberately absent: reading events; each library has types of its own.

/// Where the time stands at which an event of a type was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeOf {
    /// In its `id`.
    Id,
    /// In `role.id`.
    RoleId,
    /// In `request.id`.
    RequestId,
    /// In `joined_at` of a guild that the bot joined; a guild of READY's list, or one that comes back, is the session's.
    Join,
    /// Nowhere, unless `unavailable` is set: then it is the session's.
    Leave,
    /// Nowhere; of the bot itself it is the session's.
    VoiceState,
    /// Nowhere, or in an id that may be old.
    Nowhere,
    /// It is the session's: about its connection, or an answer to what was asked over it.
    Session,
}

/// When an event was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// At this time of Discord's, in milliseconds since 1970.
    At(i64),
    /// Nobody can tell.
    Unknown,
    /// For this session alone: whoever has the session has to know it.
    ForSession,
}

/// Milliseconds from 1970 to the first id of Discord's (<https://docs.discord.com/developers/reference#snowflakes>).
const EPOCH_MS: i64 = 1_420_070_400_000;

impl Made {
    /// By an id that was given when it was made.
    #[must_use]
    pub const fn by_id(id: u64) -> Self {
        // 42 bits fit.
        Self::At((id >> 22).cast_signed() + EPOCH_MS)
    }
}

/// Where the time of this type stands; none: the table does not know the type.
#[must_use]
pub fn time_of(type_: &str) -> Option<TimeOf> {
    Some(match type_ {
        "MESSAGE_CREATE"
        | "INTERACTION_CREATE"
        | "GUILD_AUDIT_LOG_ENTRY_CREATE"
        | "ENTITLEMENT_CREATE"
        | "CHANNEL_CREATE"
        | "STAGE_INSTANCE_CREATE"
        | "GUILD_SCHEDULED_EVENT_CREATE"
        | "AUTO_MODERATION_RULE_CREATE" => TimeOf::Id,
        "GUILD_ROLE_CREATE" => TimeOf::RoleId,
        "GUILD_JOIN_REQUEST_CREATE" => TimeOf::RequestId,
        "GUILD_CREATE" => TimeOf::Join,
        "GUILD_DELETE" => TimeOf::Leave,
        "VOICE_STATE_UPDATE" => TimeOf::VoiceState,
        // UNAVAILABLE_GUILD is no type of Discord's: twilight calls so what GUILD_CREATE says of a guild that is down.
        "READY"
        | "RESUMED"
        | "RATE_LIMITED"
        | "GUILD_MEMBERS_CHUNK"
        | "CHANNEL_INFO"
        | "SOUNDBOARD_SOUNDS"
        | "VOICE_SERVER_UPDATE"
        | "UNAVAILABLE_GUILD" => TimeOf::Session,
        "APPLICATION_COMMAND_PERMISSIONS_UPDATE"
        | "AUTO_MODERATION_ACTION_EXECUTION"
        | "AUTO_MODERATION_RULE_DELETE"
        | "AUTO_MODERATION_RULE_UPDATE"
        | "CHANNEL_DELETE"
        | "CHANNEL_PINS_UPDATE"
        | "CHANNEL_UPDATE"
        | "ENTITLEMENT_DELETE"
        | "ENTITLEMENT_UPDATE"
        | "GUILD_BAN_ADD"
        | "GUILD_BAN_REMOVE"
        | "GUILD_EMOJIS_UPDATE"
        | "GUILD_INTEGRATIONS_UPDATE"
        | "GUILD_JOIN_REQUEST_DELETE"
        | "GUILD_JOIN_REQUEST_UPDATE"
        | "GUILD_MEMBER_ADD"
        | "GUILD_MEMBER_REMOVE"
        | "GUILD_MEMBER_UPDATE"
        | "GUILD_ROLE_DELETE"
        | "GUILD_ROLE_UPDATE"
        | "GUILD_SCHEDULED_EVENT_DELETE"
        | "GUILD_SCHEDULED_EVENT_UPDATE"
        | "GUILD_SCHEDULED_EVENT_USER_ADD"
        | "GUILD_SCHEDULED_EVENT_USER_REMOVE"
        | "GUILD_SOUNDBOARD_SOUND_CREATE"
        | "GUILD_SOUNDBOARD_SOUND_DELETE"
        | "GUILD_SOUNDBOARD_SOUND_UPDATE"
        | "GUILD_SOUNDBOARD_SOUNDS_UPDATE"
        | "GUILD_STICKERS_UPDATE"
        | "GUILD_UPDATE"
        | "INTEGRATION_CREATE"
        | "INTEGRATION_DELETE"
        | "INTEGRATION_UPDATE"
        | "INVITE_CREATE"
        | "INVITE_DELETE"
        | "MESSAGE_DELETE"
        | "MESSAGE_DELETE_BULK"
        | "MESSAGE_POLL_VOTE_ADD"
        | "MESSAGE_POLL_VOTE_REMOVE"
        | "MESSAGE_REACTION_ADD"
        | "MESSAGE_REACTION_REMOVE"
        | "MESSAGE_REACTION_REMOVE_ALL"
        | "MESSAGE_REACTION_REMOVE_EMOJI"
        | "MESSAGE_UPDATE"
        | "PRESENCE_UPDATE"
        | "STAGE_INSTANCE_DELETE"
        | "STAGE_INSTANCE_UPDATE"
        | "SUBSCRIPTION_CREATE"
        | "SUBSCRIPTION_DELETE"
        | "SUBSCRIPTION_UPDATE"
        | "THREAD_CREATE"
        | "THREAD_DELETE"
        | "THREAD_LIST_SYNC"
        | "THREAD_MEMBERS_UPDATE"
        | "THREAD_MEMBER_UPDATE"
        | "THREAD_UPDATE"
        | "TYPING_START"
        | "USER_UPDATE"
        | "VOICE_CHANNEL_EFFECT_SEND"
        | "VOICE_CHANNEL_START_TIME_UPDATE"
        | "VOICE_CHANNEL_STATUS_UPDATE"
        | "WEBHOOKS_UPDATE" => TimeOf::Nowhere,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_when_it_was_given() {
        // The example of Discord's reference: 2016-04-30 11:18:25.796 UTC.
        assert_eq!(Made::by_id(175_928_847_299_117_063), Made::At(1_462_015_105_796));
        assert_eq!(Made::by_id(0), Made::At(EPOCH_MS));
        assert!(matches!(Made::by_id(u64::MAX), Made::At(at) if at > EPOCH_MS), "no id overflows");
    }

    #[test]
    fn types_of_the_same_thing_differ_where_only_its_making_is_fresh() {
        let table = [
            ("MESSAGE_CREATE", TimeOf::Id),
            ("MESSAGE_UPDATE", TimeOf::Nowhere),
            // It shares the id of the message that it was opened on, and comes again when the bot is added to it.
            ("THREAD_CREATE", TimeOf::Nowhere),
            // It comes also for a category that becomes visible.
            ("CHANNEL_UPDATE", TimeOf::Nowhere),
            ("GUILD_JOIN_REQUEST_CREATE", TimeOf::RequestId),
            ("GUILD_JOIN_REQUEST_UPDATE", TimeOf::Nowhere),
            // Several may come of one message, and none has an id.
            ("AUTO_MODERATION_ACTION_EXECUTION", TimeOf::Nowhere),
            ("GUILD_MEMBERS_CHUNK", TimeOf::Session),
        ];
        for (type_, expected) in table {
            assert_eq!(time_of(type_), Some(expected), "{type_}");
        }
        assert_eq!(time_of("SOMETHING_NEW"), None);
    }
}
