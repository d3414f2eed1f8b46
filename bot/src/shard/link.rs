//! One connection to Discord's gateway, from its opening to its end, and the moment an IDENTIFY may leave on it.
//!
//! Wraps one twilight `Shard` and never lets it reconnect by itself. twilight's queue hands the wish to IDENTIFY to
//! the [`Slot`]; the link asks the gate, and gives the go right before it polls twilight, in the same call, so that
//! nothing can come between the check of the grant's end and the frame. **How it knows that the IDENTIFY went out:**
//! `poll_send` of twilight 0.18 takes one permit of its command limiter and hands the frame to the socket in one
//! step; the limiter is new since HELLO and nothing else can be sent before READY. So once fewer than all permits are
//! left, it went out. If the connection is lost in that very poll the limiter is gone, and the IDENTIFY counts as
//! sent: that errs towards the budget. What went out is answered in bounded time ([`patience`]) and by a READY that can
//! be read, or the connection closes. Deliberately absent: what follows the end ([`super::reconnect`]), and what frames say
//! beyond that.

mod patience;
mod seen;

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{Stream as _, future::BoxFuture};
use tokio::{
    sync::oneshot,
    time::{Instant, Sleep, sleep},
};
use twilight_gateway::{
    CloseFrame, EventTypeFlags, Message, Shard, ShardState,
    error::{ReceiveMessageError, ReceiveMessageErrorType},
};

use self::patience::{Patience, Wait};
pub(super) use self::seen::{Ended, Seen, is_url};
use super::{
    Kept,
    refusal::RefusedForAll,
    slot::Slot,
    unreadable::{Frame, may_be_dispatch, wrong},
};
use crate::{
    edges::{close_codes, token},
    identify::gate::Grant,
};

/// Discord says HELLO at once; twilight allows 10 s for the connection itself and waits for HELLO without end.
const HELLO_WITHIN: Duration = Duration::from_secs(25);
/// A close so soon after RESUMED is about the session: what was to be replayed had no time to come.
const RIGHT_AFTER: Duration = Duration::from_secs(5);
/// How long the other side may take to answer a close frame of ours.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// Op 9: Discord's answer to an IDENTIFY that came too early, among others.
const INVALID_SESSION: u8 = 9;
/// Op 0: an event.
const DISPATCH: u8 = 0;

/// Asks the gate for a grant for this shard.
pub(super) type Asker = Box<dyn Fn() -> BoxFuture<'static, Grant> + Send + Sync>;

/// How far the IDENTIFY is.
enum GrantState {
    /// twilight has not asked for it.
    NotYet,
    /// The gate is asked. The sender stays alive until twilight drops its end: it would ask again in a hot loop.
    Asking(oneshot::Sender<()>, BoxFuture<'static, Grant>),
    /// twilight has the go; the frame leaves with its next poll.
    Go(Grant),
    /// It went out; what comes of it is told.
    Sent(Grant),
    /// What came of it was told.
    Over,
}

/// How far the connection is.
#[derive(Default)]
struct Progress {
    connected: bool,
    hello: bool,
    online_since: Option<Instant>,
    disconnected: bool,
}

/// What the connection was opened with.
pub(super) struct Credentials {
    pub(super) token: token::Token,
    pub(super) source: token::TokenSource,
    pub(super) refused: Arc<RefusedForAll>,
    /// How often a refused token had been taken again.
    pub(super) taken: u64,
}

/// One connection.
pub(super) struct Link {
    shard: Shard<Slot>,
    slot: Slot,
    credentials: Credentials,
    asker: Asker,
    grant_state: GrantState,
    url: Option<String>,
    resuming: bool,
    progress: Progress,
    hello_by: Pin<Box<Sleep>>,
    /// The wait for READY or RESUMED.
    answer: Option<Wait>,
    closing: Option<Pin<Box<Sleep>>>,
    stopping: bool,
    unreadable: bool,
    seen: VecDeque<Seen>,
}

impl Link {
    /// Begins the connection; `shard` has the `slot` as its queue and what is `kept` as its session.
    pub(super) fn new(
        shard: Shard<Slot>,
        slot: Slot,
        credentials: Credentials,
        kept: Option<Kept>,
        asker: Asker,
    ) -> Self {
        Self {
            shard,
            slot,
            credentials,
            asker,
            grant_state: GrantState::NotYet,
            resuming: kept.is_some(),
            url: kept.and_then(|kept| kept.url),
            progress: Progress::default(),
            hello_by: Box::pin(sleep(HELLO_WITHIN)),
            answer: None,
            closing: None,
            stopping: false,
            unreadable: false,
            seen: VecDeque::new(),
        }
    }

    /// What the connection brings next. May be dropped at any point without loss; not to be called after its end.
    pub(super) async fn next(&mut self) -> Seen {
        poll_fn(|context| self.poll(context)).await
    }

    /// The token that the connection was opened with.
    pub(super) const fn token(&self) -> &token::Token {
        &self.credentials.token
    }

    /// Whether READY or RESUMED came.
    pub(super) fn is_online(&self) -> bool {
        self.shard.state() == ShardState::Active
    }

    /// Mean time between heartbeat and its ACK.
    pub(super) fn latency(&self) -> Option<Duration> {
        self.shard.latency().average()
    }

    /// The session as far as it was received, if there is one.
    pub(super) fn session(&self) -> Option<Kept> {
        let url = self.shard.resume_url().map(str::to_owned).or_else(|| self.url.clone());
        let session = self.shard.session().filter(|_| !self.unreadable);
        session.map(|session| Kept { session: session.clone(), url: url.filter(|url| is_url(url)) })
    }

    /// The newest sequence that came, of whatever was read last.
    pub(super) fn sequence(&self) -> Option<u64> {
        self.shard.session().map(twilight_gateway::Session::sequence)
    }

    /// Whether the end has begun.
    pub(super) const fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    /// Closes with 4000, which keeps the session; with 1000 where nobody will resume it. `false`: there is nothing to close, it
    /// can just be dropped. (Asked to close before it has a session, twilight would send its IDENTIFY twice.)
    pub(super) fn close(&mut self, is_resumed: bool) -> bool {
        if !self.shard.state().is_identified() {
            return false;
        }
        self.stopping = true;
        self.hang_up(if is_resumed { CloseFrame::RESUME } else { CloseFrame::NORMAL });
        true
    }

    fn hang_up(&mut self, with: CloseFrame<'static>) {
        self.shard.close(with);
        self.closing = Some(Box::pin(sleep(CLOSE_WITHIN)));
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Seen> {
        loop {
            if let Some(seen) = self.seen.pop_front() {
                return Poll::Ready(seen);
            }
            if let Some(ended) = self.take_grant(context) {
                return Poll::Ready(Seen::Ended(ended));
            }
            let polled = Pin::new(&mut self.shard).poll_next(context);
            let pending = polled.is_pending();
            self.note_identify();
            self.note_state();
            match polled {
                Poll::Ready(Some(Ok(message))) => self.received(message),
                Poll::Ready(Some(Err(error))) => self.failed(&error),
                Poll::Ready(None) => self.end(None),
                Poll::Pending => self.idle(context),
            }
            if self.connects_again() {
                self.end(None);
            }
            if pending && self.seen.is_empty() && !self.wish_is_new() {
                return Poll::Pending;
            }
        }
    }

    /// Moves the IDENTIFY on as far as it can be. An end: the connection must not be polled again.
    fn take_grant(&mut self, context: &mut Context<'_>) -> Option<Ended> {
        while let GrantState::Asking(go, asking) = &mut self.grant_state {
            if go.is_closed() {
                self.grant_state = GrantState::NotYet;
                break;
            }
            let Poll::Ready(grant) = asking.as_mut().poll(context) else { return None };
            if self.credentials.source.differs_from(&self.credentials.token) {
                return Some(Ended::OtherToken);
            }
            if let Some(code) = self.credentials.refused.with(&self.credentials.token, self.credentials.taken)
            {
                return Some(Ended::Closed(code));
            }
            if !grant.is_valid() {
                *asking = (self.asker)();
                continue;
            }
            if let GrantState::Asking(go, _) = std::mem::replace(&mut self.grant_state, GrantState::Go(grant))
                && go.send(()).is_err()
            {
                self.grant_state = GrantState::NotYet;
            }
        }
        matches!(&self.grant_state, GrantState::Go(grant) if !grant.is_valid()).then_some(Ended::TooLate)
    }

    /// Takes up a new wish to IDENTIFY; whether there was one.
    fn wish_is_new(&mut self) -> bool {
        let Some(go) = self.slot.take() else { return false };
        self.grant_state = GrantState::Asking(go, (self.asker)());
        true
    }

    /// Notices that the IDENTIFY went out (see the head of this file).
    fn note_identify(&mut self) {
        let out = match self.shard.ratelimiter() {
            Some(limiter) => limiter.available() < limiter.max(),
            None => true,
        };
        if out && matches!(self.grant_state, GrantState::Go(_)) {
            if let GrantState::Go(mut grant) = std::mem::replace(&mut self.grant_state, GrantState::Over) {
                grant.sent();
                self.grant_state = GrantState::Sent(grant);
                self.answer = Some(Wait::new(Patience::identify(Instant::now())));
            }
            self.seen.push_back(Seen::Identified);
        }
    }

    fn note_state(&mut self) {
        let state = self.shard.state();
        if matches!(state, ShardState::Disconnected { .. }) {
            self.progress.disconnected |= self.progress.connected;
        } else {
            self.progress.connected = true;
        }
        if !self.progress.hello && self.shard.ratelimiter().is_some() {
            self.progress.hello = true;
            self.answer = self.resuming.then(|| Wait::new(Patience::resume(Instant::now())));
        }
        if state == ShardState::Active && self.progress.online_since.is_none() {
            self.progress.online_since = Some(Instant::now());
            self.answer = None;
        }
    }

    /// The grant of the IDENTIFY that went out, to tell what came of it.
    fn sent_grant(&mut self) -> Option<Grant> {
        match std::mem::replace(&mut self.grant_state, GrantState::Over) {
            GrantState::Sent(grant) => Some(grant),
            other => {
                self.grant_state = other;
                None
            }
        }
    }

    /// Whether twilight began another connection, because the other side ended this one without a close item. It must
    /// not be polled again: it would RESUME.
    fn connects_again(&self) -> bool {
        self.progress.disconnected && !matches!(self.shard.state(), ShardState::Disconnected { .. })
    }

    fn received(&mut self, message: Message) {
        match message {
            // Of a session that is given up.
            Message::Text(_) if self.unreadable => {}
            Message::Text(text) => {
                if !self.heeds(&text) {
                    return;
                }
                self.seen.push_back(Seen::Text(text));
                // Discord asked for the end (op 7, op 9): twilight's close frame leaves with the next poll.
                if self.progress.disconnected && self.closing.is_none() {
                    self.closing = Some(Box::pin(sleep(CLOSE_WITHIN)));
                }
            }
            Message::Close(frame) => self.end(frame.map(|frame| frame.code)),
        }
    }

    /// Looks what a frame says to the RESUME or IDENTIFY that went out. `false`: it is a READY that cannot be read.
    fn heeds(&mut self, text: &str) -> bool {
        if self.is_online() {
            if matches!(self.grant_state, GrantState::Sent(_)) {
                // The frame that brought it online is READY.
                match twilight_gateway::parse(text.to_owned(), EventTypeFlags::READY) {
                    Ok(_) => self.sent_grant().map_or((), Grant::ready),
                    Err(error) => {
                        self.unreadable(&error);
                        return false;
                    }
                }
            }
            return true;
        }
        match serde_json::from_str(text).map(|frame: Frame| frame.op) {
            Ok(INVALID_SESSION) => self.sent_grant().map_or((), Grant::invalid),
            Ok(DISPATCH) => {
                if let Some(wait) = &mut self.answer {
                    wait.heard();
                }
            }
            _ => {}
        }
        true
    }

    /// READY cannot be read: without it the session is of no use. It is a failed IDENTIFY, so the gate lets the next one
    /// wait ever longer.
    fn unreadable(&mut self, error: &ReceiveMessageError) {
        let shard = self.shard.id().number();
        tracing::error!(shard, wrong = wrong(error), "cannot read Discord's READY, closing");
        self.unreadable = true;
        drop(self.sent_grant());
        self.hang_up(CloseFrame::RESUME);
    }

    fn failed(&mut self, error: &ReceiveMessageError) {
        if matches!(error.kind(), ReceiveMessageErrorType::Reconnect) {
            tracing::debug!(shard = self.shard.id().number(), error = %crate::edges::trouble::chain(error), "could not connect");
            self.seen.push_back(Seen::Ended(Ended::NotConnected));
        } else if self.progress.disconnected {
            self.end(None);
        } else if matches!(self.grant_state, GrantState::Sent(_)) && may_be_dispatch(error) {
            // After an IDENTIFY the first event is READY.
            self.unreadable(error);
        } else {
            let shard = self.shard.id().number();
            tracing::warn!(shard, wrong = wrong(error), "skipped a frame that twilight cannot read");
        }
    }

    /// Nothing to read: looks whether the connection is over all the same.
    fn idle(&mut self, context: &mut Context<'_>) {
        let over = match &mut self.closing {
            Some(timer) => timer.as_mut().poll(context).is_ready(),
            // Lost without a close item.
            None => self.progress.disconnected,
        };
        if over {
            self.end(None);
        } else if !self.progress.hello && self.hello_by.as_mut().poll(context).is_ready() {
            self.seen.push_back(Seen::Ended(Ended::NoHello));
        } else if self.closing.is_none() && self.answer.as_mut().is_some_and(|wait| wait.is_over(context)) {
            let shard = self.shard.id().number();
            tracing::warn!(shard, resuming = self.resuming, "Discord did not answer in time, closing");
            self.answer = None;
            self.hang_up(CloseFrame::RESUME);
        }
    }

    fn end(&mut self, code: Option<u16>) {
        let ended = match (code, self.progress.online_since) {
            _ if self.stopping => Ended::Stopped,
            _ if self.unreadable => Ended::Unreadable,
            (Some(code), _) if close_codes::is_final(code) || matches!(code, 4007 | 4009) => {
                Ended::Closed(code)
            }
            (Some(_), Some(since)) if self.resuming && since.elapsed() < RIGHT_AFTER => Ended::ClosedOnResume,
            (_, Some(since)) => Ended::WasOnline(since.elapsed()),
            _ if self.resuming && self.shard.session().is_none() => Ended::SessionGone,
            _ if self.resuming && self.progress.hello => Ended::ResumeFailed,
            _ if self.progress.hello => Ended::NotOnline,
            _ => Ended::NotConnected,
        };
        if let Ended::Closed(code) = ended {
            self.credentials.refused.note(&self.credentials.token, self.credentials.taken, code);
        }
        if let Some(code) = code {
            tracing::debug!(shard = self.shard.id().number(), code, "close frame");
        }
        self.seen.push_back(Seen::Ended(ended));
    }
}

#[cfg(test)]
mod tests;
