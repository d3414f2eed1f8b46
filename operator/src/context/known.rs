//! What rounds of a settled bot go by without reading it again: its objects, as a round before found them.
//!
//! From a quiet round's reads to the rounds of the next minutes. A watch that tells of one of the objects, or begins anew, ends it, and so do
//! a change of the spec and a round that is not quiet. No step rests on it: where something is to be done by it, or a shard is not online,
//! everything is read, and planned, again.
//! Deliberately absent: which rounds are quiet, and the reads.

use crate::model::Child;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a read counts: an edit of which no watch tells is found in the first round after that.
const READ_EVERY: Duration = Duration::from_secs(150);
/// The longest that they may be together, as JSON in bytes, of which the trees in memory are some four times as much; a small bot's are a
/// quarter of it.
const LONGEST: usize = 16 << 10;

/// A bot's namespace and name.
type Key = (String, String);

/// What is known of bots that were looked at.
#[derive(Debug, Default)]
pub struct Known(Mutex<BTreeMap<Key, OfBot>>);

#[derive(Debug, Default)]
struct OfBot {
    /// How often a watch told of one of its objects.
    touched: u64,
    read: Option<Looked>,
}

/// A round, and what it may go by.
#[derive(Clone, Debug)]
pub struct Looked {
    uid: String,
    generation: i64,
    touched: u64,
    /// When what it goes by was read; before anything is, when it begins.
    at: Instant,
    children: Option<Vec<Child>>,
}

impl Looked {
    /// Objects that need not be read.
    #[must_use]
    pub fn children(&self) -> Option<&[Child]> {
        self.children.as_deref()
    }

    /// Everything is read from now on.
    pub fn anew(&mut self) {
        self.at = Instant::now();
        self.children = None;
    }
}

impl Known {
    /// Begins a round of the bot with this UID and generation. What it goes by is put back, as old as it is, by a round that ends quietly.
    #[must_use]
    pub fn begin(&self, key: &Key, uid: &str, generation: i64) -> Looked {
        let mut all = self.all();
        let of_bot = all.entry(key.clone()).or_default();
        let is_good = |read: &Looked| {
            read.uid == uid && read.generation == generation && read.at.elapsed() < READ_EVERY
        };
        of_bot.read.take().filter(is_good).unwrap_or_else(|| Looked {
            uid: uid.to_owned(),
            generation,
            touched: of_bot.touched,
            at: Instant::now(),
            children: None,
        })
    }

    /// The round has ended quietly, and this is what it found or went by; kept unless a watch told of something meanwhile, or
    /// somebody made it too long.
    pub fn end(&self, key: &Key, looked: Looked, found: &[Child]) {
        let children = looked.children.unwrap_or_else(|| found.to_vec());
        let length: usize = children.iter().map(|child| child.live.to_string().len()).sum();
        // Nobody tells when one that is on its way out is gone.
        let stays = children.iter().all(|child| !child.deleting);
        let mut all = self.all();
        let Some(of_bot) = all.get_mut(key).filter(|of_bot| of_bot.touched == looked.touched) else { return };
        of_bot.read = (stays && length <= LONGEST).then_some(Looked { children: Some(children), ..looked });
    }

    /// A watch tells of an object of this bot, or of one that says so. Nothing is kept of bots that have had no round.
    pub fn touch(&self, key: &Key) {
        if let Some(of_bot) = self.all().get_mut(key) {
            of_bot.touched += 1;
            of_bot.read = None;
        }
    }

    /// A watch begins anew, or fails: of what went meanwhile it tells nothing.
    pub fn touch_all(&self) {
        for of_bot in self.all().values_mut() {
            of_bot.touched += 1;
            of_bot.read = None;
        }
    }

    /// Forgets a bot.
    pub fn forget(&self, key: &Key) {
        self.all().remove(key);
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<Key, OfBot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Kind;
    use serde_json::json;

    fn child(bytes: usize) -> Child {
        let live = json!({ "data": "x".repeat(bytes) });
        Child { version: "1".into(), ..Child::ours(Kind::Role, "mybot-shards", live) }
    }

    fn key() -> Key {
        ("bots".into(), "mybot".into())
    }

    /// What is known after one quiet round.
    fn known(found: &[Child]) -> Known {
        let known = Known::default();
        let looked = known.begin(&key(), "u", 3);
        assert!(looked.children().is_none(), "nothing is known at first");
        known.end(&key(), looked, found);
        known
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_quiet_round_read_counts_for_some_minutes_since_it_was_read() {
        let known = known(&[child(9)]);
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_secs(74)).await;
            let looked = known.begin(&key(), "u", 3);
            assert_eq!(looked.children(), Some(&[child(9)][..]));
            known.end(&key(), looked, &[]);
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(known.begin(&key(), "u", 3).children().is_none(), "that rounds went by it makes it no newer");
    }

    #[tokio::test(start_paused = true)]
    async fn another_bot_another_spec_and_a_round_that_is_not_quiet_end_it() {
        assert!(known(&[child(9)]).begin(&key(), "another", 3).children().is_none());
        assert!(known(&[child(9)]).begin(&key(), "u", 4).children().is_none());
        let known = known(&[child(9)]);
        assert!(known.begin(&key(), "u", 3).children().is_some());
        let mut looked = known.begin(&key(), "u", 3);
        assert!(looked.children().is_none(), "the round before did not end quietly");
        looked.children = Some(vec![child(1)]);
        looked.anew();
        known.end(&key(), looked, &[child(2)]);
        assert_eq!(known.begin(&key(), "u", 3).children(), Some(&[child(2)][..]));
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_watch_tells_of_is_read_also_where_it_tells_of_it_during_a_round() {
        let known = known(&[child(9)]);
        known.touch(&key());
        let looked = known.begin(&key(), "u", 3);
        assert!(looked.children().is_none());
        known.touch(&key());
        known.end(&key(), looked, &[child(9)]);
        assert!(known.begin(&key(), "u", 3).children().is_none(), "it may have been read before");
        let looked = known.begin(&key(), "u", 3);
        known.touch_all();
        known.end(&key(), looked, &[child(9)]);
        assert!(known.begin(&key(), "u", 3).children().is_none(), "it may be gone");
        known.touch(&("bots".into(), "nobody".into()));
        assert_eq!(known.all().len(), 1, "strangers' objects take no memory");
        known.forget(&key());
        assert!(known.all().is_empty());
    }

    #[test]
    fn what_somebody_blew_up_and_what_is_on_its_way_out_is_not_kept() {
        assert!(known(&[child(LONGEST)]).begin(&key(), "u", 3).children().is_none());
        let goes = Child { deleting: true, ..child(9) };
        assert!(known(&[goes]).begin(&key(), "u", 3).children().is_none());
    }
}
