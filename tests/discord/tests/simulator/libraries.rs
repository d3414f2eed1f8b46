//! twilight 0.18 as a client: it shards, resumes and answers without knowing that this is not Discord.

use std::time::Duration;

use discord_sim::{DropConnections, FAKE_TOKEN, How, NewMessage, Options, ReplyWait, ShardOf, Simulator};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use twilight_gateway::{ConfigBuilder, Event, EventTypeFlags, Intents, Shard, ShardId, StreamExt};
use twilight_model::id::Id;

use crate::client::{PATIENCE, options, start, twilight};

fn shard(simulator: &Simulator, id: u32, total: u32) -> Shard {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let intents = Intents::GUILDS | Intents::GUILD_MESSAGES | Intents::MESSAGE_CONTENT;
    let config =
        ConfigBuilder::new(FAKE_TOKEN.to_owned(), intents).proxy_url(simulator.gateway_url()).build();
    Shard::with_config(ShardId::new(id, total), config)
}

/// A bot that answers `!ping` in two steps, until it is told to stop.
fn ping_bot(simulator: &Simulator, id: u32, total: u32, stop: CancellationToken) -> JoinHandle<()> {
    let (mut shard, rest) = (shard(simulator, id, total), twilight(simulator));
    tokio::spawn(async move {
        loop {
            let event = tokio::select! {
                event = shard.next_event(EventTypeFlags::all()) => event,
                () = stop.cancelled() => return,
            };
            match event {
                Some(Ok(Event::MessageCreate(message))) if message.content == "!ping" => {
                    let asked = rest.create_message(message.channel_id).reply(message.id).content("wait ...");
                    let reply = asked.await.unwrap().model().await.unwrap();
                    assert_eq!(reply.referenced_message.unwrap().id, message.id);
                    rest.update_message(message.channel_id, reply.id).content(Some("pong")).await.unwrap();
                }
                Some(Err(error)) if error.to_string().contains("deserializ") => panic!("{error:?}"),
                Some(_) => {}
                None => return,
            }
        }
    })
}

#[tokio::test]
async fn twilight_reads_every_object_of_rest() {
    let simulator = start(options()).await;
    let rest = twilight(&simulator);
    let bot = rest.current_user().await.unwrap().model().await.unwrap();
    assert_eq!(bot.id.get(), 1_000_000_000_000_000_000);
    let application = rest.current_user_application().await.unwrap().model().await.unwrap();
    assert_eq!(application.id.get(), bot.id.get());
    let info = rest.gateway().authed().await.unwrap().model().await.unwrap();
    assert_eq!((info.shards, info.session_start_limit.max_concurrency), (1, 64));
    let id = simulator.control().world.guilds()[0].0;
    assert_eq!(rest.guild(Id::new(id)).await.unwrap().model().await.unwrap().id, Id::new(id));
    let channel = rest.channel(Id::new(id + 1)).await.unwrap().model().await.unwrap();
    assert_eq!(channel.guild_id, Some(Id::new(id)));
    rest.create_typing_trigger(channel.id).await.unwrap();
    let message = rest.create_message(channel.id).content("x").await.unwrap().model().await.unwrap();
    rest.delete_message(channel.id, message.id).await.unwrap();
    assert_eq!(simulator.ledger().unknown_routes, 0);
}

#[tokio::test]
async fn twilight_shards_get_their_guilds_and_answer_their_users() {
    let simulator = start(options()).await;
    let stop = CancellationToken::new();
    let bots: Vec<_> = (0..3).map(|id| ping_bot(&simulator, id, 3, stop.clone())).collect();
    let all_sent = |ledger: &discord_sim::Ledger| {
        ledger.sessions.len() == 3
            && ledger.sessions.iter().all(|session| session.sent_events > u64::from(session.guilds))
    };
    let ledger = simulator.wait_for(PATIENCE, all_sent).await.unwrap();
    assert_eq!((ledger.violations, ledger.token_resets), (0, 0));
    for id in 0..3 {
        let shard = Some(ShardOf { id, total: 3 });
        let message = NewMessage { content: "!ping".into(), shard, ..NewMessage::default() };
        let made = simulator.control().post_message(message).unwrap();
        assert_eq!(made.delivered_to.len(), 1);
        let wait = ReplyWait { wait_ms: 60_000, contains: Some("pong".into()), edits: None };
        let replies = simulator.control().replies(made.message_id, &wait).await.unwrap();
        assert_eq!(replies[0].history, ["wait ...", "pong"], "shard {id}");
    }
    stop.cancel();
    for bot in bots {
        bot.await.unwrap();
    }
}

#[tokio::test]
async fn twilight_resumes_whatever_ends_its_connection_and_identifies_only_when_the_session_is_gone() {
    let simulator = start(Options { time_factor: 10.0, ..options() }).await;
    let stop = CancellationToken::new();
    let bot = ping_bot(&simulator, 0, 1, stop.clone());
    let is_there = |identifies, resumes| {
        move |ledger: &discord_sim::Ledger| {
            let is_connected = ledger.sessions.iter().any(|session| session.connected);
            (ledger.identifies, ledger.resumes) == (identifies, resumes) && is_connected
        }
    };
    simulator.wait_for(PATIENCE, is_there(1, 0)).await.unwrap();
    let expected =
        [(How::Tcp, 1, 1), (How::Reconnect, 1, 2), (How::InvalidResumable, 1, 3), (How::Invalid, 2, 3)];
    for (how, identifies, resumes) in expected {
        let dropped = simulator
            .control()
            .drop_connection(DropConnections::of(ShardOf { id: 0, total: 1 }, how))
            .unwrap();
        assert_eq!(dropped.dropped, 1, "{how:?}");
        let back = simulator.wait_for(PATIENCE, is_there(identifies, resumes)).await;
        assert!(back.is_ok(), "{how:?}: {:?}", back.unwrap_err());
        let made = simulator
            .control()
            .post_message(NewMessage { content: "!ping".into(), ..NewMessage::default() })
            .unwrap();
        let wait = ReplyWait { wait_ms: 60_000, contains: Some("pong".into()), edits: None };
        let replies = simulator.control().replies(made.message_id, &wait).await.unwrap();
        assert_eq!(replies.len(), 1, "{how:?}");
    }
    assert_eq!(simulator.ledger().violations, 0);
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(60), bot).await.unwrap().unwrap();
}
