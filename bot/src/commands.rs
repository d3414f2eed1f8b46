//! The reference bot's commands, one a file.

mod fib;
mod panic;
mod ping;
mod shards;

pub use self::{fib::Fib, panic::Panic, ping::Ping, shards::Shards};
