//! RESUME: an existing session, given to a new connection from where the client had come.
//!
//! From: the gateway, after it has read the payload. For: the session's events again, or what to answer instead. What was
//! missed stays in the session's log; the connection only starts at its place in it. A failed RESUME ends the session.
//! Source: Discord, `developers/events/gateway.mdx` "Resuming". Deliberately absent: a session under another shard or bot.

use std::sync::Arc;

use super::entry::{BAD_TOKEN, Entry};
use super::{Discord, State, ms};
use crate::ledger::{Resume, ViolationKind};
use crate::options::Token;
use crate::session::Link;
use crate::session::log::{Data, Event};
use crate::session::wire::{Order, Wire};
use crate::settings::{ResumeBelowHeartbeat, ResumeWhileConnected};
use crate::snowflake::Snowflake;

/// A RESUME as the gateway read it.
#[derive(Debug)]
pub struct ResumeRequest {
    /// The bot's token.
    pub token: Token,
    /// The session.
    pub session_id: String,
    /// The last event that the client has had.
    pub sequence: u64,
}

impl Discord {
    /// Gives an existing session to this connection and replays what it missed, or says what to answer instead.
    pub fn resume(&self, request: &ResumeRequest, wire: &Arc<Wire>) -> Entry {
        let now = self.now();
        let mut state = self.change();
        let Some(application) = state.application_of(&request.token) else {
            state.record.bad_tokens += 1;
            return BAD_TOKEN;
        };
        let mut resume = Resume {
            at_ms: ms(now),
            session_id: request.session_id.chars().take(64).collect(),
            shard: None,
            total: None,
            sequence: request.sequence,
            replayed: 0,
            accepted: false,
            outcome: String::new(),
        };
        let entry = self.continue_session(&mut state, application, request, wire, &mut resume);
        state.record.resume(resume);
        entry
    }

    fn continue_session(
        &self,
        state: &mut State,
        application: Snowflake,
        request: &ResumeRequest,
        wire: &Arc<Wire>,
        resume: &mut Resume,
    ) -> Entry {
        let (now, policy) = (self.now(), state.settings.resume_while_connected);
        let forgets = state.settings.resume_below_heartbeat == ResumeBelowHeartbeat::Refuse;
        let id = request.session_id.parse().ok();
        let known = id.and_then(|id| state.sessions.get_mut(id));
        let Some(session) = known.filter(|session| session.application == application) else {
            resume.outcome = "unknown session".into();
            return Entry::InvalidSession;
        };
        (resume.shard, resume.total) = (Some(session.shard), Some(session.total));
        if session.link.is_some() && policy == ResumeWhileConnected::Refuse {
            resume.outcome = "its old connection is open".into();
            return Entry::InvalidSession;
        }
        if session.is_over(now, self.options.session_life) {
            resume.outcome = "the session's time is over".into();
        } else if request.sequence > session.log.last() {
            resume.outcome = "4007".into();
        } else if !session.log.has_all_after(request.sequence) {
            resume.outcome = "events after that sequence are not kept any more".into();
        } else if forgets && request.sequence < session.acknowledged {
            resume.outcome = "a heartbeat has named a later sequence".into();
        } else {
            (resume.accepted, resume.outcome) = (true, "resumed".into());
            resume.replayed = session.log.last() - request.sequence;
            let id = session.id;
            let old = session.link.replace(Link { wire: Arc::clone(wire), next: request.sequence + 1 });
            session.left_at = None;
            let place = (session.application, session.total, session.shard);
            wire.order(Order::Attach(id));
            session.push(Event {
                name: "RESUMED",
                data: Data::Members(r#""_trace":["[\"discord-sim\"]"]"#.into()),
                number: None,
            });
            if old.is_none() {
                state.record.coverage.covered(place, ms(now));
            }
            if let Some(old) = old {
                self.close(
                    state,
                    &old.wire,
                    4000,
                    "The session was resumed by another connection.",
                    Some(id),
                );
            }
            return Entry::Entered(id);
        }
        let id = session.id;
        self.end_session(state, id, 4000, "The session was invalidated by a RESUME.");
        if resume.outcome == "4007" {
            let text = format!("RESUME with sequence {}, which was never sent", request.sequence);
            state.violation(now, ViolationKind::Sequence, text);
            return Entry::Close(4007, "Invalid seq.");
        }
        Entry::InvalidSession
    }
}
