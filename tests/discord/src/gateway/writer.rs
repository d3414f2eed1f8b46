//! The writing half of a connection: orders first, then the session's events.
//!
//! From: orders and the session's log. For: the WebSocket. It ends only with the connection, so that the reader can wait for
//! the client's answer to a close. Deliberately absent: queues; what is not written yet stays in the log.

use std::sync::Arc;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures::SinkExt;
use futures::stream::SplitSink;
use tokio::sync::mpsc;

use super::encoder::{Encoder, Transport};
use super::frames::HEARTBEAT_ACK;
use crate::discord::Discord;
use crate::session::id::SessionId;
use crate::session::wire::{Order, Wire};

/// Bytes that a close's reason may have (RFC 6455: 125 with the code).
const LONGEST_REASON: usize = 123;

/// What the writer does next.
enum Turn {
    Order(Option<Order>),
    Events,
}

/// The half of a connection that is written to.
struct Outlet<'a> {
    sink: SplitSink<WebSocket, Message>,
    encoder: Encoder,
    discord: &'a Discord,
    wire: &'a Wire,
    session: Option<SessionId>,
}

/// Writes until the connection is gone; after a close, nothing more.
pub async fn write(
    sink: SplitSink<WebSocket, Message>,
    mut orders: mpsc::Receiver<Order>,
    transport: Transport,
    discord: &Arc<Discord>,
    wire: &Wire,
) {
    let mut outlet = Outlet { sink, encoder: Encoder::new(transport), discord, wire, session: None };
    loop {
        let turn = tokio::select! {
            biased;
            order = orders.recv() => Turn::Order(order),
            () = wire.woken() => Turn::Events,
        };
        wire.thawed().await;
        let written = match turn {
            Turn::Order(Some(Order::Frame(text))) => outlet.send(text).await,
            Turn::Order(Some(Order::Acknowledge(due))) => {
                // What comes after it waits too, so that no frame overtakes another.
                tokio::time::sleep_until(due).await;
                outlet.send(HEARTBEAT_ACK.to_owned()).await
            }
            Turn::Order(Some(Order::Attach(id))) => {
                outlet.session = Some(id);
                wire.wake();
                Ok(())
            }
            Turn::Order(Some(Order::Close(code, reason))) => {
                outlet.close(code, reason).await;
                return std::future::pending().await;
            }
            Turn::Order(None) => return,
            Turn::Events => outlet.send_events().await,
        };
        if written.is_err() {
            return;
        }
    }
}

impl Outlet<'_> {
    async fn send(&mut self, text: String) -> Result<(), axum::Error> {
        let Some(message) = self.encoder.encode(text) else { return Ok(()) };
        self.sink.send(message).await
    }

    /// One batch; the bell rings again while there may be more, so that orders are looked at in between.
    async fn send_events(&mut self) -> Result<(), axum::Error> {
        let Some(session) = self.session else { return Ok(()) };
        let Some(batch) = self.discord.next_events(session, self.wire) else { return Ok(()) };
        let is_full = batch.is_full();
        for frame in self.discord.frames(&batch) {
            if let Some(message) = self.encoder.encode(frame) {
                self.wire.thawed().await;
                self.sink.feed(message).await?;
            }
        }
        self.sink.flush().await?;
        // What comes while this is written rings by itself.
        if is_full {
            self.wire.wake();
        }
        Ok(())
    }

    /// That the client is gone already is for the reader to notice.
    async fn close(&mut self, code: u16, reason: &str) {
        let reason = &reason[..reason.floor_char_boundary(LONGEST_REASON)];
        let _ = self.sink.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
    }
}
