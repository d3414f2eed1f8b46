//! The part of a connection that others may hold: orders to its writer, a bell, ice, and scissors.
//!
//! From: the gateway, one per WebSocket. For: sessions and the control API, which wake it, close it, freeze it or cut it.
//! Its queue is short because only answers and the close go through it; events are pulled from the session's log.
//! Deliberately absent: the socket itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::id::SessionId;

/// Answers that may wait for a client that does not read. Each is small, and more than the 120 that a client may cause
/// before it is closed with 4008, so that a burst of heartbeats meets that rule and not this one.
const ORDERS: usize = 256;
/// Op 1 from the server: the client has to answer with a heartbeat at once.
const HEARTBEAT_REQUEST: &str = r#"{"t":null,"s":null,"op":1,"d":null}"#;

/// Op 7: the client has to connect again.
pub const RECONNECT: &str = r#"{"t":null,"s":null,"op":7,"d":null}"#;
/// Op 9, to be resumed.
pub const INVALID_RESUMABLE: &str = r#"{"t":null,"s":null,"op":9,"d":true}"#;
/// Op 9, not to be resumed.
pub const INVALID_SESSION: &str = r#"{"t":null,"s":null,"op":9,"d":false}"#;

/// What a connection's writer is told.
#[derive(Debug)]
pub enum Order {
    /// Send this frame.
    Frame(String),
    /// Acknowledge a heartbeat, not before this time.
    Acknowledge(Instant),
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
    farewell: CancellationToken,
    lagged: AtomicBool,
    ice: Mutex<Ice>,
}

/// How long a connection does nothing, and how long it has done nothing so far.
#[derive(Clone, Copy, Debug, Default)]
struct Ice {
    until: Option<Instant>,
    total: Duration,
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
                farewell: CancellationToken::new(),
                lagged: AtomicBool::new(false),
                ice: Mutex::default(),
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

    /// Asks the client for a heartbeat, out of turn.
    pub fn ask_heartbeat(&self) {
        self.order(Order::Frame(HEARTBEAT_REQUEST.to_owned()));
    }

    /// Closes with a code; true for the first caller, whose code it is.
    pub fn close(&self, code: u16, reason: &'static str) -> bool {
        let first = !self.closing.swap(true, Ordering::Relaxed);
        if first {
            self.order(Order::Close(code, reason));
            self.farewell.cancel();
        }
        first
    }

    /// Whether the server has closed: what the client still sends does not count.
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Waits for [`Wire::close`].
    pub async fn closes(&self) {
        self.farewell.cancelled().await;
    }

    /// From now on, for this long, the connection neither reads nor writes; TCP stays open. A freeze within a freeze
    /// can make it longer, never shorter.
    pub fn freeze(&self, span: Duration) {
        let now = Instant::now();
        let mut ice = self.ice.lock().unwrap_or_else(PoisonError::into_inner);
        let since = ice.until.map_or(now, |until| until.max(now));
        let until = since.max(now + span);
        ice.total += until - since;
        ice.until = Some(until);
    }

    /// Waits while the connection is frozen.
    pub async fn thawed(&self) {
        while let Some(until) = self.ice().until.filter(|until| *until > Instant::now()) {
            tokio::time::sleep_until(until).await;
        }
    }

    /// How long it has been and will be frozen in all: what the client's deadlines are to be moved by.
    pub fn time_frozen(&self) -> Duration {
        self.ice().total
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

    fn ice(&self) -> Ice {
        *self.ice.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire() -> (Wire, mpsc::Receiver<Order>) {
        Wire::new(1, CancellationToken::new())
    }

    #[tokio::test(start_paused = true)]
    async fn a_freeze_ends_by_itself_and_a_second_one_within_it_only_makes_it_longer() {
        let (wire, _orders) = wire();
        let start = Instant::now();
        wire.thawed().await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        wire.freeze(Duration::from_secs(5));
        wire.freeze(Duration::from_secs(2));
        assert_eq!(wire.time_frozen(), Duration::from_secs(5));
        tokio::time::advance(Duration::from_secs(3)).await;
        wire.freeze(Duration::from_secs(4));
        assert_eq!(wire.time_frozen(), Duration::from_secs(7));
        wire.thawed().await;
        assert_eq!(start.elapsed(), Duration::from_secs(7));
        tokio::time::advance(Duration::from_secs(10)).await;
        wire.freeze(Duration::from_secs(1));
        assert_eq!(wire.time_frozen(), Duration::from_secs(8), "time between two freezes does not count");
    }

    #[test]
    fn a_client_that_lets_answers_pile_up_is_cut_off_and_memory_stays_bounded() {
        let (wire, orders) = wire();
        for _ in 0..ORDERS {
            wire.order(Order::Frame(String::new()));
        }
        assert!(!wire.has_lagged());
        wire.ask_heartbeat();
        assert!(wire.has_lagged() && wire.scissors.is_cancelled());
        assert_eq!(orders.len(), ORDERS);
    }

    #[test]
    fn the_first_close_is_the_one_that_counts() {
        let (wire, mut orders) = wire();
        assert!(wire.close(4000, "first") && !wire.close(4009, "second"));
        assert!(matches!(orders.try_recv(), Ok(Order::Close(4000, _))));
        assert!(orders.try_recv().is_err() && wire.is_closing());
    }
}
