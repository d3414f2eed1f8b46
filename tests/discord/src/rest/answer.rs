//! Answers: JSON with exactly the content type that discord.py compares with, and Discord's errors. As at Discord they came
//! `Via` a proxy: where a 429 does not say so, discord.py takes it for a ban.
//!
//! From: the routes. For: clients. Source: Discord, `developers/topics/opcodes-and-status-codes.mdx` "JSON".
//! Deliberately absent: rate-limit headers (`rest/limits.rs`), answers that are damaged on purpose (`rest/damage.rs`).

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};

use crate::commands::NotTaken;
use crate::discord::talk::Refused;
use crate::form_errors::FormErrors;
use crate::interactions::Closed;

/// A JSON body, `application/json` without a charset.
pub fn answer(status: StatusCode, value: &Value) -> Response {
    let mut response = Response::new(Body::from(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    via(response)
}

/// 200 with a JSON body.
pub fn ok(value: &Value) -> Response {
    answer(StatusCode::OK, value)
}

/// 204.
pub fn no_content() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    via(response)
}

fn via(mut response: Response) -> Response {
    response.headers_mut().insert(header::VIA, HeaderValue::from_static("1.1 google"));
    response
}

/// A `Date`, as RFC 9110 section 5.6.7 writes it; the second has begun.
pub fn date(unix_ms: i64) -> HeaderValue {
    let time = jiff::Timestamp::from_millisecond(unix_ms).unwrap_or_default();
    let text = time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"))
}

/// Discord's error body.
pub fn error(status: StatusCode, code: u32, message: &str) -> Response {
    answer(status, &json!({ "message": message, "code": code }))
}

/// 401.
pub fn unauthorized() -> Response {
    error(StatusCode::UNAUTHORIZED, 0, "401: Unauthorized")
}

/// 403 of what the bot may not view, or not ask for.
pub fn missing_access() -> Response {
    error(StatusCode::FORBIDDEN, 50001, "Missing Access")
}

/// 404 of a guild.
pub fn unknown_guild() -> Response {
    error(StatusCode::NOT_FOUND, 10004, "Unknown Guild")
}

/// 400 because the body is no JSON at all.
pub fn invalid_json(text: &str) -> Response {
    error(StatusCode::BAD_REQUEST, 50109, text)
}

/// 413.
pub fn too_large() -> Response {
    error(StatusCode::PAYLOAD_TOO_LARGE, 40005, "Request entity too large")
}

/// 50035 with every field that is wrong.
pub fn invalid_form(errors: &FormErrors) -> Response {
    let body = json!({ "message": "Invalid Form Body", "code": 50035, "errors": errors.tree() });
    answer(StatusCode::BAD_REQUEST, &body)
}

/// Why a bot's word was not taken, in Discord's codes.
pub(crate) fn refused(why: Refused) -> Response {
    let not_found = |code, message| error(StatusCode::NOT_FOUND, code, message);
    match why {
        Refused::UnknownChannel => not_found(10003, "Unknown Channel"),
        Refused::UnknownMessage => not_found(10008, "Unknown Message"),
        Refused::UnknownEmoji => not_found(10014, "Unknown Emoji"),
        Refused::UnknownReference => {
            let errors = FormErrors::of("message_reference", "REPLIES_UNKNOWN_MESSAGE", "Unknown message");
            invalid_form(&errors)
        }
        Refused::Empty => error(StatusCode::BAD_REQUEST, 50006, "Cannot send an empty message"),
        Refused::TooManyReactions => {
            error(StatusCode::BAD_REQUEST, 30010, "Maximum number of reactions reached (20)")
        }
        Refused::NotTheAuthor => {
            error(StatusCode::FORBIDDEN, 50005, "Cannot edit a message authored by another user")
        }
        Refused::NotInDirectMessages => {
            error(StatusCode::FORBIDDEN, 50003, "Cannot execute action on a DM channel")
        }
        Refused::MissingAccess => missing_access(),
        Refused::NotText => {
            error(StatusCode::BAD_REQUEST, 50008, "Cannot send messages in a non-text channel")
        }
        Refused::Interaction(Closed::Unknown) => not_found(10062, "Unknown interaction"),
        Refused::Interaction(Closed::NoWebhook) => not_found(10015, "Unknown Webhook"),
        Refused::Interaction(Closed::BadToken) => {
            error(StatusCode::UNAUTHORIZED, 50027, "Invalid Webhook Token")
        }
        Refused::Interaction(Closed::Acknowledged) => {
            error(StatusCode::BAD_REQUEST, 40060, "Interaction has already been acknowledged.")
        }
    }
}

/// Why a command was not taken, in Discord's codes; `retry_after` is the wait in real seconds.
pub fn not_taken(why: NotTaken, retry_after: f64) -> Response {
    match why {
        NotTaken::TooMany(most) => {
            let message = format!("Maximum number of application commands reached ({most}).");
            error(StatusCode::BAD_REQUEST, 30032, &message)
        }
        NotTaken::TooManyToday(_) => {
            let message = "Max number of daily application command creates has been reached (200)";
            let body =
                json!({ "message": message, "code": 30034, "retry_after": retry_after, "global": false });
            answer(StatusCode::TOO_MANY_REQUESTS, &body)
        }
        NotTaken::NameTaken => {
            let message = "Application command names must be unique";
            invalid_form(&FormErrors::of("name", "APPLICATION_COMMANDS_DUPLICATE_NAME", message))
        }
        NotTaken::Unknown => error(StatusCode::NOT_FOUND, 10063, "Unknown application command"),
    }
}
