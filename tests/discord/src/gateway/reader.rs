//! The reading half of a connection: frames in, acts and answers out.
//!
//! From: the WebSocket. For: the state, and orders to the writer. It keeps the two clocks of a connection, heartbeats and
//! sends. Deliberately absent: rules of entry (`discord/entry.rs`) and the shapes of frames (`gateway/frames.rs`).

use std::sync::Arc;

use axum::extract::ws::{Message, WebSocket};
use futures::StreamExt;
use futures::stream::SplitStream;
use tokio::time::Instant;

use super::frames::{self, Incoming, Unreadable};
use super::{farewell, lost};
use crate::discord::entry::Entry;
use crate::discord::{Discord, End};
use crate::ledger::ViolationKind;
use crate::rules::{SEND_SPAN, SendLimit};
use crate::session::id::SessionId;
use crate::session::wire::{Order, Wire};

/// One connection's reader.
pub struct Reader {
    discord: Arc<Discord>,
    wire: Arc<Wire>,
    host: String,
    session: Option<SessionId>,
    sends: SendLimit,
    deadline: Instant,
}

impl Reader {
    /// A reader that has heard nothing yet.
    pub fn new(discord: Arc<Discord>, wire: Arc<Wire>, host: String) -> Self {
        let sends = SendLimit::new(SEND_SPAN);
        let mut reader = Self { discord, wire, host, session: None, sends, deadline: Instant::now() };
        reader.alive();
        reader
    }

    /// The session that this connection has.
    pub fn session(&self) -> Option<SessionId> {
        self.session
    }

    /// Reads to the end of the connection.
    pub async fn read(&mut self, mut stream: SplitStream<WebSocket>) -> End {
        loop {
            if self.wire.is_closing() {
                farewell(&mut stream).await;
                return End::Client(None);
            }
            let Ok(message) = tokio::time::timeout_at(self.deadline, stream.next()).await else {
                self.close((4009, "Session timed out: no heartbeat came."), None);
                continue;
            };
            // A close ordered from outside meanwhile: what came is not acted on any more.
            if self.wire.is_closing() {
                continue;
            }
            match message {
                Some(Ok(Message::Text(text))) => self.act(&text),
                Some(Ok(Message::Binary(_))) => {
                    self.unreadable(Unreadable::Payload("binary, but the encoding is json"));
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(frame))) => return End::Client(frame.map(|frame| frame.code)),
                Some(Err(error)) if error.to_string().contains("too long") => {
                    self.unreadable(Unreadable::Payload("longer than 4096 bytes, by far"));
                }
                Some(Err(_)) | None => return lost(&self.wire),
            }
        }
    }

    fn act(&mut self, text: &str) {
        if !self.sends.send(self.discord.clock.rules()) {
            let text = format!("{}: more than 120 sends in 60 s", self.name());
            return self.close((4008, "Rate limited."), Some((ViolationKind::SendRate, text)));
        }
        match frames::read(text, self.session.is_some()) {
            Ok(Incoming::Heartbeat) => {
                self.alive();
                self.wire.order(Order::Frame(frames::HEARTBEAT_ACK.to_owned()));
            }
            Ok(Incoming::Identify(request)) => {
                let entry = self.discord.identify(&request, &self.wire, &self.host);
                self.enter(&entry);
            }
            Ok(Incoming::Resume(_)) if self.session.is_some() => {
                let text = format!("{}: RESUME on a connection that has a session", self.name());
                self.close(
                    (4005, "Already authenticated."),
                    Some((ViolationKind::AlreadyAuthenticated, text)),
                );
            }
            Ok(Incoming::Resume(request)) => {
                let entry = self.discord.resume(&request, &self.wire);
                self.enter(&entry);
            }
            Ok(Incoming::RequestMembers(_) | Incoming::Other) if self.session.is_none() => {
                let text = "a frame other than heartbeat, IDENTIFY or RESUME before IDENTIFY".to_owned();
                self.close((4003, "Not authenticated."), Some((ViolationKind::NotAuthenticated, text)));
            }
            Ok(Incoming::RequestMembers(request)) => {
                if let Some(session) = self.session {
                    let users = request.users();
                    let names = (request.query.as_deref(), request.limit);
                    self.discord.send_members(
                        session,
                        request.guild_id,
                        names,
                        &users,
                        request.nonce.as_deref(),
                    );
                }
            }
            Ok(Incoming::Other) => {}
            Err(unreadable) => self.unreadable(unreadable),
        }
    }

    fn enter(&mut self, entry: &Entry) {
        match entry {
            Entry::Entered(session) => self.session = Some(*session),
            Entry::InvalidSession => self.wire.order(Order::Frame(frames::INVALID_SESSION.to_owned())),
            Entry::Close(code, reason) => self.close((*code, reason), None),
        }
    }

    fn unreadable(&self, unreadable: Unreadable) {
        let (code, reason, kind, text) = match unreadable {
            Unreadable::UnknownOpcode => (4001, "Unknown opcode.", ViolationKind::Opcode, "unknown opcode"),
            Unreadable::Payload(text) => {
                (4002, "Error while decoding payload.", ViolationKind::Payload, text)
            }
            Unreadable::Shard => (4010, "Invalid shard.", ViolationKind::Shard, "shard is not [id, total]"),
        };
        self.close((code, reason), Some((kind, format!("{}: {text}", self.name()))));
    }

    fn close(&self, close: (u16, &'static str), broken: Option<(ViolationKind, String)>) {
        self.discord.close_for(&self.wire, self.session(), close, broken);
    }

    fn alive(&mut self) {
        self.deadline = Instant::now() + self.discord.options.heartbeat_interval.mul_f64(1.5);
    }

    fn name(&self) -> String {
        self.session
            .as_ref()
            .map_or_else(|| "a connection without a session".to_owned(), |id| format!("session {id}"))
    }
}
