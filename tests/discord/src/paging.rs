//! Pages of long lists: `limit`, `before`, `after`, `around` of a query, checked.
//!
//! From: a query's parameters. For: messages, guilds, members, reactions. Source: Discord, `developers/reference.mdx` "Snowflake
//! IDs in Pagination". Deliberately absent: the lists, and how a query is written.

use std::collections::HashMap;

use crate::form_errors::FormErrors;
use crate::snowflake::Snowflake;

/// Which part of a list is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// At most so many.
    pub limit: usize,
    /// Only ids below.
    pub before: Option<Snowflake>,
    /// Only ids above.
    pub after: Option<Snowflake>,
    /// Ids about this one.
    pub around: Option<Snowflake>,
}

/// Reads a page of at most `most` entries; `usual` without a limit.
pub fn read(parameters: &HashMap<String, String>, usual: usize, most: usize) -> Result<Page, FormErrors> {
    let mut errors = FormErrors::default();
    let limit = match parameters.get("limit").map(|text| text.parse::<usize>()) {
        None => usual,
        Some(Ok(limit)) if (1..=most).contains(&limit) => limit,
        Some(Ok(_)) => {
            errors.add("limit", "NUMBER_TYPE_RANGE", format!("int value should be between 1 and {most}."));
            usual
        }
        Some(Err(_)) => {
            errors.add("limit", "NUMBER_TYPE_COERCE", "Value is not int.");
            usual
        }
    };
    let mut id = |field: &str| {
        let text = parameters.get(field)?;
        let id = text.parse().map(Snowflake).ok();
        if id.is_none() {
            errors.add(field, "NUMBER_TYPE_COERCE", "Value is not snowflake.");
        }
        id
    };
    let page = Page { limit, before: id("before"), after: id("after"), around: id("around") };
    errors.result(page)
}

impl Page {
    /// The wanted part of ids that rise: after `after`, else the last ones before `before`, else the first ones.
    pub fn of<T>(&self, all: impl DoubleEndedIterator<Item = T>, id: impl Fn(&T) -> Snowflake) -> Vec<T> {
        let inside = |entry: &T| {
            self.after.is_none_or(|after| id(entry) > after)
                && self.before.is_none_or(|before| id(entry) < before)
        };
        if self.before.is_some() && self.after.is_none() {
            let mut last: Vec<_> = all.rev().filter(inside).take(self.limit).collect();
            last.reverse();
            return last;
        }
        all.filter(inside).take(self.limit).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(query: &str) -> Result<Page, FormErrors> {
        let parameters = query.split('&').filter_map(|pair| pair.split_once('='));
        read(&parameters.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(), 50, 100)
    }

    #[test]
    fn a_limit_out_of_range_and_ids_that_are_none_are_wrong() {
        for (query, expected) in [
            ("", true),
            ("limit=1&after=7", true),
            ("limit=100", true),
            ("limit=0", false),
            ("limit=101", false),
            ("limit=x", false),
            ("after=x", false),
            ("around=-1", false),
        ] {
            assert_eq!(page(query).is_ok(), expected, "{query}");
        }
    }

    #[test]
    fn pages_follow_each_other_in_both_directions() {
        let of = |query: &str| page(query).unwrap().of((1..=9).map(Snowflake), |id| *id);
        assert_eq!(of("limit=3"), [1, 2, 3].map(Snowflake));
        assert_eq!(of("limit=3&after=3"), [4, 5, 6].map(Snowflake));
        assert_eq!(of("limit=3&before=9"), [6, 7, 8].map(Snowflake));
    }
}
