//! What a pod has from outside: its configuration, Kubernetes, Discord's REST API, the operator; and how it asks again.
//!
//! Each is asked in a file of its own, which names what was attempted where it fails. Nothing here knows of another room.

pub(crate) mod config;
pub(crate) mod token;

pub(crate) mod kubernetes;
pub(crate) mod layouts;

pub(crate) mod discord;
pub(crate) mod operator;
pub(crate) mod resolver;

pub(crate) mod backoff;
pub(crate) mod close_codes;
pub(crate) mod kept;
pub(crate) mod trouble;
