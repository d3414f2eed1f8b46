//! Whose token a bot holds: what its Secret says, as far as Discord does not say otherwise.
//!
//! From what was read and what Discord answered to the application that stands for the token. Anybody can write another
//! application's id in front of a token of his own making, and whoever holds a token closes the gate for younger bots with it: so
//! a token that Discord refuses is none, and what was held before stays. Deliberately absent: who is older.

use crate::model::Fingerprint;

/// What a round found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Discord has answered to this token.
    Accepted(Fingerprint),
    /// Discord could not be asked yet.
    Untried(Fingerprint),
    /// Discord refuses it.
    Refused,
    /// There is none that can be read.
    Nothing,
}

/// What a bot holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    token: Option<Fingerprint>,
    accepted: bool,
}

impl Held {
    /// The token.
    #[must_use]
    pub fn token(&self) -> Option<Fingerprint> {
        self.token
    }

    /// Whether this bot, being older, keeps the gate from one that holds this. A token that Discord has answered to is not given
    /// away to one that only says so: anybody can write it into a Secret while Discord cannot be asked.
    #[must_use]
    pub fn precedes(&self, younger: &Self) -> bool {
        self.token.is_some() && self.token == younger.token && (self.accepted || !younger.accepted)
    }

    /// Takes over what was found. Without a token of now the last good one stays, since the bot's fleet may run on with it.
    pub fn take(&mut self, found: Found) {
        match found {
            Found::Accepted(token) => *self = Self { token: Some(token), accepted: true },
            Found::Untried(token) if self.token == Some(token) => {}
            Found::Untried(token) => *self = Self { token: Some(token), accepted: false },
            Found::Refused if !self.accepted => *self = Self::default(),
            Found::Refused | Found::Nothing => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINE: Fingerprint = Fingerprint([1; 16]);
    const YOURS: Fingerprint = Fingerprint([2; 16]);

    fn after(all: &[Found]) -> Option<Fingerprint> {
        let mut held = Held::default();
        for found in all {
            held.take(*found);
        }
        held.token()
    }

    #[test]
    fn an_older_bot_whose_token_was_never_tried_takes_the_gate_from_none_whose_token_is_good() {
        let held = |found| {
            let mut held = Held::default();
            held.take(found);
            held
        };
        let (good, untried, none) =
            (held(Found::Accepted(MINE)), held(Found::Untried(MINE)), held(Found::Nothing));
        for (older, younger, precedes) in [
            (good, good, true),
            (good, untried, true),
            (untried, untried, true),
            (untried, good, false),
            (none, none, false),
            (held(Found::Accepted(YOURS)), good, false),
        ] {
            assert_eq!(older.precedes(&younger), precedes, "{older:?} {younger:?}");
        }
    }

    #[test]
    fn a_token_that_discord_refuses_is_not_held_and_the_last_good_one_stays() {
        use Found::{Accepted, Nothing, Refused, Untried};
        for (all, held) in [
            (&[Refused][..], None),
            (&[Untried(YOURS)], Some(YOURS)),
            (&[Untried(YOURS), Refused], None),
            (&[Accepted(MINE), Nothing], Some(MINE)),
            (&[Accepted(MINE), Refused], Some(MINE)),
            (&[Accepted(MINE), Untried(MINE), Refused], Some(MINE)),
            (&[Accepted(MINE), Untried(YOURS), Refused], None),
        ] {
            assert_eq!(after(all), held, "{all:?}");
        }
    }
}
