//! The reading half of a connection: frames in, acts and answers out.
//!
//! From: the WebSocket. For: the state, and orders to the writer. It keeps the two clocks of a connection, heartbeats and
//! sends. Deliberately absent: rules of entry (`discord/entry.rs`) and the shapes of frames (`gateway/frames.rs`).

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use futures::StreamExt;
use futures::stream::SplitStream;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::error::ProtocolError;

use super::frames::{self, Incoming, Unreadable};
use super::{Client, farewell, lost};
use crate::discord::entry::{Entry, Reached};
use crate::discord::{Discord, End};
use crate::ledger::ViolationKind;
use crate::rules::{SEND_SPAN, SendLimit};
use crate::session::id::SessionId;
use crate::session::wire::{self, Order, Wire};
use crate::settings::CloseAnswerIs;

/// WebSocket pings between two heartbeats. Discord names no limit; this one bounds the pongs that wait for a client.
pub const PINGS: usize = 1000;

/// One connection's reader.
pub struct Reader {
    discord: Arc<Discord>,
    wire: Arc<Wire>,
    client: Client,
    session: Option<SessionId>,
    sends: SendLimit,
    pings: usize,
    heard_at: Instant,
    frozen_before: Duration,
}

impl Reader {
    /// A reader that has heard nothing yet.
    pub fn new(discord: Arc<Discord>, wire: Arc<Wire>, client: Client) -> Self {
        let sends = SendLimit::new(SEND_SPAN);
        let (pings, heard_at, frozen_before) = (0, Instant::now(), Duration::ZERO);
        Self { discord, wire, client, session: None, sends, pings, heard_at, frozen_before }
    }

    /// The session that this connection has; an op 9 may have taken it away.
    pub fn session(&self) -> Option<SessionId> {
        self.session.filter(|session| self.discord.holds(&self.wire, *session))
    }

    /// Reads to the end of the connection.
    pub async fn read(&mut self, stream: &mut SplitStream<WebSocket>) -> End {
        loop {
            if self.wire.is_closing() {
                farewell(stream).await;
                return End::Client(None);
            }
            let heard = tokio::time::timeout_at(self.deadline(), stream.next()).await;
            // At once: the answer goes out with whatever is read or written next.
            if let Ok(Some(Ok(Message::Close(Some(frame))))) = &heard
                && self.discord.answers_closes_as() == CloseAnswerIs::Normal
            {
                self.client.close_answer.be_normal(frame.code, frame.reason.as_str());
            }
            self.wire.thawed().await;
            // A close ordered from outside meanwhile: what came is not acted on any more.
            if self.wire.is_closing() {
                continue;
            }
            match heard {
                // It was frozen meanwhile, which is not the client's fault.
                Err(_) if Instant::now() < self.deadline() => {}
                Err(_) => self.close((4009, "Session timed out: no heartbeat came."), None),
                Ok(Some(Ok(Message::Text(text)))) => self.act(&text),
                // hikari sends its JSON so, and Discord takes it.
                Ok(Some(Ok(Message::Binary(bytes)))) => match std::str::from_utf8(&bytes) {
                    Ok(text) => self.act(text),
                    Err(_) => self.unreadable(frames::BINARY),
                },
                Ok(Some(Ok(Message::Ping(_)))) => self.count_ping(),
                Ok(Some(Ok(Message::Pong(_)))) => {}
                Ok(Some(Ok(Message::Close(frame)))) => return End::Client(frame.map(|frame| frame.code)),
                Ok(Some(Err(error))) => match fault(error) {
                    // Nothing more can be read; the end comes once the close was written and the client had its time.
                    Some(unreadable) => {
                        self.unreadable(unreadable);
                        return std::future::pending().await;
                    }
                    None => return lost(&self.wire),
                },
                Ok(None) => return lost(&self.wire),
            }
        }
    }

    fn act(&mut self, text: &str) {
        if !self.sends.send(self.discord.clock.rules()) {
            let text = format!("{}: more than 120 sends in 60 s", self.name());
            return self.close((4008, "Rate limited."), Some((ViolationKind::SendRate, text)));
        }
        let session = self.session();
        match (frames::read(text, session.is_some()), session) {
            (Err(unreadable), _) => self.unreadable(unreadable),
            (Ok(Incoming::Heartbeat(sequence)), session) => {
                self.alive();
                if let (Some(session), Some(sequence)) = (session, sequence) {
                    self.discord.acknowledge(session, sequence);
                }
                self.wire.order(Order::Acknowledge(Instant::now() + self.discord.ack_delay()));
            }
            (Ok(Incoming::Identify(request)), _) => {
                let Client { host, version, .. } = &self.client;
                let reached = Reached { host, version: *version, lag: self.lag() };
                let entry = self.discord.identify(&request, &self.wire, &reached);
                self.enter(&entry);
            }
            (Ok(Incoming::Resume(request)), None) => {
                let entry = self.discord.resume(&request, &self.wire);
                self.enter(&entry);
            }
            (Ok(Incoming::Resume(_)), Some(_)) => {
                let text = format!("{}: RESUME on a connection that has a session", self.name());
                let broken = (ViolationKind::AlreadyAuthenticated, text);
                self.close((4005, "Already authenticated."), Some(broken));
            }
            (Ok(_), None) => {
                let text = "a frame other than heartbeat, IDENTIFY or RESUME before IDENTIFY".to_owned();
                self.close((4003, "Not authenticated."), Some((ViolationKind::NotAuthenticated, text)));
            }
            (Ok(Incoming::RequestMembers(request)), Some(session)) => {
                self.discord.send_members(session, &request);
            }
            (Ok(Incoming::RequestSounds(guilds)), Some(session)) => {
                self.discord.send_sounds(session, &guilds);
            }
            (Ok(Incoming::RequestChannelInfo(guild)), Some(session)) => {
                self.discord.send_channel_info(session, guild);
            }
            (Ok(Incoming::Other), Some(_)) => {}
        }
    }

    /// How long ago what is acted on came. Of a connection that was frozen nothing comes before it is thawed.
    fn lag(&self) -> Duration {
        if self.wire.time_frozen() > Duration::ZERO { Duration::ZERO } else { self.client.arrival.age() }
    }

    fn enter(&mut self, entry: &Entry) {
        match entry {
            Entry::Entered(session) => self.session = Some(*session),
            Entry::InvalidSession => self.wire.order(Order::Frame(wire::INVALID_SESSION.to_owned())),
            Entry::Close(code, reason) => self.close((*code, *reason), None),
        }
    }

    fn unreadable(&self, unreadable: Unreadable) {
        let (code, reason, kind) = unreadable.close();
        self.close((code, reason), Some((kind, format!("{}: {reason}", self.name()))));
    }

    fn close(&self, close: (u16, &'static str), broken: Option<(ViolationKind, String)>) {
        self.discord.close_for(&self.wire, self.session(), close, broken);
    }

    /// A close could not be sent to a client that sends pings and reads no pongs, so it is cut off.
    fn count_ping(&mut self) {
        self.pings += 1;
        if self.pings > PINGS {
            let text = format!("{}: more than {PINGS} pings since its last heartbeat", self.name());
            self.discord.record_violation(ViolationKind::SendRate, text);
            self.wire.cut_off();
        }
    }

    fn alive(&mut self) {
        (self.heard_at, self.frozen_before, self.pings) = (Instant::now(), self.wire.time_frozen(), 0);
    }

    /// When the client will have been silent for too long; time in which it could not be heard does not count.
    fn deadline(&self) -> Instant {
        let frozen = self.wire.time_frozen().saturating_sub(self.frozen_before);
        self.heard_at + self.discord.options.heartbeat_interval.mul_f64(1.5) + frozen
    }

    fn name(&self) -> String {
        self.session
            .as_ref()
            .map_or_else(|| "a connection without a session".to_owned(), |id| format!("session {id}"))
    }
}

/// What the client did wrong, where the connection ended by that and not by itself.
fn fault(error: axum::Error) -> Option<Unreadable> {
    match *error.into_inner().downcast::<tungstenite::Error>().ok()? {
        tungstenite::Error::Capacity(_) => Some(frames::TOO_LONG),
        tungstenite::Error::Utf8(_) => Some(frames::NOT_UTF8),
        tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        tungstenite::Error::Protocol(_) => Some(Unreadable::Protocol),
        _ => None,
    }
}
