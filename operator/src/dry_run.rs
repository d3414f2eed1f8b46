//! What is only tried: where it is sent, and what its refusal says.
//!
//! For the two edges that try, `observe` and `apply`. Deliberately absent: what follows from a refusal.

use crate::names::MANAGER;
use kube::core::Status;

/// Where a creation is only tried, strictly: what the API server does not know is an error. By hand, since kube's parameters of a creation
/// have no strict validation; a dry run of server-side apply has, but answers a misspelt field with 500.
#[must_use]
pub fn path(collection: &str) -> String {
    format!("{collection}?dryRun=All&fieldValidation=Strict&fieldManager={MANAGER}")
}

/// Whether the answer speaks of the content and will be the same next time.
#[must_use]
pub fn is_refusal(answer: &Status) -> bool {
    matches!(answer.code, 400 | 403 | 422) && !is_without_right(answer)
}

/// Whether the operator has no right to ask.
#[must_use]
pub fn is_without_right(answer: &Status) -> bool {
    answer.message.contains("is forbidden: User ")
}

/// Without the API server's preamble about Go types.
#[must_use]
pub fn plain(message: &str) -> &str {
    message.split_once("strict decoding error: ").map_or(message, |(_, told)| told)
}
