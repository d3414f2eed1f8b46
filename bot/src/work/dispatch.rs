//! Events -> handlers and commands: each in a task of its own, a bounded number at a time, panics contained.
//!
//! One loop takes events from the shards' channel while there is room; with none, the channel fills and the shards
//! hold back ([`crate::shard::inbox`]). What comes is this pod's to handle. Of one channel only a few are handled at
//! a time; what comes beyond is passed over and counted, since Discord lets a bot answer five times in 5 s there, and a channel in
//! which everybody types would take all the places. Guarantees: after the stop nothing is begun; what was begun may finish until the deadline; each event's begin and end is noted
//! ([`crate::session::progress`]) around all that handles it. Caveat: events of one shard begin in order, but run side by side. Deliberately
//! absent: whose an event is ([`crate::shard`]).

mod again;

use std::{error::Error as StdError, sync::Arc};

use futures::{FutureExt as _, future::BoxFuture};
use shard_contract::record::MOST_SKIPPED;
use shard_serve::{Share, Shares};
use tokio::{
    sync::{mpsc, oneshot},
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;
use twilight_gateway::Event;
use twilight_model::{
    channel::Message,
    id::{Id, marker::ChannelMarker},
};

use self::again::Again;
use crate::{
    edges::trouble::chain,
    seen::metrics::Counters,
    session::progress::Ticket,
    shard::inbox::Envelope,
    work::{
        command::{CommandError, Input, Reply},
        context::Context,
        registry::{AnyCommand, Asked, Registry},
        reply::{self, Brake, To},
    },
};

/// Handlers and commands that may run at a time.
pub(crate) const AT_A_TIME: usize = 256;
/// Of them so many of one channel.
pub(crate) const OF_A_CHANNEL: usize = 8;
/// How often an event is begun, if each time the process dies.
pub(crate) const MOST_BEGUN: u8 = 2;
/// The most that an author may choose: a record has room for so many begins of all that one process handles.
pub(crate) const MOST_BEGUN_EVER: u8 = 8;
const _: () = assert!(MOST_BEGUN_EVER as usize * AT_A_TIME <= MOST_SKIPPED, "a record has room for them");
/// Events between the shards and dispatch.
pub(crate) const CHANNEL: usize = 256;

/// What an event handler may fail with.
pub type HandlerError = Box<dyn StdError + Send + Sync>;

/// The author's event handler.
pub(crate) type Handler =
    Arc<dyn Fn(Event, Context) -> BoxFuture<'static, Result<(), HandlerError>> + Send + Sync>;

/// What handles events.
pub(crate) struct Handlers {
    pub(crate) registry: Registry,
    pub(crate) prefix: String,
    pub(crate) on_event: Option<Handler>,
    /// How many events of one channel are handled at a time.
    pub(crate) of_a_channel: usize,
    /// How often an event may be begun.
    pub(crate) most_begun: u8,
}

/// Places of a channel's events.
type Channels = Shares<Id<ChannelMarker>>;

/// An event that is handled: dropped, it is done, and its channel has a place again.
struct Handled {
    _ticket: Ticket,
    _place: Option<Share<Id<ChannelMarker>>>,
    /// Of one that is handled again: the next may begin.
    _alone: Option<oneshot::Sender<()>>,
}

/// The loop that begins handlers.
pub(crate) struct Dispatch {
    pub(crate) handlers: Handlers,
    pub(crate) context: Context,
    pub(crate) counters: Counters,
    pub(crate) at_a_time: usize,
    pub(crate) brake: Arc<Brake>,
}

/// What runs when the loop ends.
pub(crate) struct Running {
    tasks: JoinSet<()>,
    counters: Counters,
}

impl Running {
    /// How many handlers run.
    pub(crate) fn count(&self) -> usize {
        self.tasks.len()
    }

    /// Waits until all of them ended.
    pub(crate) async fn finish(&mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            note_panic(&self.counters, ended);
        }
    }
}

impl Dispatch {
    /// Begins what comes, until the stop.
    pub(crate) async fn run(self, mut events: mpsc::Receiver<Envelope>, stop: CancellationToken) -> Running {
        let mut running = Running { tasks: JoinSet::new(), counters: self.counters.clone() };
        let channels = Channels::new(self.handlers.of_a_channel);
        let mut again = Again::default();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(ended) = running.tasks.join_next(), if !running.tasks.is_empty() => note_panic(&self.counters, ended),
                () = again.over(), if again.is_alone() => {}
                event = events.recv(), if !again.is_alone() && running.tasks.len() < self.at_a_time => match event {
                    Some(envelope) => self.begin(envelope, &channels, &mut again, &mut running.tasks),
                    None => break,
                },
            }
        }
        events.close();
        let mut not_begun = 0_u64;
        while events.try_recv().is_ok() {
            not_begun += 1;
        }
        if not_begun > 0 {
            tracing::info!(
                not_begun,
                "events were received and not begun; who resumes their sessions gets them again"
            );
        }
        running
    }

    fn begin(
        &self,
        Envelope { shard, event, redelivered, mut ticket }: Envelope,
        channels: &Channels,
        again: &mut Again,
        tasks: &mut JoinSet<()>,
    ) {
        let command = self.read_command(&event);
        if command.is_none() && self.handlers.on_event.is_none() {
            ticket.pass();
            return;
        }
        let (begun_before, sequence) = (ticket.begun_before(), ticket.sequence());
        let channel = channel_of(&event);
        let place = channel.and_then(|channel| channels.take(channel));
        // What was begun before had a place.
        if place.is_none()
            && begun_before == 0
            && let Some(channel) = channel
        {
            if ticket.pass() {
                tracing::debug!(shard, %channel, "passed over an event: so many of its channel are handled already");
                self.counters.channel_busy.inc();
            }
            return;
        }
        if !ticket.begin() {
            return;
        }
        if redelivered {
            self.context.status.update(shard, |row| row.redelivered += 1);
        }
        let context = Context { shard, redelivered, ..self.context.clone() };
        let until_done = Arc::new(Handled {
            _ticket: ticket,
            _place: place,
            _alone: (begun_before > 0).then(|| again.begun()),
        });
        if let Some((message, asked)) = command {
            self.begin_command(message, asked, &context, Arc::clone(&until_done), tasks);
        }
        if let Some(handler) = &self.handlers.on_event {
            let (handler, counters) = (Arc::clone(handler), self.counters.clone());
            let kind = event.kind();
            tasks.spawn(async move {
                let _until_it_ended = until_done;
                if let Err(error) = handler(event, context).await {
                    counters.handler_errors.inc();
                    tracing::error!(shard, sequence, ?kind, error = %chain(&*error), "the event handler failed");
                }
            });
        }
    }

    /// The command that a message is, if it is one.
    fn read_command<'a>(&self, event: &'a Event) -> Option<(&'a Message, Asked)> {
        let Event::MessageCreate(message) = event else { return None };
        let asked = self.handlers.registry.read(&self.handlers.prefix, &message.content);
        let message: &Message = message;
        asked.filter(|_| !message.author.bot).map(|asked| (message, asked))
    }

    fn begin_command(
        &self,
        message: &Message,
        asked: Asked,
        context: &Context,
        handled: Arc<Handled>,
        tasks: &mut JoinSet<()>,
    ) {
        let answering = Answering {
            context: context.clone(),
            counters: self.counters.clone(),
            brake: Arc::clone(&self.brake),
            to: To { channel: message.channel_id, message: message.id },
        };
        match asked {
            Asked::Wrong { name, answer } => {
                self.counters.command(&name, "wrong");
                let answer = Ok(Reply::Text(answer));
                tasks.spawn(async move {
                    answering.send(&name, answer).await;
                    drop(handled);
                });
            }
            Asked::Command(command, values) => {
                let input = Input {
                    values,
                    author: message.author.id,
                    message: message.id,
                    channel: message.channel_id,
                    guild: message.guild_id,
                };
                tasks.spawn(async move {
                    answering.run(command, input).await;
                    drop(handled);
                });
            }
        }
    }
}

/// One command on its way to its answer.
struct Answering {
    context: Context,
    counters: Counters,
    brake: Arc<Brake>,
    to: To,
}

impl Answering {
    /// Runs the command and sends its reply. A panic in it is answered like any other failure.
    async fn run(self, command: Arc<dyn AnyCommand>, input: Input) {
        let name = command.name().to_owned();
        let running = std::panic::AssertUnwindSafe(command.run(input, self.context.clone()));
        let counters = self.counters.clone();
        let outcome = running.catch_unwind().await;
        let panicked = outcome.is_err();
        let outcome = outcome.unwrap_or_else(|_| {
            counters.handler_panics.inc();
            Err(CommandError::other("the command panicked"))
        });
        let ended = self.send(&name, outcome).await;
        counters.command(&name, if panicked { "panic" } else { ended });
    }

    /// Sends what the command came to; says how it ended.
    async fn send(self, name: &str, outcome: Result<Reply, CommandError>) -> &'static str {
        let (reply, failed) = match outcome {
            Ok(reply) => (reply, None),
            Err(error) => (Reply::Text(error.answer()), Some(error)),
        };
        let sent = reply::send(&self.context, &self.brake, self.to, reply).await;
        let failed = match sent {
            Ok(later) => failed.or(later.err()),
            Err(error) => {
                self.counters.replies_failed.inc();
                tracing::error!(command = name, error = %chain(&error), "the reply could not be sent");
                failed
            }
        };
        match failed {
            None => "ok",
            Some(error) if error.is_fault() => {
                tracing::error!(command = name, error = %chain(&error), "the command failed");
                "error"
            }
            Some(CommandError::Job(_)) => "busy",
            Some(_) => "wrong",
        }
    }
}

/// The channel that an event is of, of those that users can bring about as fast as they type.
fn channel_of(event: &Event) -> Option<Id<ChannelMarker>> {
    match event {
        Event::MessageCreate(message) => Some(message.channel_id),
        Event::MessageUpdate(message) => Some(message.channel_id),
        Event::ReactionAdd(reaction) => Some(reaction.channel_id),
        Event::ReactionRemove(reaction) => Some(reaction.channel_id),
        Event::TypingStart(typing) => Some(typing.channel_id),
        Event::InteractionCreate(interaction) => interaction.channel.as_ref().map(|channel| channel.id),
        _ => None,
    }
}

fn note_panic(counters: &Counters, ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        counters.handler_panics.inc();
        tracing::error!(%error, "a handler panicked");
    }
}

#[cfg(test)]
mod tests;
