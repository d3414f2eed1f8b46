//! What others see of a pod: its rows of figures, and who reads them.
//!
//! Every other room writes to [`status`] and to the counters; health pages, metrics and reports are made of them. Deliberately absent: decisions.

pub(crate) mod job_counts;
pub(crate) mod status;

pub(crate) mod health;
pub(crate) mod metrics;
pub(crate) mod report;

pub(crate) mod telemetry;
