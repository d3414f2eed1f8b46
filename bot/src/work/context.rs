//! What a handler or a command may use: jobs, Discord's REST API, and what is known of the pod's shards.
//!
//! Handed to every call; cheap to clone. Deliberately absent: sockets, sessions, the gate, the token.

use std::sync::Arc;

use shard_machine::Random;
use twilight_http::Client;

use crate::{
    edges::discord::Discord,
    seen::status::{ShardStatus, Status},
    work::jobs::Jobs,
};

/// What a handler or a command may use.
#[derive(Clone, Debug)]
pub struct Context {
    pub(crate) jobs: Jobs,
    pub(crate) discord: Arc<Discord>,
    pub(crate) status: Arc<Status>,
    pub(crate) shard: u32,
    pub(crate) redelivered: bool,
    pub(crate) random: Random,
}

impl Context {
    /// The pod's CPU jobs: `ctx.jobs().run(move || fib(n)).await`.
    pub const fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// Discord's REST API. Not to be kept: after the token was replaced there is another one. (Mind that twilight
    /// tries a request again at once and without end on a 429 that does not say whose limit it is.)
    pub fn http(&self) -> Arc<Client> {
        self.discord.client()
    }

    /// What is known of this pod's shards now, by rising id.
    pub fn shards(&self) -> Vec<ShardStatus> {
        self.status.all()
    }

    /// The shard that received the event.
    pub const fn shard(&self) -> u32 {
        self.shard
    }

    /// Whether this event may have been handled before: the process that had begun to handle it crashed before it was
    /// done, and nobody knows how far it came; or duty passed between two fleets just then, and the other may have handled it. Replies of commands are not said twice even then (Discord is asked to return
    /// the earlier one). Whatever else the handler does once more should be harmless, or looked up first: has that row been
    /// written, has that role been given? Where neither is possible, leaving it is for the author to choose.
    pub const fn redelivered(&self) -> bool {
        self.redelivered
    }

    /// The number Discord routes by, over all pods.
    pub fn total(&self) -> u32 {
        self.status.total()
    }
}
