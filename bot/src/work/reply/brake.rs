//! Holds all replies of the pod while Discord refuses them with a 429 of all routes, or one that does not say whose limit it is.
//!
//! From what a request came to, to when the next may go: while held, one at a time, after as long as Discord says, or after 1 s that
//! doubles to a minute. Who would have to wait for longer than he can hears at once for how long. So at any load about fifteen requests
//! go out in ten minutes; more would have the address banned
//! (<https://docs.discord.com/developers/topics/rate-limits#invalid-request-limit-aka-cloudflare-bans>). Deliberately absent: limits of
//! one route, which the limiter knows.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use shard_discord::{Limited, span};
use tokio::time::{Instant, sleep_until};

use crate::edges::backoff::Backoff;

/// The first wait where Discord says none.
const FIRST: Duration = Duration::from_secs(1);
/// The longest such wait.
const LONGEST: Duration = Duration::from_mins(1);
/// The longest wait that is believed.
const LONGEST_SAID: Duration = Duration::from_hours(24);

/// Holds replies.
#[derive(Debug, Default)]
pub(crate) struct Brake {
    held: Mutex<Option<Held>>,
    /// Whose turn it is to ask whether Discord takes replies again.
    probe: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Held {
    until: Instant,
    waits: Backoff,
    last: Limited,
}

/// Leave to send one request.
#[derive(Debug)]
pub(super) struct Leave<'a> {
    brake: &'a Brake,
    /// While replies are held, one at a time has it.
    probe: Option<tokio::sync::MutexGuard<'a, ()>>,
}

impl Brake {
    /// Waits until a request may go out. An error: that is not before the deadline; for how long replies are held.
    pub(super) async fn leave(&self, deadline: Instant) -> Result<Leave<'_>, Limited> {
        if self.until(deadline)?.is_none() {
            return Ok(Leave { brake: self, probe: None });
        }
        let probe = self.probe.lock().await;
        match self.until(deadline)? {
            // Another one was let in meanwhile.
            None => Ok(Leave { brake: self, probe: None }),
            Some(until) => {
                sleep_until(until).await;
                Ok(Leave { brake: self, probe: Some(probe) })
            }
        }
    }

    fn until(&self, deadline: Instant) -> Result<Option<Instant>, Limited> {
        match &*self.lock() {
            Some(held) if held.until > deadline => {
                let after = held.until.saturating_duration_since(Instant::now());
                Err(Limited { after: Some(after), ..held.last })
            }
            held => Ok(held.as_ref().map(|held| held.until)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leave<'_> {
    /// Discord refused it with a 429 of all routes.
    pub(super) fn limited(self, limited: Limited) {
        let mut held = self.brake.lock();
        let now = Instant::now();
        let waits = || Backoff::new(FIRST, LONGEST);
        let held = held.get_or_insert_with(|| Held { until: now, waits: waits(), last: limited });
        if held.until > now {
            // Another request of the same moment said so already.
            return;
        }
        let wait = limited.after.map_or_else(|| held.waits.exact(), |after| after.min(LONGEST_SAID));
        tracing::warn!(%limited, hold = span(wait), "Discord refuses replies, holding them");
        (held.until, held.last) = (now + wait, limited);
    }

    /// Discord took it, or refused it for a reason of its own. One that went out before the others were held says nothing of them.
    pub(super) fn accepted(self) {
        if self.probe.is_some() {
            *self.brake.lock() = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use shard_discord::Scope;

    use super::*;

    fn limited(after: Option<u64>) -> Limited {
        Limited { scope: Scope::Unknown, after: after.map(Duration::from_secs) }
    }

    /// Requests in ten minutes of five replies a second, all of them refused so.
    async fn in_ten_minutes(after: Option<u64>) -> u32 {
        let (brake, sent) = (Arc::new(Brake::default()), Arc::new(AtomicU32::new(0)));
        for _ in 0..3_000 {
            let (brake, sent) = (Arc::clone(&brake), Arc::clone(&sent));
            tokio::spawn(async move {
                let deadline = Instant::now() + Duration::from_secs(30);
                while Instant::now() < deadline {
                    let Ok(leave) = brake.leave(deadline).await else { return };
                    sent.fetch_add(1, Ordering::Relaxed);
                    leave.limited(limited(after));
                }
            });
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        sent.load(Ordering::Relaxed)
    }

    #[tokio::test(start_paused = true)]
    async fn about_fifteen_requests_go_out_in_ten_minutes_at_any_load_or_as_discord_says() {
        let sent = in_ten_minutes(None).await;
        assert!((12..=16).contains(&sent), "{sent}");
        let sent = in_ten_minutes(Some(120)).await;
        assert!((4..=6).contains(&sent), "{sent}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_cannot_wait_so_long_hears_at_once_for_how_long_and_after_a_success_all_go() {
        let brake = Brake::default();
        let in_a_minute = || Instant::now() + Duration::from_mins(1);
        brake.leave(in_a_minute()).await.unwrap().limited(limited(Some(82_680)));
        let held = brake.leave(in_a_minute()).await.unwrap_err();
        assert_eq!(
            held.to_string(),
            "429, a limit of all routes, perhaps the address's, for another 22 h 58 min"
        );
        tokio::time::sleep(Duration::from_secs(82_670)).await;
        brake.leave(in_a_minute()).await.unwrap().accepted();
        let begun = Instant::now();
        brake.leave(in_a_minute()).await.unwrap().accepted();
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
