//! A token that Discord refused: whether it takes it again.
//!
//! From refusals (401, close code 4004) to when to ask next: 1, 2, 4 ... 15 minutes after one another, one question for the pod,
//! `GET /users/@me`, which costs no IDENTIFY. Waits begin anew once the token has served for half an hour; so a token that REST takes and
//! the gateway refuses costs an IDENTIFY ever later. Deliberately absent: asking ([`super::Discord::keep_current`]).

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use shard_machine::Random;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::edges::{backoff::Backoff, token::Token};

/// The first wait.
const FIRST: Duration = Duration::from_mins(1);
/// The longest wait.
pub(super) const LONGEST: Duration = Duration::from_mins(15);
/// A token that has served for so long forgets that it was refused.
const FORGET: Duration = Duration::from_mins(30);

/// Whether the token is refused, and when to ask about it.
#[derive(Debug)]
pub(super) struct Again {
    state: Mutex<State>,
    /// When to ask; none: the token is good.
    due: watch::Sender<Option<Instant>>,
    /// How often a refused token was taken again, or replaced.
    taken: watch::Sender<u64>,
    random: Random,
}

#[derive(Debug)]
struct State {
    refused: Option<Token>,
    waits: Backoff,
    /// When the last question was answered.
    asked: Option<Instant>,
}

impl Again {
    pub(super) fn new(random: Random) -> Self {
        let state = State { refused: None, waits: Backoff::new(FIRST, LONGEST), asked: None };
        Self {
            state: Mutex::new(state),
            due: watch::Sender::default(),
            taken: watch::Sender::default(),
            random,
        }
    }

    /// Discord refused this token.
    pub(super) fn refused(&self, token: &Token) {
        let mut state = self.state();
        if state.refused.as_ref() == Some(token) {
            return;
        }
        let now = Instant::now();
        if state.asked.is_some_and(|asked| now.saturating_duration_since(asked) >= FORGET) {
            state.waits.reset();
        }
        state.refused = Some(token.clone());
        self.wait(&mut state, now);
    }

    /// It was asked about, in vain.
    pub(super) fn still_refused(&self) {
        self.wait(&mut self.state(), Instant::now());
    }

    /// Discord takes it again, or there is another one, to which the waits do not belong.
    pub(super) fn over(&self, is_another: bool) {
        let mut state = self.state();
        state.refused = None;
        state.asked = Some(Instant::now());
        if is_another {
            state.waits.reset();
        }
        self.due.send_replace(None);
        self.taken.send_modify(|taken| *taken += 1);
    }

    /// How often a refused token was taken again, or replaced.
    pub(super) fn taken(&self) -> watch::Receiver<u64> {
        self.taken.subscribe()
    }

    /// Comes when the token is to be asked about.
    pub(super) async fn is_due(&self) {
        let mut due = self.due.subscribe();
        loop {
            let at = *due.borrow_and_update();
            tokio::select! {
                biased;
                // The sender lives as long as this.
                _ = due.changed() => {}
                () = sleep_until(at.unwrap_or_else(Instant::now)), if at.is_some() => return,
            }
        }
    }

    fn wait(&self, state: &mut State, now: Instant) {
        let wait = state.waits.next(&self.random);
        tracing::warn!(
            ?wait,
            "Discord refuses the token; asking again after a while, or when there is another one"
        );
        self.due.send_replace(Some(now + wait));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long until the token is asked about, in minutes.
    async fn minutes(again: &Again) -> f64 {
        let begun = Instant::now();
        again.is_due().await;
        begun.elapsed().as_secs_f64() / 60.0
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_asked_about_after_1_2_4_and_at_most_15_minutes() {
        let (again, token) = (Again::new(Random::seeded(1)), Token::new("t"));
        again.refused(&token);
        for expected in [1.0, 2.0, 4.0, 8.0, 15.0, 15.0] {
            again.refused(&token);
            let waited = minutes(&again).await;
            assert!((expected * 0.74..expected * 1.26).contains(&waited), "{waited} {expected}");
            again.still_refused();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_refused_again_soon_waits_longer_and_one_that_served_or_is_new_does_not() {
        let (again, token) = (Again::new(Random::seeded(1)), Token::new("t"));
        for (serves, is_another, expected) in
            [(0, false, 1.0), (1, false, 2.0), (31, false, 1.0), (1, true, 2.0), (1, false, 1.0)]
        {
            tokio::time::sleep(Duration::from_mins(serves)).await;
            again.refused(&token);
            let waited = minutes(&again).await;
            assert!((expected * 0.74..expected * 1.26).contains(&waited), "{waited} {expected}");
            again.over(is_another);
        }
        assert_eq!(*again.taken().borrow(), 5);
        let quiet = tokio::time::timeout(Duration::from_hours(1), again.is_due()).await;
        assert!(quiet.is_err(), "a good token is not asked about");
    }
}
