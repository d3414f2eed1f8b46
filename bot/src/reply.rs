//! Sends replies: as an answer to the command's message, without mentions, and edited when the final text is known.
//!
//! From a [`Reply`] to REST calls through twilight. Discord's 429s are waited for where twilight knows whose limit it
//! is; where not, it would try again at once and without end, so a request is sent at most three times, and then all
//! replies of the pod wait for a moment that doubles ([`Brake`]). An answer that cannot be sent in half a minute is
//! given up, logged and counted by the caller. Each carries its message's id as nonce, so that an event that is handled
//! again after a crash gets the earlier answer back instead of a second one
//! (<https://docs.discord.com/developers/resources/message#create-message>). Deliberately absent: a second try after a
//! timeout, which could say a thing twice.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until, timeout};
use twilight_http::{Response, error::ErrorType, response::ResponseFuture};
use twilight_model::{
    channel::Message,
    id::{
        Id,
        marker::{ChannelMarker, MessageMarker},
    },
};

use crate::{
    command::{CommandError, Reply},
    context::Context,
    discord::few_tries,
};

/// How long one text may take to be sent.
const SEND_WITHIN: Duration = Duration::from_secs(30);
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
pub(crate) struct Brake(Mutex<Option<(Instant, Duration)>>);

impl Brake {
    fn until(&self) -> Option<Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).map(|(until, _)| until)
    }

    fn refused(&self) {
        let mut brake = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let hold = match *brake {
            // Another request of the same moment said so already.
            Some((until, _)) if until > now => return,
            Some((_, hold)) => (hold * 2).min(LONGEST_HOLD),
            None => FIRST_HOLD,
        };
        tracing::warn!(?hold, "Discord refuses replies (429), holding them");
        *brake = Some((now + hold, hold));
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
        Reply::Text(text) => return create(context, brake, to, &text).await.map(|_| Ok(())),
        Reply::Later { first, then } => (first, then),
    };
    // The work does not wait for the first text's way to Discord and back.
    let (sent, outcome) = futures::join!(create(context, brake, to, &first), then);
    let ours = sent?.model().await.map_err(ReplyError::Read)?;
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
) -> Result<Response<Message>, ReplyError> {
    let text = cut(text);
    let once = context.again().then(|| said_once(message, text));
    held(brake, || {
        let http = context.http();
        let reply = http.create_message(channel);
        match &once {
            // twilight's own fields are left out with it, and it knows no `enforce_nonce`.
            Some(payload) => reply.payload_json(payload).into_future(),
            None => reply
                .reply(message)
                .fail_if_not_exists(false)
                .nonce(message.get())
                .content(text)
                .into_future(),
        }
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
    held(brake, || context.http().update_message(ours.channel_id, ours.id).content(Some(text)).into_future())
        .await
        .map(drop)
}

/// Sends a request when the brake allows, again only after 429s, and within the time for one text.
async fn held<T: Unpin>(
    brake: &Brake,
    request: impl Fn() -> ResponseFuture<T>,
) -> Result<Response<T>, ReplyError> {
    let sending = async {
        loop {
            if let Some(until) = brake.until() {
                sleep_until(until).await;
            }
            match few_tries(request()).await {
                Err(error) if matches!(error.kind(), ErrorType::RequestCanceled) => brake.refused(),
                Err(error) => return Err(ReplyError::Send(error)),
                Ok(response) => {
                    brake.accepted();
                    return Ok(response);
                }
            }
        }
    };
    timeout(SEND_WITHIN, sending).await.unwrap_or(Err(ReplyError::Late))
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
