//! What was heard from the operator: when, and the newest word by which a leader named its answer.
//!
//! From each answer's headers and the monotonic clock to the header of the next calls, to the fallback schedule and to
//! fencing. A word that the contract does not allow counts as none, and for a while after a slot none is named
//! ([`shard_contract::fallback::APART_MS`]). Deliberately absent: any decision.

use std::sync::{Mutex, MutexGuard, PoisonError};

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
    /// A leader's that did not say that this pod is gone.
    pub(crate) knew: Instant,
    /// A leader's that said so; none before the first.
    pub(crate) denied: Option<Instant>,
}

/// Who refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// A leader.
    Leader,
    /// A leader that says that this pod is gone.
    Stranger,
    /// A leader that knows this pod and cannot grant.
    Blind,
    /// No leader.
    Another,
}

/// What was heard.
#[derive(Debug)]
pub(super) struct Heard {
    named: Mutex<Named>,
    answers: watch::Sender<Answers>,
}

/// The word, and when it may be named.
#[derive(Debug, Default)]
struct Named {
    newest: Option<HeaderValue>,
    from: Option<Instant>,
}

impl Heard {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            named: Mutex::default(),
            answers: watch::Sender::new(Answers { led: now, any: now, knew: now, denied: None }),
        }
    }

    /// A successful answer came.
    pub(super) fn success(&self, word: Option<&HeaderValue>, now: Instant) {
        let word = word.filter(|word| is_word(word));
        if let Some(word) = word {
            self.named().newest = Some(word.clone());
        }
        self.refusal(if word.is_some() { By::Leader } else { By::Blind }, now);
    }

    /// An answer came that is not a success.
    pub(super) fn refusal(&self, by: By, now: Instant) {
        self.answers.send_modify(|answers| {
            answers.any = now;
            if matches!(by, By::Leader | By::Stranger) {
                answers.led = now;
            }
            match by {
                By::Leader | By::Blind => answers.knew = now,
                By::Stranger => answers.denied = Some(now),
                By::Another => {}
            }
        });
    }

    /// What to repeat in a call that is made now.
    pub(super) fn word(&self, now: Instant) -> Option<HeaderValue> {
        let named = self.named();
        named.newest.clone().filter(|_| named.from.is_none_or(|from| from <= now))
    }

    /// No answer is named before then.
    pub(super) fn name_from(&self, at: Instant) {
        let from = &mut self.named().from;
        *from = (*from).max(Some(at));
    }

    #[cfg(test)]
    pub(super) fn names_from(&self) -> Option<Instant> {
        self.named().from
    }

    fn named(&self) -> MutexGuard<'_, Named> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn answers(&self) -> Answers {
        *self.answers.borrow()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Answers> {
        self.answers.subscribe()
    }

    /// No replica has answered since then.
    pub(super) fn silent_since(&self, at: Instant) {
        self.answers.send_modify(|answers| answers.any = at);
    }

    #[cfg(test)]
    pub(super) fn pretend(&self, at: Instant) {
        self.answers.send_replace(Answers { led: at, any: at, knew: at, denied: None });
    }
}

fn is_word(value: &HeaderValue) -> bool {
    let word = value.as_bytes();
    (1..=LONGEST_WORD).contains(&word.len()) && word.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn no_answer_is_named_for_a_while_after_a_slot() {
        let now = Instant::now();
        let (soon, later) = (now + Duration::from_secs(5), now + Duration::from_secs(9));
        let heard = Heard::new(now);
        let word = HeaderValue::from_static("a-1");
        heard.success(Some(&word), now);
        assert_eq!(heard.word(now), Some(word.clone()));
        heard.name_from(later);
        heard.name_from(soon);
        heard.success(Some(&word), soon);
        assert_eq!((heard.word(soon), heard.word(later)), (None, Some(word)));
    }
}
