//! Snapshots: the ledger as of now, and one event written out as a frame's text.
//!
//! From: the state. For: `GET /ledger`, tests and the gateway's writer. Deliberately absent: changes of any kind, but that
//! a writer's place in its session's log moves on.

use std::fmt::Write;
use std::sync::Arc;

use serde_json::json;

use super::{Application, Discord, State, ms};
use crate::intents;
use crate::ledger::{BudgetLeft, Ledger, LedgerQuery, SessionState};
use crate::members::{Members, write_members};
use crate::options::Token;
use crate::session::Session;
use crate::session::id::SessionId;
use crate::session::log::{Data, Event};
use crate::session::wire::Wire;
use crate::snowflake::Snowflake;
use crate::world::{User, objects};

/// Events that a connection takes at a time.
const BATCH: usize = 64;

/// What `GET /gateway/bot` says of a bot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionStart {
    pub(crate) shards: u32,
    pub(crate) total: u32,
    pub(crate) remaining: u32,
    pub(crate) reset_after_ms: u64,
    pub(crate) max_concurrency: u32,
}

/// Events of one session for one connection, to be written out without the lock.
pub(crate) struct Batch {
    events: Vec<(u64, Event)>,
    bot: Option<User>,
    all_members: bool,
    hidden_bitrate: bool,
    order: u32,
}

impl Batch {
    /// Whether there may be more.
    pub(crate) fn is_full(&self) -> bool {
        self.events.len() == BATCH
    }
}

impl Discord {
    /// Everything that happened so far.
    pub fn ledger(&self) -> Ledger {
        self.ledger_of(&LedgerQuery::default())
    }

    /// What of it is asked for.
    pub fn ledger_of(&self, query: &LedgerQuery) -> Ledger {
        self.sweep();
        let now = self.now();
        let mut state = self.read();
        let budgets = self.budgets(&mut state);
        let first = self.options.tokens.first().map(Token::application);
        let none = BudgetLeft { application_id: Snowflake(0), total: 0, remaining: 0, resets_in_ms: 0 };
        let budget =
            budgets.iter().find(|budget| Some(budget.application_id) == first).cloned().unwrap_or(none);
        let record = &state.record;
        let mut sessions: Vec<_> = state.sessions.all().map(session_state).collect();
        sessions
            .sort_by_key(|session| (session.total, session.shard, session.ready_at_ms, session.session_id));
        let mut ledger = Ledger {
            started_at: self.clock.started_at(),
            now: self.clock.wall(),
            now_ms: ms(now),
            time_factor: self.clock.factor(),
            max_concurrency: state.settings.max_concurrency,
            budget,
            budgets,
            recommended_shards: state.settings.recommended_shards,
            guilds: self.world.guilds().len() as u64,
            identifies: record.identifies.count,
            identifies_accepted: record.identifies_accepted,
            resumes: record.resumes_accepted,
            resumes_failed: record.resumes.count - record.resumes_accepted,
            violations: record.violations.count,
            violation_details: record.violations.last(),
            token_resets: record.token_resets,
            bad_tokens: record.bad_tokens,
            closes: record.client_closes.clone(),
            server_closes: record.server_closes.clone(),
            close_log: record.closes.last(),
            cut_off: record.cut_off,
            rest: record.rest_counts(),
            invalid_requests: record.invalid_requests,
            unknown_routes: record.unknown_routes.count,
            unknown_route_details: record.unknown_routes.last(),
            sessions,
            identify_log: record.identifies.last(),
            resume_log: record.resumes.last(),
            first_identify_at_ms: record.first_identify_at_ms,
            last_ready_at_ms: record.last_ready_at_ms,
            messages: record.messages.clone(),
            interactions: record.interactions.clone(),
            faults: record.faults.clone(),
            events: record
                .events
                .counts(query.lost_before(ms(now)), |guild, number| state.sessions.can_bring(guild, number)),
            event_details: record.events.details(query.limit(), |event| query.wants(event, ms(now))),
            shards: record.coverage.shards(),
            totals: record.coverage.totals(),
            grids: Vec::new(),
        };
        drop(state);
        query.filter(&mut ledger);
        ledger
    }

    /// The bot's limits, if it is known.
    pub(crate) fn session_start(&self, application: Snowflake) -> Option<SessionStart> {
        let now = self.clock.rules();
        let mut state = self.read();
        let (shards, max_concurrency) = (state.settings.recommended_shards, state.settings.max_concurrency);
        let budget = &mut state.applications.get_mut(&application)?.budget;
        Some(SessionStart {
            shards,
            total: budget.total(),
            remaining: budget.remaining(now),
            reset_after_ms: ms(self.clock.real(budget.resets_in(now))),
            max_concurrency,
        })
    }

    fn budgets(&self, state: &mut State) -> Vec<BudgetLeft> {
        let now = self.clock.rules();
        let left = |(id, application): (&Snowflake, &mut Application)| BudgetLeft {
            application_id: *id,
            total: application.budget.total(),
            remaining: application.budget.remaining(now),
            resets_in_ms: ms(self.clock.real(application.budget.resets_in(now))),
        };
        state.applications.iter_mut().map(left).collect()
    }

    /// Writes a REST call down, and whether it counts as invalid.
    pub(crate) fn record_rest(&self, route: &str, status: u16, is_invalid: bool) {
        self.change().record.rest(route, status, is_invalid);
    }

    /// Writes a call of a route that does not exist down.
    pub(crate) fn record_unknown_route(&self, method: &str, path: &str) {
        let path: String = without_tokens(path).chars().take(200).collect();
        tracing::warn!(method, path, "a route that the simulator does not have");
        let route = format!("{method} {path}");
        self.change().record.unknown_routes.push(route);
    }

    /// The next events of a connection; none when it has had them all, or has lost its session.
    pub(crate) fn next_events(&self, session: SessionId, wire: &Wire) -> Option<Batch> {
        let at_ms = ms(self.now());
        let mut state = self.change();
        let state = &mut *state;
        let of = state.sessions.get_mut(session)?;
        let events = of.pull(wire, BATCH);
        if events.is_empty() {
            return None;
        }
        for (sequence, event) in &events {
            if let Some(number) = event.number {
                state.record.events.sent(number, session, *sequence, at_ms);
            }
        }
        let all_members = of.intents & intents::GUILD_PRESENCES != 0;
        let variation = of.variation;
        let bot = state.applications.get(&of.application).map(|application| application.user.clone());
        // Sessions differ in the order of keys, and it is never the one in which they were written down.
        let order = u32::try_from(variation >> 33).unwrap_or_default() | 1;
        let hidden_bitrate = state.settings.hidden_voice_bitrate;
        Some(Batch { events, bot, all_members, hidden_bitrate, order })
    }

    /// The texts of these events' frames.
    pub(crate) fn frames(&self, batch: &Batch) -> Vec<String> {
        batch.events.iter().map(|(sequence, event)| self.frame(batch, *sequence, event)).collect()
    }

    fn frame(&self, batch: &Batch, sequence: u64, event: &Event) -> String {
        let members = match (&event.data, &batch.bot) {
            (Data::Members(members), _) => Arc::clone(members),
            (Data::Guild(id), Some(bot)) => {
                let told = (batch.all_members, batch.hidden_bitrate);
                Members::from(objects::guild_create(&self.world, *id, bot, told)).shared()
            }
            (Data::Guild(id), None) => Members::from(json!({ "id": id, "unavailable": true })).shared(),
        };
        let mut frame = String::with_capacity(members.len() + 64);
        // Writing to a String cannot fail.
        let _ = write!(frame, r#"{{"t":"{}","s":{sequence},"op":0,"d":"#, event.name);
        write_members(&mut frame, &members, batch.order);
        frame.push('}');
        frame
    }
}

/// The path with a placeholder for the token after the id of a webhook or an interaction.
fn without_tokens(path: &str) -> String {
    // Parts since the one that says that a token follows an id; empty ones do not count.
    let mut since: Option<u32> = None;
    let mut show = |part| {
        if !str::is_empty(part) {
            since = since.map(|parts| parts + 1);
            let is_before_id = matches!(part, "webhooks" | "interactions");
            since = since.filter(|parts| *parts <= 2).or(is_before_id.then_some(0));
        }
        if since == Some(2) && !part.is_empty() { "{token}" } else { part }
    };
    path.split('/').map(&mut show).collect::<Vec<_>>().join("/")
}

fn session_state(session: &Session) -> SessionState {
    SessionState {
        application_id: session.application,
        shard: session.shard,
        total: session.total,
        session_id: session.id,
        connected: session.link.is_some(),
        ready_at_ms: ms(session.ready_at),
        guilds: session.guilds,
        intents: session.intents,
        sequence: session.log.last(),
        sent_events: session.sent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_shows_no_token() {
        let table = [
            ("/api/v10/webhooks/1/abc/messages/7", "/api/v10/webhooks/1/{token}/messages/7"),
            ("/api/webhooks/1/abc", "/api/webhooks/1/{token}"),
            ("/api/v9/interactions/1/abc/callback", "/api/v9/interactions/1/{token}/callback"),
            ("/api/v9//webhooks/1//abc/github", "/api/v9//webhooks/1//{token}/github"),
            ("/api/v10/webhooks/1", "/api/v10/webhooks/1"),
            ("/api/v10/channels/1/webhooks", "/api/v10/channels/1/webhooks"),
            ("/api/v10/voice/regions", "/api/v10/voice/regions"),
        ];
        for (path, expected) in table {
            assert_eq!(without_tokens(path), expected);
        }
    }
}
