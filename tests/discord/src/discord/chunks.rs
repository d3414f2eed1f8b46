//! Members on request: op 8 answered with GUILD_MEMBERS_CHUNKs, for the session alone that asked.
//!
//! From: the gateway, after it has read the payload. For: the session's log. All members of a guild are given once in 30 s
//! to each bot, then `RATE_LIMITED`; who asks for them without GUILD_MEMBERS hears nothing, as at Discord, and the ledger
//! says why. Source: Discord, `developers/events/gateway-events.mdx` "Request Guild Members" and "Rate Limited",
//! `developers/change-log.mdx` of 2025-08-14. Deliberately absent: presences, of which there are none.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Discord, State};
use crate::intents;
use crate::ledger::ViolationKind;
use crate::members::Members;
use crate::session::id::SessionId;
use crate::session::log::{Data, Event};
use crate::snowflake::Snowflake;
use crate::world::{User, objects};

/// Members of one chunk.
const CHUNK: usize = 1000;
/// Members that a request by name or by ids brings at most.
const MOST_FOUND: usize = 100;
/// All members of a guild may be asked for once in this time.
pub(crate) const MEMBERS_SPAN: Duration = Duration::from_secs(30);

/// An op 8 as the gateway read it.
#[derive(Debug)]
pub struct MembersRequest {
    /// The guild.
    pub guild: Snowflake,
    /// Whom.
    pub wanted: Wanted,
    /// Whether presences are wanted, too.
    pub presences: bool,
    /// Given back as it came.
    pub nonce: Option<String>,
}

/// Whom an op 8 asks for.
#[derive(Debug)]
pub enum Wanted {
    /// Those whose names begin so, upper or lower case; all, where the beginning is empty.
    Named {
        /// The beginning.
        beginning: String,
        /// At most so many; 0 for all.
        limit: usize,
    },
    /// Those with these ids.
    Users(Vec<Snowflake>),
}

/// Requests for all members: one per guild and span. A refused one does not push the span.
#[derive(Debug)]
pub(crate) struct MemberRequests {
    span: Duration,
    order: VecDeque<(Duration, Snowflake)>,
    running: HashSet<Snowflake>,
}

impl MemberRequests {
    /// `span`: [`MEMBERS_SPAN`], in Discord's time like `now`.
    pub(crate) fn new(span: Duration) -> Self {
        Self { span, order: VecDeque::new(), running: HashSet::new() }
    }

    /// Admits a request, or says by how much it came too early.
    pub(crate) fn admit(&mut self, guild: Snowflake, now: Duration) -> Result<(), Duration> {
        while let Some((at, over)) = self.order.front().filter(|(at, _)| *at + self.span <= now) {
            tracing::trace!(?at, guild = over.0, "all members may be asked for again");
            self.running.remove(over);
            self.order.pop_front();
        }
        if self.running.insert(guild) {
            self.order.push_back((now, guild));
            return Ok(());
        }
        let at = self.order.iter().find(|(_, other)| *other == guild).map_or(now, |(at, _)| *at);
        Err((at + self.span).saturating_sub(now))
    }
}

impl Wanted {
    fn is_everyone(&self) -> bool {
        matches!(self, Self::Named { beginning, .. } if beginning.is_empty())
    }

    fn among<'a>(&self, people: &'a [User]) -> Vec<&'a User> {
        match self {
            Self::Named { beginning, limit } => {
                let most = if beginning.is_empty() { usize::MAX } else { MOST_FOUND };
                let limit = if *limit == 0 { most } else { *limit.min(&most) };
                let beginning = beginning.to_lowercase();
                let named = people.iter().filter(|user| user.name.to_lowercase().starts_with(&beginning));
                named.take(limit).collect()
            }
            Self::Users(ids) => {
                people.iter().filter(|user| ids.contains(&user.id)).take(MOST_FOUND).collect()
            }
        }
    }
}

impl Discord {
    /// Answers an op 8; a guild that is not the session's is not answered.
    pub(crate) fn send_members(&self, session: SessionId, request: &MembersRequest) {
        let mut state = self.change();
        let Some(of) = state.sessions.get_mut(session) else { return };
        let (guild, application, intents) = (request.guild, of.application, of.intents);
        if !self.world.has_guild(guild) || guild.shard(of.total) != of.shard {
            return;
        }
        if request.wanted.is_everyone() {
            if intents & intents::GUILD_MEMBERS == 0 {
                let text =
                    format!("session {session}: all members of {guild} asked for without GUILD_MEMBERS");
                return state.violation(self.now(), ViolationKind::MemberRequest, text);
            }
            if let Err(early) = self.admit_members(&mut state, application, request) {
                let text = format!("session {session}: all members of {guild} asked for again within 30 s");
                state.violation(self.now(), ViolationKind::MemberRequest, text);
                return self.answer(
                    &mut state,
                    session,
                    request,
                    "RATE_LIMITED",
                    rate_limited(request, self.clock.real(early)),
                );
            }
        }
        let mut people = self.world.members_of(guild);
        people.extend(state.applications.get(&application).map(|application| application.user.clone()));
        let presences = request.presences && intents & intents::GUILD_PRESENCES != 0;
        for chunk in chunks(request, &people, presences) {
            self.answer(&mut state, session, request, "GUILD_MEMBERS_CHUNK", chunk);
        }
    }

    fn answer(
        &self,
        state: &mut State,
        session: SessionId,
        request: &MembersRequest,
        name: &'static str,
        data: Value,
    ) {
        let data = Data::Members(Members::from(data).shared());
        state.send(self.now(), session, Some(request.guild), Event { name, data, number: None });
    }

    fn admit_members(
        &self,
        state: &mut State,
        application: Snowflake,
        request: &MembersRequest,
    ) -> Result<(), Duration> {
        // A limit makes it another request: the rule is about `limit` 0.
        if !matches!(request.wanted, Wanted::Named { limit: 0, .. }) {
            return Ok(());
        }
        let now = self.clock.rules();
        let application = state.applications.get_mut(&application);
        application.map_or(Ok(()), |application| application.member_requests.admit(request.guild, now))
    }
}

fn rate_limited(request: &MembersRequest, early: Duration) -> Value {
    let mut meta = json!({ "guild_id": request.guild });
    if let Some(nonce) = &request.nonce {
        meta["nonce"] = json!(nonce);
    }
    json!({ "opcode": 8, "retry_after": early.as_secs_f64(), "meta": meta })
}

/// At least one chunk, also where nobody is found.
fn chunks(request: &MembersRequest, people: &[User], presences: bool) -> Vec<Value> {
    let found = request.wanted.among(people);
    let mut parts: Vec<_> = found.chunks(CHUNK).collect();
    if parts.is_empty() {
        parts.push(&[]);
    }
    let count = parts.len();
    let chunk = |(index, part): (usize, &&[&User])| {
        let members: Vec<_> = part.iter().map(|user| objects::member(request.guild, user)).collect();
        let mut chunk = json!({
            "guild_id": request.guild, "members": members, "chunk_index": index, "chunk_count": count,
        });
        if let Wanted::Users(ids) = &request.wanted {
            let is_missing = |id: &&Snowflake| people.iter().all(|user| user.id != **id);
            chunk["not_found"] = json!(ids.iter().filter(is_missing).collect::<Vec<_>>());
        }
        if presences {
            chunk["presences"] = json!([]);
        }
        if let Some(nonce) = &request.nonce {
            chunk["nonce"] = json!(nonce);
        }
        chunk
    };
    parts.iter().enumerate().map(chunk).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people(count: u64) -> Vec<User> {
        (1..=count).map(|id| User { id: Snowflake(id), name: format!("User_{id}"), bot: false }).collect()
    }

    fn request(wanted: Wanted) -> MembersRequest {
        MembersRequest { guild: Snowflake(7), wanted, presences: false, nonce: None }
    }

    fn named(beginning: &str, limit: usize) -> Wanted {
        Wanted::Named { beginning: beginning.to_owned(), limit }
    }

    #[test]
    fn all_members_come_in_chunks_of_a_thousand_that_count_themselves() {
        let chunks = chunks(&request(named("", 0)), &people(2500), false);
        let sizes: Vec<_> = chunks.iter().map(|chunk| chunk["members"].as_array().unwrap().len()).collect();
        assert_eq!(sizes, [1000, 1000, 500]);
        for (index, chunk) in chunks.iter().enumerate() {
            assert_eq!((&chunk["chunk_index"], &chunk["chunk_count"]), (&json!(index), &json!(3)));
        }
    }

    #[test]
    fn names_and_ids_bring_at_most_a_hundred_and_nobody_is_a_chunk_too() {
        let people = people(300);
        let ids = || (200..400).map(Snowflake).collect();
        let table = [
            (named("user_", 0), 100),
            (named("user_", 500), 100),
            (named("USER_29", 3), 3),
            (named("", 7), 7),
            (named("nobody", 0), 0),
            (Wanted::Users(ids()), 100),
        ];
        for (wanted, expected) in table {
            let name = format!("{wanted:?}");
            let chunks = chunks(&request(wanted), &people, false);
            assert_eq!(chunks.len(), 1, "{name}");
            assert_eq!(chunks[0]["members"].as_array().unwrap().len(), expected, "{name}");
        }
        let chunks = chunks(&request(Wanted::Users(ids())), &people, false);
        assert_eq!(chunks[0]["not_found"].as_array().unwrap().len(), 99);
    }

    #[test]
    fn all_members_of_a_guild_may_be_asked_for_once_in_thirty_seconds_and_nothing_is_kept_longer() {
        let mut requests = MemberRequests::new(MEMBERS_SPAN);
        let s = Duration::from_secs;
        let table = [
            (1, 0, Ok(())),
            (2, 10, Ok(())),
            (1, 29, Err(s(1))),
            (1, 30, Ok(())),
            (2, 35, Err(s(5))),
            (2, 40, Ok(())),
        ];
        for (guild, at, expected) in table {
            assert_eq!(requests.admit(Snowflake(guild), s(at)), expected, "guild {guild} at {at}");
        }
        requests.admit(Snowflake(3), s(1000)).unwrap();
        assert_eq!((requests.order.len(), requests.running.len()), (1, 1));
    }
}
