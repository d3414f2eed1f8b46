//! The reference bot's commands, one a file.

mod fib;
mod ping;
mod shards;

pub use self::{fib::Fib, ping::Ping, shards::Shards};
