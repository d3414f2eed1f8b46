//! Sends replies: as an answer to the command's message, without mentions, and edited when the final text is known.
//!
//! From a [`Reply`] to REST calls through twilight. Discord's 429s are waited for where twilight knows whose limit it
//! is; where not, it would try again at once and without end, so a request is sent at most three times, and then all
//! replies of the pod wait for a moment that doubles ([`Brake`]). What fails on the way or in Discord is tried again, a
//! token that was refused is waited for; an answer that cannot be sent in half a minute is given up, logged and counted by
//! the caller. Each carries its message's id as nonce, so that a second try, and an event that is handled again after a
//! crash, get the earlier answer back instead of a second one
//! (<https://docs.discord.com/developers/resources/message#create-message>). Deliberately absent: answers kept for longer.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use shard_discord::is_unauthorized;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use twilight_http::{Response, error::ErrorType, response::ResponseFuture};
use twilight_model::{
    channel::Message,
    id::{
        Id,
        marker::{ChannelMarker, MessageMarker},
    },
};

use crate::{
    backoff::Backoff,
    command::{CommandError, Reply},
    context::Context,
    discord::few_tries,
    trouble::chain,
};

/// How long one text may take to be sent.
const SEND_WITHIN: Duration = Duration::from_secs(30);
/// The waits between tries of what failed on the way or in Discord.
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LONGEST_RETRY: Duration = Duration::from_secs(4);
/// Discord's limit, in characters.
const MOST_CHARACTERS: usize = 2_000;
/// How long replies wait after Discord refused one several times.
const FIRST_HOLD: Duration = Duration::from_secs(1);
/// The longest such wait.
const LONGEST_HOLD: Duration = Duration::from_secs(16);

/// A reply could not be sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplyError {
    #[error("Discord refused the reply")]
    Send(#[source] twilight_http::Error),
    #[error("could not read Discord's answer to the reply")]
    Read(#[source] twilight_http::response::DeserializeBodyError),
    #[error("the reply could not be sent within {SEND_WITHIN:?}")]
    Late,
}

/// Holds all replies of the pod while Discord refuses them with 429 and does not say whose limit it is.
#[derive(Debug, Default)]
pub(crate) struct Brake(Mutex<Option<(Instant, Backoff)>>);

impl Brake {
    fn until(&self) -> Option<Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(until, _)| *until)
    }

    fn refused(&self) {
        let mut brake = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let (until, holds) = brake.get_or_insert_with(|| (now, Backoff::new(FIRST_HOLD, LONGEST_HOLD)));
        if *until > now {
            // Another request of the same moment said so already.
            return;
        }
        let hold = holds.exact();
        tracing::warn!(?hold, "Discord refuses replies (429), holding them");
        *until = now + hold;
    }

    fn accepted(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
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
            return create(context, brake, to, &text, context.redelivered()).await.map(|_| Ok(()));
        }
        Reply::Later { first, then } => (first, then),
    };
    // The work does not wait for the first text's way to Discord and back.
    let (sent, outcome) = futures::join!(create(context, brake, to, &first, context.redelivered()), then);
    let ours = match sent?.model().await {
        Ok(ours) => ours,
        // Cut off or garbled on the way: the nonce brings the same message back.
        Err(_) => create(context, brake, to, &first, true).await?.model().await.map_err(ReplyError::Read)?,
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
    redelivered: bool,
) -> Result<Response<Message>, ReplyError> {
    let text = cut(text);
    let once = said_once(message, text);
    held(context, brake, |tried| {
        let http = context.http();
        let reply = http.create_message(channel);
        if redelivered || tried {
            // twilight's own fields are left out with it, and it knows no `enforce_nonce`.
            return reply.payload_json(&once).into_future();
        }
        reply.reply(message).fail_if_not_exists(false).nonce(message.get()).content(text).into_future()
    })
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
        |_| context.http().update_message(ours.channel_id, ours.id).content(Some(text)).into_future();
    held(context, brake, request).await.map(drop)
}

/// Sends a request when the brake allows, and again while that can help, within the time for one text. `request` is told
/// whether an earlier try may have reached Discord.
async fn held<T: Unpin>(
    context: &Context,
    brake: &Brake,
    request: impl Fn(bool) -> ResponseFuture<T>,
) -> Result<Response<T>, ReplyError> {
    let mut last = None;
    let sending = async {
        let (mut tried, mut backoff) = (false, Backoff::new(FIRST_RETRY, LONGEST_RETRY));
        loop {
            if let Some(until) = brake.until() {
                sleep_until(until).await;
            }
            let token = context.discord.token();
            let error = match few_tries(request(tried)).await {
                Ok(response) => {
                    brake.accepted();
                    return Ok(response);
                }
                Err(error) => error,
            };
            match error.kind() {
                ErrorType::RequestCanceled => brake.refused(),
                _ if is_unauthorized(&error) => {
                    last = Some(error);
                    context.discord.other_token(&token).await;
                }
                kind if may_help(kind) => {
                    tracing::debug!(error = %chain(&error), "a reply failed, trying again");
                    (tried, last) = (true, Some(error));
                    sleep(backoff.next(&context.random)).await;
                }
                _ => return Err(ReplyError::Send(error)),
            }
        }
    };
    let sent = timeout(SEND_WITHIN, sending).await;
    sent.unwrap_or_else(|_| Err(last.map_or(ReplyError::Late, ReplyError::Send)))
}

/// Whether another try may go better: it failed on the way, or in Discord itself.
fn may_help(kind: &ErrorType) -> bool {
    match kind {
        ErrorType::RequestError | ErrorType::RequestTimedOut => true,
        ErrorType::Response { status, .. } => status.is_server_error(),
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

    #[tokio::test(start_paused = true)]
    async fn the_brake_doubles_once_a_moment_and_lets_go_after_a_success() {
        let brake = Brake::default();
        let mut holds = Vec::new();
        for _ in 0..6 {
            brake.refused();
            brake.refused();
            let until = brake.until().unwrap();
            holds.push((until - Instant::now()).as_secs());
            sleep_until(until).await;
        }
        assert_eq!(holds, [1, 2, 4, 8, 16, 16]);
        brake.accepted();
        assert_eq!(brake.until(), None);
    }
}
