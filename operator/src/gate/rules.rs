//! The rules of the gate, pure: (state, now, request) -> grant or wait until.
//!
//! One IDENTIFY per bucket in 5 s over the whole token ([`shard_contract::buckets`]), never beyond the daily budget ([`budget`]), never near
//! a pod that may be on the fallback schedule ([`fallback`]); a shard that keeps failing waits ([`backoff`]), and so does a fleet that burns
//! IDENTIFYs ([`breaker`]). A grant is good for 3 s; one whose outcome is never told counts as failed after a minute. Who is
//! served first, [`queue`] says. All times but travel follow Discord's pace. Deliberately absent: a clock, channels, and what
//! a pod may ask for, which is checked before.

pub mod backoff;
pub mod breaker;
pub mod budget;
pub mod clock;
pub mod fallback;
pub mod queue;
pub mod state;

pub use budget::Limits;
pub use clock::{DiscordTime, Millis};
pub use queue::{Next, Queue};
pub use state::{Decision, Request, State};
