//! What follows the end of a connection: how long to wait, and whether to RESUME.
//!
//! From how connections ended, and when, to the next step; pure, with time as an argument. The first new try after a
//! healthy connection comes at once; after that waits double from 0.5 s to 30 s. A session is given up when Discord
//! says so, and after five tries in a row to resume it that reached Discord (the waits between them make that about 30 s,
//! more after an outage): a Discord that cannot be reached says nothing about the session, and giving it up would cost an
//! IDENTIFY. Deliberately absent: chance (the caller spreads the wait).

use std::time::Duration;

use super::{link::Ended, refusal};

/// A connection that was online for this long forgets the failures before it.
const HEALTHY: Duration = Duration::from_secs(30);
/// The first wait, after a try at once has failed too.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// So many failed RESUMEs in a row give the session up.
const RESUME_TRIES: u32 = 5;

/// What the next step depends on.
#[derive(Debug, Default)]
pub(super) struct Reconnect {
    failures: u32,
    resumes: u32,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Connect again.
    Again {
        /// After this wait.
        wait: Duration,
        /// With the session, if there is one.
        keep_session: bool,
    },
    /// Do not: Discord forbids it with this close code.
    Refused(u16),
}

impl Reconnect {
    /// Decides after a connection ended.
    pub(super) fn after(&mut self, ended: &Ended) -> Next {
        let mut keep_session = true;
        match *ended {
            Ended::Closed(code) if refusal::is_final(code) => return Next::Refused(code),
            // Rebuilt by our own wish, or for an IDENTIFY, which the gate paces: no failure.
            Ended::Stopped | Ended::TakenAway | Ended::OtherToken | Ended::TooLate | Ended::SessionGone => {
                return Next::Again { wait: Duration::ZERO, keep_session };
            }
            // Invalid sequence, session timed out: "start a new session".
            Ended::Closed(4007 | 4009) | Ended::Unreadable => keep_session = false,
            Ended::WasOnline(online) if online >= HEALTHY => {
                self.failures = 0;
                self.resumes = 0;
            }
            Ended::ResumeFailed => keep_session = !self.resume_failed_too_often(),
            _ => {}
        }
        Next::Again { wait: self.wait(), keep_session }
    }

    fn wait(&mut self) -> Duration {
        let failures = self.failures;
        self.failures += 1;
        match failures {
            0 => Duration::ZERO,
            _ => (FIRST_WAIT * 2_u32.saturating_pow(failures - 1).min(1_000)).min(LONGEST_WAIT),
        }
    }

    fn resume_failed_too_often(&mut self) -> bool {
        self.resumes += 1;
        let too_often = self.resumes >= RESUME_TRIES;
        if too_often {
            self.resumes = 0;
        }
        too_often
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn again(millis: u64, keep_session: bool) -> Next {
        Next::Again { wait: Duration::from_millis(millis), keep_session }
    }

    #[test]
    fn a_healthy_connection_comes_back_at_once_and_a_flapping_one_ever_later() {
        let mut reconnect = Reconnect::default();
        let short = Ended::WasOnline(Duration::from_secs(1));
        for expected in [0, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000] {
            assert_eq!(reconnect.after(&short), again(expected, true));
        }
        assert_eq!(reconnect.after(&Ended::WasOnline(HEALTHY)), again(0, true));
        assert_eq!(reconnect.after(&short), again(500, true));
    }

    #[test]
    fn five_failed_resumes_in_a_row_give_the_session_up() {
        let mut reconnect = Reconnect::default();
        let kept = |next| matches!(next, Next::Again { keep_session: true, .. });
        for round in 0..2 {
            for _ in 0..4 {
                assert!(kept(reconnect.after(&Ended::ResumeFailed)), "{round}");
            }
            assert!(!kept(reconnect.after(&Ended::ResumeFailed)), "{round}");
        }
        reconnect.after(&Ended::ResumeFailed);
        reconnect.after(&Ended::WasOnline(HEALTHY));
        assert!(
            (0..4).all(|_| kept(reconnect.after(&Ended::ResumeFailed))),
            "a healthy connection forgets them"
        );
    }

    #[test]
    fn after_an_outage_a_session_that_is_gone_does_not_wait_again() {
        let mut reconnect = Reconnect::default();
        for _ in 0..8 {
            reconnect.after(&Ended::NotConnected);
        }
        assert_eq!(reconnect.after(&Ended::SessionGone), again(0, true));
        assert_eq!(reconnect.after(&Ended::NotOnline), again(30_000, true), "but one that fails then does");
    }

    #[test]
    fn an_unreachable_discord_never_costs_a_session() {
        let mut reconnect = Reconnect::default();
        for _ in 0..50 {
            assert!(matches!(reconnect.after(&Ended::NotConnected), Next::Again { keep_session: true, .. }));
        }
    }

    #[test]
    fn a_ready_that_cannot_be_read_is_asked_for_ever_later_and_never_resumed() {
        let mut reconnect = Reconnect::default();
        for expected in [0, 500, 1_000] {
            assert_eq!(reconnect.after(&Ended::Unreadable), again(expected, false));
        }
    }

    #[test]
    fn close_codes_decide() {
        for code in [4004, 4010, 4011, 4012, 4013, 4014] {
            assert_eq!(Reconnect::default().after(&Ended::Closed(code)), Next::Refused(code));
        }
        for code in [4007, 4009] {
            assert_eq!(Reconnect::default().after(&Ended::Closed(code)), again(0, false));
        }
        for code in [1000, 1001, 1006, 4000, 4003, 4008] {
            assert_eq!(Reconnect::default().after(&Ended::Closed(code)), again(0, true));
        }
    }
}
