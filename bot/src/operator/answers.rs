//! What was heard from the operator: when, and the newest word by which a leader named its answer.
//!
//! From each answer's headers and the monotonic clock to the header of the next calls, to the schedule of turns and to
//! fencing. A word that the contract does not allow counts as none. Deliberately absent: any decision.

use std::sync::{Mutex, PoisonError};

use reqwest::header::HeaderValue;
use tokio::{sync::watch, time::Instant};

/// The longest word that is repeated.
const LONGEST_WORD: usize = 64;

/// When the last answers came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answers {
    /// A leader's.
    pub(crate) led: Instant,
    /// Any replica's, and whatever else answers HTTP at its address.
    pub(crate) any: Instant,
}

/// What was heard.
#[derive(Debug)]
pub(super) struct Heard {
    word: Mutex<Option<HeaderValue>>,
    answers: watch::Sender<Answers>,
}

impl Heard {
    pub(super) fn new(now: Instant) -> Self {
        Self { word: Mutex::new(None), answers: watch::Sender::new(Answers { led: now, any: now }) }
    }

    /// A successful answer came.
    pub(super) fn success(&self, word: Option<&HeaderValue>, now: Instant) {
        if let Some(word) = word.filter(|word| is_word(word)) {
            *self.word.lock().unwrap_or_else(PoisonError::into_inner) = Some(word.clone());
        }
        self.refusal(true, now);
    }

    /// An answer came that is not a success, from a leader or not.
    pub(super) fn refusal(&self, leads: bool, now: Instant) {
        self.answers.send_modify(|answers| {
            answers.any = now;
            if leads {
                answers.led = now;
            }
        });
    }

    /// What to repeat in the next call.
    pub(super) fn word(&self) -> Option<HeaderValue> {
        self.word.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn answers(&self) -> Answers {
        *self.answers.borrow()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Answers> {
        self.answers.subscribe()
    }

    #[cfg(test)]
    pub(super) fn pretend(&self, at: Instant) {
        self.answers.send_replace(Answers { led: at, any: at });
    }
}

fn is_word(value: &HeaderValue) -> bool {
    let word = value.as_bytes();
    (1..=LONGEST_WORD).contains(&word.len()) && word.iter().all(u8::is_ascii_graphic)
}
