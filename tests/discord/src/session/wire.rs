//! The part of a connection that others may hold: orders to its writer, a bell, and scissors.
//!
//! From: the gateway, one per WebSocket. For: sessions and the control API, which wake it, close it or cut it.
//! Its queue is short because only answers and the close go through it; events are pulled from the session's log.
//! Deliberately absent: the socket itself.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::id::SessionId;

/// Answers that may wait for a client that does not read.
const ORDERS: usize = 64;

/// What a connection's writer is told.
#[derive(Debug)]
pub enum Order {
    /// Send this frame.
    Frame(String),
    /// From now on, send the events of this session.
    Attach(SessionId),
    /// Close with this code and reason.
    Close(u16, &'static str),
}

/// One connection, as the others see it.
#[derive(Debug)]
pub struct Wire {
    id: u64,
    bell: Notify,
    orders: mpsc::Sender<Order>,
    scissors: CancellationToken,
    closing: AtomicBool,
    lagged: AtomicBool,
}

impl Wire {
    /// A connection's handle and the orders that its writer has to obey.
    pub fn new(id: u64, scissors: CancellationToken) -> (Self, mpsc::Receiver<Order>) {
        let (orders, receiver) = mpsc::channel(ORDERS);
        (
            Self {
                id,
                bell: Notify::new(),
                orders,
                scissors,
                closing: AtomicBool::new(false),
                lagged: AtomicBool::new(false),
            },
            receiver,
        )
    }

    /// Number of the connection, never used twice.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Tells the writer that its session has events.
    pub fn wake(&self) {
        self.bell.notify_one();
    }

    /// Waits for [`Wire::wake`].
    pub async fn woken(&self) {
        self.bell.notified().await;
    }

    /// Gives an order; a client that lets the queue fill is cut off.
    pub fn order(&self, order: Order) {
        if self.orders.try_send(order).is_err() {
            self.cut_off_lagging();
        }
    }

    /// Closes with a code; true for the first caller, whose code it is.
    pub fn close(&self, code: u16, reason: &'static str) -> bool {
        let first = !self.closing.swap(true, Ordering::Relaxed);
        if first {
            self.order(Order::Close(code, reason));
        }
        first
    }

    /// Whether the server has closed: what the client still sends does not count.
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Drops the TCP connection without a word.
    pub fn cut_off(&self) {
        self.scissors.cancel();
    }

    /// Drops the TCP connection because the client does not read.
    pub fn cut_off_lagging(&self) {
        self.lagged.store(true, Ordering::Relaxed);
        self.scissors.cancel();
    }

    /// Whether the client did not read.
    pub fn has_lagged(&self) -> bool {
        self.lagged.load(Ordering::Relaxed)
    }

    /// Waits for [`Wire::cut_off`] or the simulator's end.
    pub async fn is_cut(&self) {
        self.scissors.cancelled().await;
    }
}
