//! What follows the question mark, and ids in paths, read leniently as Discord does.
//!
//! From: a request's URI. For: the routes. Deliberately absent: pages (`page.rs`), bodies (`rest/draft.rs`).

use std::collections::HashMap;

use axum::extract::Query;
use axum::http::Uri;
use axum::response::Response;

use super::answer::invalid_form;
use crate::paging::{self, Page};
use crate::snowflake::Snowflake;

/// The parameters of a query; none where it cannot be read.
pub fn parameters(uri: &Uri) -> HashMap<String, String> {
    Query::try_from_uri(uri).map(|Query(parameters)| parameters).unwrap_or_default()
}

/// Whether a boolean of the query is true, in one of Discord's spellings.
pub fn is_set(uri: &Uri, field: &str) -> bool {
    let value = parameters(uri).remove(field).unwrap_or_default();
    matches!(value.as_str(), "true" | "True" | "1")
}

/// The page that is asked for.
pub fn page(uri: &Uri, usual: usize, most: usize) -> Result<Page, Box<Response>> {
    Ok(paging::read(&parameters(uri), usual, most).map_err(|errors| invalid_form(&errors))?)
}

/// An id of a path; 0, which nothing has, where it is none.
pub fn id(text: &str) -> Snowflake {
    Snowflake(text.parse().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_are_read_in_discords_spellings() {
        for (query, expected) in
            [("w=true", true), ("w=1", true), ("w=True", true), ("w=false", false), ("", false)]
        {
            assert_eq!(is_set(&format!("/x?{query}").parse().unwrap(), "w"), expected, "{query}");
        }
    }
}
