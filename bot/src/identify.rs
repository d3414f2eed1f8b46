//! The permission for an IDENTIFY: from the gate, or by the fallback schedule when no gate answers.

pub(crate) mod fallback;
pub(crate) mod gate;
