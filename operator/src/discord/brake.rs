//! A brake on refused requests, since Discord bans an address after 10,000 of them in ten minutes, whoever's tokens they had.
//!
//! From what was refused lately (401, 403, 429) to whether a bot's token may be tried now. Three bounds, each far below the ban: a
//! back-off of each bot, shorter for another token than the one that was refused; a part for each namespace; and one for the process, of which tokens that Discord
//! has answered to before keep a share. Source of the number: Discord's documentation, Rate Limits, "Invalid Request Limit". Time is an argument. Deliberately
//! absent: what is asked.

use crate::backoff::Backoff;
use crate::model::Fingerprint;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Discord counts over ten minutes.
const WINDOW: Duration = Duration::from_secs(600);
/// Refusals in that time after which nothing is asked: a twentieth of what is a ban.
const ALL: usize = 500;
/// Refusals after which tokens that Discord has not answered to yet are not tried.
const UNTRIED: usize = 300;
/// Refusals of one namespace after which its untried tokens are not tried ...
const NAMESPACE: usize = 60;
/// ... and after which none of its tokens is asked about.
const NAMESPACE_ALL: usize = 150;
/// The least wait.
const FIRST_WAIT: Duration = Duration::from_secs(5);
/// A bot's waits after its refusals.
const WAITS: Backoff = Backoff::new(FIRST_WAIT, Duration::from_secs(300));
/// The longest that another token than the one that was refused last waits: whoever put it there waits for the fleet.
const ANOTHER: Duration = Duration::from_secs(30);

/// A bot's namespace and name.
type Key = (String, String);

/// Counts refusals.
#[derive(Clone, Debug, Default)]
pub(super) struct Brake(Arc<Mutex<Counted>>);

#[derive(Debug, Default)]
struct Counted {
    refused: Vec<(Instant, Key)>,
    /// Asked, and not answered yet: each may come back refused.
    asked: Vec<Key>,
    waits: HashMap<Key, Wait>,
}

/// What a bot must wait for.
#[derive(Debug)]
struct Wait {
    refused: u32,
    last: Instant,
    token: Fingerprint,
}

/// Permission to ask once. It counts as a refusal to come until it is dropped.
#[derive(Debug)]
pub(super) struct Leave {
    brake: Brake,
    key: Key,
    token: Fingerprint,
}

/// Why nothing is asked now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// Refusals within ten minutes.
    refused: usize,
    whose: &'static str,
    /// How long until it is worth another look.
    pub(super) wait: Duration,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { refused, whose, wait } = self;
        let wait = wait.as_secs().max(1);
        write!(
            f,
            "it refused {refused} requests {whose} within ten minutes (401, 403 or 429), and bans addresses for more; the next one goes out in {wait} s"
        )
    }
}

impl Brake {
    /// Leave to ask for a bot. `accepted`: Discord has answered to this token before, or to this bot, as its status shows to a leader that
    /// has just begun. That counts for nothing once the bot was refused lately.
    /// `token`: a hash of all of it.
    ///
    /// # Errors
    /// Why not now, and for how long.
    pub(super) fn leave(
        &self,
        key: &Key,
        token: Fingerprint,
        accepted: bool,
        now: Instant,
    ) -> Result<Leave, Held> {
        let mut counted = self.lock();
        counted.forget(now);
        let trusted = accepted && !counted.waits.contains_key(key);
        let (all, namespace) = if trusted { (ALL, NAMESPACE_ALL) } else { (UNTRIED, NAMESPACE) };
        counted.bound(all, "of this operator", now, |_| true)?;
        counted.bound(namespace, "of this namespace", now, |(namespace, _)| *namespace == key.0)?;
        counted.backs_off(key, token, now)?;
        counted.asked.push(key.clone());
        Ok(Leave { brake: self.clone(), key: key.clone(), token })
    }

    /// Forgets what a bot has to wait for.
    pub(super) fn forget(&self, key: &Key) {
        self.lock().waits.remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leave {
    /// Discord refused.
    pub(super) fn refused(self, now: Instant) {
        let mut counted = self.brake.lock();
        counted.refused.push((now, self.key.clone()));
        let refused = counted.waits.get(&self.key).map_or(0, |wait| wait.refused).saturating_add(1);
        counted.waits.insert(self.key.clone(), Wait { refused, last: now, token: self.token });
    }

    /// Discord answered.
    pub(super) fn accepted(self) {
        self.brake.lock().waits.remove(&self.key);
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        let mut counted = self.brake.lock();
        if let Some(place) = counted.asked.iter().position(|key| *key == self.key) {
            counted.asked.swap_remove(place);
        }
    }
}

impl Counted {
    fn forget(&mut self, now: Instant) {
        self.refused.retain(|(at, _)| now.saturating_duration_since(*at) < WINDOW);
        self.waits.retain(|_, wait| now.saturating_duration_since(wait.last) < WINDOW);
    }

    /// Fails when so many of these were refused, or may be.
    fn bound(
        &self,
        most: usize,
        whose: &'static str,
        now: Instant,
        counts: impl Fn(&Key) -> bool,
    ) -> Result<(), Held> {
        let refused: Vec<_> = self.refused.iter().filter(|(_, key)| counts(key)).collect();
        let asked = self.asked.iter().filter(|key| counts(key)).count();
        if refused.len() + asked < most {
            return Ok(());
        }
        let ends = |(at, _): &&(Instant, Key)| (*at + WINDOW).saturating_duration_since(now);
        let wait = refused.first().map_or(FIRST_WAIT, ends);
        Err(Held { refused: refused.len(), whose, wait })
    }

    fn backs_off(&self, key: &Key, token: Fingerprint, now: Instant) -> Result<(), Held> {
        let Some(Wait { refused, last, token: before }) = self.waits.get(key) else { return Ok(()) };
        let longest = if *before == token { Duration::MAX } else { ANOTHER };
        let left = (*last + WAITS.after(*refused).min(longest)).saturating_duration_since(now);
        if left.is_zero() {
            return Ok(());
        }
        Err(Held { refused: *refused as usize, whose: "of this ShardedBot", wait: left })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: Fingerprint = Fingerprint([1; 16]);

    fn key(namespace: usize, bot: usize) -> Key {
        (namespace.to_string(), bot.to_string())
    }

    /// Bots whose Secrets a loop changes ask whenever they may, each time in vain; how many requests Discord refuses.
    fn refused(brake: &Brake, begun: Instant, bots: &[Key], seconds: u64) -> usize {
        let mut refused = 0;
        for second in 0..seconds {
            let now = begun + Duration::from_secs(second);
            for bot in bots {
                if let Ok(leave) = brake.leave(bot, TOKEN, false, now) {
                    leave.refused(now);
                    refused += 1;
                }
            }
        }
        refused
    }

    #[tokio::test(start_paused = true)]
    async fn six_bots_whose_secrets_a_loop_changes_cost_a_few_requests() {
        let bots: Vec<_> = (0..6).map(|bot| key(0, bot)).collect();
        let in_a_minute = refused(&Brake::default(), Instant::now(), &bots, 60);
        assert_eq!(in_a_minute, 6 * 4, "at 0, 5, 15 and 35 s each");
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_took_the_place_of_one_that_is_refused_for_hours_is_tried_soon() {
        let (brake, bot, begun) = (Brake::default(), key(0, 0), Instant::now());
        refused(&brake, begun, std::slice::from_ref(&bot), 500);
        let now = begun + Duration::from_secs(500);
        let held = brake.leave(&bot, TOKEN, false, now).unwrap_err();
        assert!(held.wait > ANOTHER, "{:?}", held.wait);
        let another = Fingerprint([2; 16]);
        brake.leave(&bot, another, false, now).unwrap().refused(now);
        assert_eq!(brake.leave(&bot, Fingerprint([3; 16]), false, now).unwrap_err().wait, ANOTHER);
    }

    #[tokio::test(start_paused = true)]
    async fn neither_a_namespace_nor_all_of_them_come_near_the_ban() {
        let begun = Instant::now();
        let one: Vec<_> = (0..1_000).map(|bot| key(0, bot)).collect();
        assert_eq!(refused(&Brake::default(), begun, &one, 600), NAMESPACE);
        let many: Vec<_> = (0..1_000).map(|bot| key(bot % 100, bot)).collect();
        let brake = Brake::default();
        assert_eq!(refused(&brake, begun, &many, 600), UNTRIED);
        let (now, other) = (begun + Duration::from_secs(599), key(7, 7_000));
        let held = brake.leave(&other, TOKEN, false, now).unwrap_err();
        assert_eq!((held.refused, held.wait), (UNTRIED, Duration::from_secs(1)));
        let good = |bot: usize| key(1_000 + bot % 100, 9_000 + bot);
        for bot in UNTRIED..ALL {
            brake.leave(&good(bot), TOKEN, true, now).unwrap().refused(now);
        }
        assert!(brake.leave(&good(0), TOKEN, true, now).is_err(), "then not even those that were good");
        assert!(brake.leave(&good(0), TOKEN, true, now + WINDOW).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn another_namespace_and_a_good_token_are_not_held_up_by_one_that_is_braked() {
        let (brake, now) = (Brake::default(), Instant::now());
        let flood: Vec<_> = (0..NAMESPACE).map(|bot| key(0, bot)).collect();
        refused(&brake, now, &flood, 1);
        assert!(brake.leave(&key(0, 9_999), TOKEN, false, now).is_err());
        assert!(brake.leave(&key(1, 0), TOKEN, false, now).is_ok());
        assert!(brake.leave(&key(0, 8_888), TOKEN, true, now).is_ok(), "known good, in the same namespace");
        assert!(
            brake.leave(&key(0, 0), TOKEN, true, now).is_err(),
            "it was refused lately, whatever its status says"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_namespace_of_good_tokens_that_are_refused_now_leaves_the_others_theirs() {
        let (brake, now) = (Brake::default(), Instant::now());
        for bot in 0..NAMESPACE_ALL {
            brake.leave(&key(0, bot), TOKEN, true, now).unwrap().refused(now);
        }
        assert!(brake.leave(&key(0, 9_999), TOKEN, true, now).is_err());
        assert!(brake.leave(&key(1, 0), TOKEN, true, now).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_under_way_counts_and_an_answer_ends_the_back_off() {
        let (brake, now) = (Brake::default(), Instant::now());
        let asked: Vec<_> =
            (0..NAMESPACE).map(|bot| brake.leave(&key(0, bot), TOKEN, false, now).unwrap()).collect();
        assert!(brake.leave(&key(0, 9_999), TOKEN, false, now).is_err());
        drop(asked);
        brake.leave(&key(0, 1), TOKEN, false, now).unwrap().refused(now);
        let held = brake.leave(&key(0, 1), TOKEN, false, now).unwrap_err();
        assert!(held.to_string().contains("refused 1 requests of this ShardedBot"), "{held}");
        let later = now + FIRST_WAIT;
        brake.leave(&key(0, 1), TOKEN, false, later).unwrap().accepted();
        assert!(brake.leave(&key(0, 1), TOKEN, false, later).is_ok());
    }
}
