//! Sends replies: as an answer to the command's message, without mentions, and edited when the final text is known.
//!
//! From a [`Reply`] to REST calls, which twilight builds and [`shard_discord::Rest`] sends. A 429 of the route is waited for by its
//! limiter; one of all routes, or that does not say whose it is, holds all replies of the pod ([`brake`]). What fails on the way or in
//! Discord is tried again, a token that was refused is waited for; an answer that cannot be sent in half a minute is given up, logged
//! and counted by the caller. Each carries its message's id as a nonce that is enforced, so that of several tries, in whatever order
//! they arrive, and of an event that is handled again after a crash, one becomes a message and the others get it back
//! (<https://docs.discord.com/developers/resources/message#create-message>). Deliberately absent: answers kept for longer.

mod brake;

use std::time::Duration;

use shard_discord::{AskError, Request, Sent};
use tokio::time::{Instant, sleep, timeout};
use twilight_http::request::TryIntoRequest as _;
use twilight_model::{
    channel::Message,
    id::{
        Id,
        marker::{ChannelMarker, MessageMarker},
    },
};

pub(crate) use self::brake::Brake;
use crate::{
    edges::{backoff::Backoff, trouble::chain},
    work::{
        command::{CommandError, Reply},
        context::Context,
    },
};

/// How long one text may take to be sent.
const SEND_WITHIN: Duration = Duration::from_secs(30);
/// The waits between tries of what failed on the way or in Discord.
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LONGEST_RETRY: Duration = Duration::from_secs(4);
/// Discord's limit, in characters.
const MOST_CHARACTERS: usize = 2_000;
/// A reply could not be sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplyError {
    #[error("the reply cannot be sent")]
    Build(#[source] twilight_http::Error),
    #[error("Discord did not take the reply")]
    Send(#[source] AskError),
    #[error("could not read Discord's answer to the reply")]
    Read(#[source] serde_json::Error),
    #[error("the reply could not be sent within {SEND_WITHIN:?}")]
    Late,
}

/// Where a reply goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct To {
    pub(crate) channel: Id<ChannelMarker>,
    pub(crate) message: Id<MessageMarker>,
}

/// Sends a reply, its later text included. The inner result is the later text's: whether the command failed in the end.
pub(crate) async fn send(
    context: &Context,
    brake: &Brake,
    to: To,
    reply: Reply,
) -> Result<Result<(), CommandError>, ReplyError> {
    let (first, then) = match reply {
        Reply::Text(text) => {
            return create(context, brake, to, &text).await.map(|_| Ok(()));
        }
        Reply::Later { first, then } => (first, then),
    };
    // The work does not wait for the first text's way to Discord and back.
    let (sent, outcome) = futures::join!(create(context, brake, to, &first), then);
    let ours: Message = if let Ok(ours) = serde_json::from_slice(&sent?.body) {
        ours
    } else {
        // Garbled on the way: the nonce brings the same message back.
        let again = create(context, brake, to, &first).await?;
        serde_json::from_slice(&again.body).map_err(ReplyError::Read)?
    };
    let (text, outcome) = match outcome {
        Ok(text) => (text, Ok(())),
        Err(error) => (error.answer(), Err(error)),
    };
    edit(context, brake, &ours, &text).await?;
    Ok(outcome)
}

async fn create(
    context: &Context,
    brake: &Brake,
    To { channel, message }: To,
    text: &str,
) -> Result<Sent, ReplyError> {
    let once = said_once(message, cut(text));
    // twilight's own fields are left out with it, and it knows no `enforce_nonce`.
    held(context, brake, || context.http().create_message(channel).payload_json(&once).try_into_request())
        .await
}

/// A reply that Discord is to send only if it has not sent it in the last minutes.
fn said_once(message: Id<MessageMarker>, text: &str) -> Vec<u8> {
    let body = serde_json::json!({
        "content": text,
        "message_reference": { "message_id": message, "fail_if_not_exists": false },
        "allowed_mentions": { "parse": [] },
        "nonce": message.get(),
        "enforce_nonce": true,
    });
    body.to_string().into_bytes()
}

async fn edit(context: &Context, brake: &Brake, ours: &Message, text: &str) -> Result<(), ReplyError> {
    let text = cut(text);
    let request =
        || context.http().update_message(ours.channel_id, ours.id).content(Some(text)).try_into_request();
    held(context, brake, request).await.map(drop)
}

/// Sends a request when the brake allows, and again while that can help, within the time for one text.
async fn held(
    context: &Context,
    brake: &Brake,
    request: impl Fn() -> Result<Request, twilight_http::Error>,
) -> Result<Sent, ReplyError> {
    let deadline = Instant::now() + SEND_WITHIN;
    let mut last = None;
    let sending = async {
        let mut backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY);
        loop {
            let leave = brake
                .leave(deadline)
                .await
                .map_err(|limited| ReplyError::Send(AskError::Limited(limited)))?;
            let (token, rest) = (context.discord.token(), context.discord.rest());
            let error = match rest.send(&request().map_err(ReplyError::Build)?).await {
                Ok(sent) => {
                    leave.accepted();
                    return Ok(sent);
                }
                Err(error) => error,
            };
            match error {
                AskError::Limited(limited) if limited.scope.is_of_all_routes() => {
                    leave.limited(limited);
                    last = Some(AskError::Limited(limited));
                }
                // The limiter may know for how long.
                AskError::Limited(limited) => {
                    drop(leave);
                    last = Some(AskError::Limited(limited));
                    sleep(limited.after.unwrap_or_else(|| backoff.next(&context.random))).await;
                }
                AskError::TokenRefused => {
                    drop(leave);
                    last = Some(AskError::TokenRefused);
                    context.discord.usable_again(&token).await;
                }
                error if may_help(&error) => {
                    drop(leave);
                    tracing::debug!(error = %chain(&error), "a reply failed, trying again");
                    last = Some(error);
                    sleep(backoff.next(&context.random)).await;
                }
                error => {
                    leave.accepted();
                    return Err(ReplyError::Send(error));
                }
            }
        }
    };
    let sent = timeout(SEND_WITHIN, sending).await;
    sent.unwrap_or_else(|_| Err(last.map_or(ReplyError::Late, ReplyError::Send)))
}

/// Whether another try may go better: it failed on the way, or in Discord itself.
const fn may_help(error: &AskError) -> bool {
    match error {
        AskError::Failed(_) | AskError::Late => true,
        AskError::Refused { status, .. } => *status >= 500,
        _ => false,
    }
}

/// The text, at most as long as Discord takes it. Discord refuses an empty one.
fn cut(text: &str) -> &str {
    if text.trim().is_empty() {
        return "(nothing)";
    }
    text.char_indices().nth(MOST_CHARACTERS).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_to_what_discord_takes() {
        assert_eq!(cut(&"ä".repeat(3_000)).chars().count(), 2_000);
        assert_eq!(cut("short"), "short");
        assert_eq!(cut(" \n"), "(nothing)");
    }
}
