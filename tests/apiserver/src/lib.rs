//! An API server in memory: what the real kube-apiserver answers, as far as this project asks, in one thread on a paused clock.
//!
//! From requests of `kube::Client` to answers, watches and a trace of all writes; the same calls give the same answers, version
//! by version and UID by UID. The conformance test of `shard-tests` plays one script on this and on the real one, and fails
//! where they differ. Deliberately absent: authorization, admission webhooks, controllers (a garbage collector runs when a test
//! says so), protobuf, tables, aggregated APIs, compression, discovery, exec and logs.

mod address;
mod checks;
mod clock;
mod collect;
mod decode;
mod defaults;
mod delete;
mod duplicates;
mod fields;
mod hooks;
mod kinds;
mod list;
mod managers;
mod meta;
mod names;
mod patch;
mod pods;
mod read;
mod rules;
mod scale;
mod schema;
mod selectors;
mod server;
mod service;
mod status;
mod store;
mod strategic;
mod tokens;
mod typed;
mod validate;
mod watch;
mod write;

pub use clock::Clock;
pub use defaults::{LEFT_OUT, LeftOut};
pub use hooks::{After, Before, Call, Hook, Written};
pub use schema::SchemaError;
pub use server::{Options, Server};
pub use service::{Broken, Service};
