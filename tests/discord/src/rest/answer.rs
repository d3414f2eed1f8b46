//! Answers: JSON with exactly the content type that discord.py compares with, and Discord's errors.
//!
//! From: the routes. For: clients. Source: Discord, `developers/topics/opcodes-and-status-codes.mdx` "JSON".
//! Deliberately absent: rate-limit headers (`rest/limits.rs`).

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};

use crate::discord::talk::Refused;

/// A JSON body, `application/json` without a charset.
pub fn answer(status: StatusCode, value: &Value) -> Response {
    let mut response = Response::new(Body::from(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// 200 with a JSON body.
pub fn ok(value: &Value) -> Response {
    answer(StatusCode::OK, value)
}

/// 204.
pub fn no_content() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// Discord's error body.
pub fn error(status: StatusCode, code: u32, message: &str) -> Response {
    answer(status, &json!({ "message": message, "code": code }))
}

/// 401.
pub fn unauthorized() -> Response {
    error(StatusCode::UNAUTHORIZED, 0, "401: Unauthorized")
}

/// 50035 with the field that is wrong.
pub fn invalid_form(field: &str, code: &str, message: &str) -> Response {
    let errors = json!({ field: { "_errors": [{ "code": code, "message": message }] } });
    answer(
        StatusCode::BAD_REQUEST,
        &json!({ "message": "Invalid Form Body", "code": 50035, "errors": errors }),
    )
}

/// Why a bot's word was not taken, in Discord's codes.
pub(crate) fn refused(why: Refused) -> Response {
    match why {
        Refused::UnknownChannel => error(StatusCode::NOT_FOUND, 10003, "Unknown Channel"),
        Refused::UnknownMessage => error(StatusCode::NOT_FOUND, 10008, "Unknown Message"),
        Refused::UnknownReference => {
            invalid_form("message_reference", "REPLIES_UNKNOWN_MESSAGE", "Unknown message")
        }
        Refused::NotTheAuthor => {
            error(StatusCode::FORBIDDEN, 50005, "Cannot edit a message authored by another user")
        }
        Refused::NotInDirectMessages => {
            error(StatusCode::FORBIDDEN, 50003, "Cannot execute action on a DM channel")
        }
    }
}
