//! What a foreign body says, in one line.
//!
//! From Discord's JSON to its message and code, and from anything else to its first line, cut; for errors that people read.
//! Deliberately absent: what follows from it.

use serde::Deserialize;

/// The longest line, in characters.
const LONGEST: usize = 120;

/// What Discord's own errors say.
#[derive(Deserialize)]
struct Said {
    message: String,
    code: Option<u64>,
}

/// What it says, in one line of printable characters.
pub(crate) fn first_line(body: &[u8]) -> String {
    if let Ok(Said { message, code }) = serde_json::from_slice(body) {
        let code = code.filter(|code| *code != 0).map(|code| format!(" ({code})")).unwrap_or_default();
        return format!("{}{code}", cut(&message));
    }
    let text = String::from_utf8_lossy(&body[..body.len().min(LONGEST * 40)]).into_owned();
    // The title of a page says more than its first line.
    let title =
        text.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>")).map(|(title, _)| title);
    let line = title.or_else(|| text.lines().find(|line| !line.trim().is_empty()));
    line.map_or_else(|| "nothing".to_owned(), cut)
}

fn cut(text: &str) -> String {
    let printable = text.trim().chars().map(|one| if one.is_control() { ' ' } else { one });
    let mut line: String = printable.take(LONGEST).collect();
    if text.trim().chars().nth(LONGEST).is_some() {
        line.push_str("...");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn discords_errors_and_foreign_pages_are_one_line() {
        let long = format!("\n{}\nmore", "x".repeat(500));
        for (body, expected) in [
            (r#"{"message":"Unknown Channel","code":10003}"#, "Unknown Channel (10003)".to_owned()),
            (r#"{"message":"401: Unauthorized","code":0}"#, "401: Unauthorized".to_owned()),
            (
                "<!DOCTYPE html>\n<html><head><title>Access denied | discord.com</title>",
                "Access denied | discord.com".to_owned(),
            ),
            (&long, format!("{}...", "x".repeat(LONGEST))),
            ("a\u{7}b", "a b".to_owned()),
            ("", "nothing".to_owned()),
        ] {
            assert_eq!(first_line(body.as_bytes()), expected);
        }
    }
}
