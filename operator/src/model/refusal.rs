//! Why no pod of a set could be made.
//!
//! As its controller says it in an event. Deliberately absent: pods that exist and do not run, which say why themselves.

/// The last such word of one set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Number of the set's layout.
    pub layout: u32,
    /// What was said, cut to a length that a status can quote.
    pub said: String,
    /// Whether there is only no room for it beside the pods that run.
    pub lacks_room: bool,
}
