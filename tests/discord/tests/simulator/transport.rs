//! Transport: what a client may ask for in the URL, and how frames then come.
//!
//! From: clients of every compression. For: libraries, which negotiate different ones. Each is checked as strictly as
//! its documentation has it by `client.rs`. Deliberately absent: ETF, but for its refusal.

use discord_sim::{DropConnections, How, NewMessage, Options};

use crate::client::{Client, Heard, INTENTS, options, start};

#[tokio::test]
async fn every_compression_brings_the_same_frames_in_one_stream_for_the_whole_connection() {
    for compress in ["", "&compress=", "&compress=zlib-stream", "&compress=zstd-stream"] {
        let simulator = start(options()).await;
        let path = format!("/?v=10&encoding=json{compress}");
        let mut client = Client::connect_with(&simulator, &path).await.greeted().await;
        client.identify(0, 1, INTENTS).await;
        let ready = client.dispatch("READY").await;
        for expected in ready["guilds"].as_array().unwrap() {
            assert_eq!(client.dispatch("GUILD_CREATE").await["id"], expected["id"], "{compress}");
        }
        // Short, long, and hardly to be compressed.
        let noise: String =
            (0..3000_u32).map(|i| char::from(b'!' + (i.wrapping_pow(3) % 89) as u8)).collect();
        for content in ["x", &"long ".repeat(700), &noise, "y"] {
            client.beat().await;
            let message = NewMessage { content: content.into(), ..NewMessage::default() };
            simulator.control().post_message(message).unwrap();
            assert_eq!(client.dispatch("MESSAGE_CREATE").await["content"], content, "{compress}");
        }
        let drop = DropConnections::all(How::Reconnect);
        simulator.control().drop_connection(drop).unwrap();
        assert_eq!(client.frame().await["op"], 7, "{compress}");
        assert_eq!(client.closed().await, Some(4000), "{compress}");
    }
}

#[tokio::test]
async fn hundreds_of_guilds_pass_through_every_compression() {
    let simulator = start(Options { guilds: 1000, ..options() }).await;
    // A shard each, so that none waits for another's bucket.
    for (shard, compress) in ["", "zlib-stream", "zstd-stream"].into_iter().enumerate() {
        let path = format!("/?v=10&encoding=json&compress={compress}");
        let mut client = Client::connect_with(&simulator, &path).await.greeted().await;
        client.identify(u32::try_from(shard).unwrap(), 3, INTENTS).await;
        let ready = client.dispatch("READY").await;
        for expected in ready["guilds"].as_array().unwrap() {
            assert_eq!(client.dispatch("GUILD_CREATE").await["id"], expected["id"], "{compress}");
        }
    }
}

#[tokio::test]
async fn slashes_and_question_marks_may_stand_as_libraries_put_them() {
    let simulator = start(options()).await;
    for path in ["/?v=10&encoding=json", "//?v=10&encoding=json", "/?v=10", "/?encoding=json&v=10&x=y"] {
        Client::connect_with(&simulator, path).await.greeted().await;
    }
}

#[tokio::test]
async fn etf_and_what_does_not_exist_is_refused_with_4002_and_the_remedy_before_hello() {
    let simulator = start(options()).await;
    let table = [
        ("/?v=10&encoding=etf", "encoding=json"),
        ("/?v=10&encoding=etf&compress=zlib-stream", "encoding=json"),
        ("/?v=10&encoding=xml", "encoding=json"),
        ("/?v=10&encoding=json&compress=gzip", "zlib-stream, zstd-stream or none"),
    ];
    for (query, remedy) in table {
        let mut client = Client::connect_with(&simulator, query).await;
        assert_eq!(client.hear().await, Heard::Closed(Some(4002)), "{query}");
        assert!(client.reason.contains(remedy), "{query}: {}", client.reason);
    }
}
