//! Sessions that outlive the process: who owns one, how far its events were handled, and when a pod must let go of it.

pub(crate) mod progress;
pub(crate) mod records;

pub(crate) mod fence;
pub(crate) mod peers;
