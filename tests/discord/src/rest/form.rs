//! Bodies: JSON, a multipart form with files, or a form as of an HTML page; a form says its JSON in `payload_json`, or is fields.
//!
//! From: header and body. For: the routes that take one. Files are measured and named, not kept. Source: Discord,
//! `developers/reference.mdx` "HTTP API" (the three content types) and "Uploading Files", and RFC 7578. Not by multer, which takes
//! a `name=` inside a file's quoted name for the part's. Deliberately absent: streams; the body is bounded anyway.

use std::borrow::Cow;

use axum::http::{HeaderMap, header};
use axum::response::Response;
use memchr::memmem;
use serde_json::{Value, json};
use thiserror::Error;

use super::answer::{invalid_form, invalid_json};
use crate::form_errors::{FormErrors, Object};

/// Files that a message may have.
const MOST_FILES: usize = 10;
/// Characters of a boundary, as RFC 2046 has it.
const LONGEST_BOUNDARY: usize = 70;
/// Characters of a file's name and of its type that are kept.
const LONGEST_NAME: usize = 260;

/// What a body says.
#[derive(Debug)]
pub struct Form {
    /// The JSON part.
    pub payload: Object,
    /// The files, as attachments of a message.
    pub attachments: Vec<Value>,
}

/// Why a body cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unreadable {
    /// It is of another type than those that Discord takes.
    #[error(
        "Expected \"Content-Type\" header to be one of {{'application/x-www-form-urlencoded', 'application/json', \
         'multipart/form-data'}}."
    )]
    ContentType,
    /// It says to be a form and does not say how its parts are told apart.
    #[error("The form's Content-Type has no boundary of 1 to 70 characters.")]
    NoBoundary,
    /// It is a form that just ends.
    #[error("The form does not end with its boundary.")]
    NoEnd,
    /// It is no JSON, or none of the kind that is wanted.
    #[error("The request body contains invalid JSON.")]
    Json,
}

impl Unreadable {
    /// As Discord says it.
    pub fn answer(self) -> Response {
        match self {
            Self::Json => invalid_json(&self.to_string()),
            _ => invalid_form(&FormErrors::of("", "CONTENT_TYPE_INVALID", self.to_string())),
        }
    }
}

/// Reads a body that is any JSON, such as a list.
pub fn read_json(headers: &HeaderMap, body: &[u8]) -> Result<Value, Unreadable> {
    Ok(read(headers, body)?.0)
}

/// Reads a body that is an object, with files or without.
pub fn read_form(headers: &HeaderMap, body: &[u8]) -> Result<Form, Unreadable> {
    match read(headers, body)? {
        (Value::Object(payload), attachments) => Ok(Form { payload, attachments }),
        _ => Err(Unreadable::Json),
    }
}

/// The JSON of a body and its files, whatever it is written as.
fn read(headers: &HeaderMap, body: &[u8]) -> Result<(Value, Vec<Value>), Unreadable> {
    let kind = kind(headers);
    match kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "application/json" => Ok((serde_json::from_slice(body).map_err(|_| Unreadable::Json)?, Vec::new())),
        "application/x-www-form-urlencoded" => Ok((said(form_urlencoded::parse(body))?, Vec::new())),
        "multipart/form-data" => {
            let boundary = parameter(kind, "boundary").filter(|boundary| boundary.len() <= LONGEST_BOUNDARY);
            let boundary = boundary.ok_or(Unreadable::NoBoundary)?;
            let parts = split(body, &boundary).ok_or(Unreadable::NoEnd)?;
            let (files, fields): (Vec<_>, Vec<_>) = parts.iter().partition(|part| part.is_file());
            let fields = fields
                .into_iter()
                .map(|part| (Cow::Borrowed(part.name.as_str()), String::from_utf8_lossy(part.content)));
            let files = files.into_iter().take(MOST_FILES).enumerate().map(attachment);
            Ok((said(fields)?, files.collect()))
        }
        _ => Err(Unreadable::ContentType),
    }
}

/// What a form's fields say: the JSON of `payload_json` where there is one, else an object of texts.
fn said<'a>(fields: impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)>) -> Result<Value, Unreadable> {
    let mut object = Object::new();
    for (name, value) in fields {
        if name == "payload_json" {
            return serde_json::from_str(&value).map_err(|_| Unreadable::Json);
        }
        object.insert(name.into_owned(), value.into_owned().into());
    }
    Ok(Value::Object(object))
}

fn kind(headers: &HeaderMap) -> &str {
    headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default()
}

struct Part<'a> {
    name: String,
    file: Option<String>,
    kind: Option<String>,
    content: &'a [u8],
}

impl Part<'_> {
    /// Discord's own name for files is `files[n]`; whatever has a file's name is one too.
    fn is_file(&self) -> bool {
        self.name.starts_with("files[") || self.file.is_some() && self.name != "payload_json"
    }
}

fn split<'a>(body: &'a [u8], boundary: &str) -> Option<Vec<Part<'a>>> {
    let delimiter = format!("--{boundary}");
    let mut rest = &body[find(body, delimiter.as_bytes())? + delimiter.len()..];
    let line = format!("\r\n{delimiter}");
    let next = memmem::Finder::new(&line);
    let mut parts = Vec::new();
    while !rest.starts_with(b"--") {
        let end = next.find(rest)?;
        parts.extend(part(rest.get(2..end)?));
        rest = &rest[end + 2 + delimiter.len()..];
    }
    Some(parts)
}

fn part(part: &[u8]) -> Option<Part<'_>> {
    let end = find(part, b"\r\n\r\n")?;
    let head = std::str::from_utf8(&part[..end]).ok()?;
    let line = |wanted: &str| {
        let named = head.split("\r\n").filter_map(|line| line.split_once(':'));
        named
            .filter(|(name, _)| name.trim().eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value.trim())
            .next()
    };
    let disposition = line("content-disposition")?;
    Some(Part {
        name: parameter(disposition, "name")?,
        file: parameter(disposition, "filename").map(|name| cut(&name)),
        kind: line("content-type").map(cut),
        content: &part[end + 4..],
    })
}

fn attachment((index, part): (usize, &Part<'_>)) -> Value {
    let name = part.file.as_deref().unwrap_or("unknown");
    let url = format!("https://cdn.discordapp.invalid/attachments/{index}/{name}");
    json!({
        "id": index.to_string(), "filename": name, "size": part.content.len(), "url": url, "proxy_url": url,
        "content_type": part.kind,
    })
}

/// A parameter of a header's value, quoted or not.
fn parameter(value: &str, name: &str) -> Option<String> {
    let (mut is_quoted, mut was_backslash) = (false, false);
    let parts = value.split(|c| {
        // Quotes may hold semicolons, and quotes after a backslash.
        let is_escaped = std::mem::take(&mut was_backslash);
        was_backslash = is_quoted && c == '\\' && !is_escaped;
        is_quoted ^= c == '"' && !is_escaped;
        c == ';' && !is_quoted
    });
    let parameters = parts.skip(1).filter_map(|parameter| parameter.split_once('='));
    let mut named = parameters.filter(|(found, _)| found.trim().eq_ignore_ascii_case(name));
    let value = named.next()?.1.trim();
    let value = value.strip_prefix('"').map_or(value, |value| value.strip_suffix('"').unwrap_or(value));
    (!value.is_empty()).then(|| value.replace("\\\"", "\""))
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST_NAME).collect()
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    memmem::find(haystack, needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: &str, body: &str) -> Result<Form, Unreadable> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
        read_form(&headers, body.as_bytes())
    }

    #[test]
    fn a_form_gives_its_json_and_its_files() {
        let body = "--X\r\nContent-Disposition: form-data; name=\"payload_json\"\r\nContent-Type: application/json\r\n\r\n\
                    {\"content\":\"hi\"}\r\n--X\r\nContent-Disposition: form-data; name=\"files[0]\"; filename=\"a.txt\"\r\n\r\n\
                    line\r\n--not\r\n--X--\r\n";
        let form = read("multipart/form-data; boundary=X", body).unwrap();
        assert_eq!(form.payload["content"], "hi");
        assert_eq!(form.attachments.len(), 1);
        assert_eq!(
            (form.attachments[0]["filename"].as_str(), form.attachments[0]["size"].as_u64()),
            (Some("a.txt"), Some(11))
        );
    }

    #[test]
    fn a_form_without_files_is_read_by_its_payload_or_by_its_fields() {
        let multipart = "--X\r\nContent-Disposition: form-data; name=\"content\"\r\n\r\nhi there\r\n--X--";
        let table = [
            ("application/x-www-form-urlencoded", "payload_json=%7B%22content%22%3A+%22hi+there%22%7D"),
            ("application/x-www-form-urlencoded; charset=utf-8", "tts=false&content=hi+there"),
            ("Application/X-WWW-Form-URLEncoded", "content=hi%20there"),
            ("multipart/form-data; boundary=X", multipart),
        ];
        for (kind, body) in table {
            let form = read(kind, body).unwrap();
            assert_eq!((&form.payload["content"], form.attachments.len()), (&"hi there".into(), 0), "{kind}");
        }
    }

    #[test]
    fn a_files_name_may_have_semicolons_and_quotes_and_is_cut_where_it_is_too_long() {
        let long = "n".repeat(1000);
        let table = [
            (r#""a; name=b.txt""#, "a; name=b.txt"),
            (r#""a\"; b.txt""#, "a\"; b.txt"),
            ("plain.txt", "plain.txt"),
            (long.as_str(), &long[..LONGEST_NAME]),
        ];
        for (written, name) in table {
            let body = format!(
                "--X\r\nContent-Disposition: form-data; filename={written}; name=\"files[0]\"\r\n\r\n\r\n--X--\r\n"
            );
            let form = read("multipart/form-data; boundary=X", &body).unwrap();
            assert_eq!(form.attachments[0]["filename"], name, "{written}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let long = format!("multipart/form-data; boundary={}", "b".repeat(LONGEST_BOUNDARY + 1));
        let table = [
            ("text/plain", "{}", "Content-Type"),
            ("application/jsonp", "{}", "Content-Type"),
            ("application/json", "{", "invalid JSON"),
            ("application/x-www-form-urlencoded", "payload_json=%7B", "invalid JSON"),
            ("application/x-www-form-urlencoded", "payload_json=[]", "invalid JSON"),
            ("application/json", "[]", "invalid JSON"),
            (
                "multipart/form-data; boundary=X",
                "--X\r\nContent-Disposition: form-data; name=\"payload_json\"\r\n\r\n{\r\n--X--",
                "invalid JSON",
            ),
            ("multipart/form-data", "", "no boundary"),
            (long.as_str(), "", "no boundary of 1 to 70"),
            ("multipart/form-data; boundary=X", "--X\r\n", "does not end"),
            ("multipart/form-data; boundary=X", "", "does not end"),
        ];
        for (kind, body, expected) in table {
            let error = read(kind, body).unwrap_err().to_string();
            assert!(error.contains(expected), "{kind} {body}: {error}");
        }
    }
}

#[cfg(test)]
mod properties;
