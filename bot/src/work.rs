//! What events lead to: dispatch, commands, jobs, replies.

pub(crate) mod dispatch;
pub(crate) mod registry;

pub(crate) mod command;
pub(crate) mod context;

pub(crate) mod jobs;
pub(crate) mod reply;
