//! Guilds that come, go, fail and come back, as a session sees it.

use discord_sim::{
    EventFilter, Generate, GuildOutage, JoinGuilds, LeaveGuilds, LedgerQuery, NewMessage, Options, Simulator,
    Snowflake,
};
use serde_json::json;

use crate::client::{Client, INTENTS, PATIENCE, call, options, start};

/// A client of the only shard that has had its first guilds.
async fn settled(simulator: &Simulator) -> Client {
    let mut client = Client::ready(simulator, 0, 1).await;
    for _ in 0..simulator.ledger().guilds {
        client.dispatch("GUILD_CREATE").await;
    }
    client
}

#[tokio::test]
async fn a_guild_that_the_bot_joins_comes_whole_and_can_be_read_by_rest() {
    let simulator = start(options()).await;
    let mut client = settled(&simulator).await;
    let joined = simulator.control().join_guilds(JoinGuilds { count: 2 }).unwrap();
    assert_eq!((joined.guild_ids.len(), joined.guilds), (2, 42));
    for guild in &joined.guild_ids {
        let created = client.dispatch("GUILD_CREATE").await;
        assert_eq!((created["id"].clone(), created["unavailable"].clone()), (json!(guild), json!(false)));
        assert_eq!(call(&simulator, "GET", &format!("/api/v10/guilds/{guild}"), None).await.0, 200);
    }
}

#[tokio::test]
async fn a_guild_that_the_bot_left_is_deleted_without_the_word_unavailable() {
    let simulator = start(options()).await;
    let mut client = settled(&simulator).await;
    let guild = simulator.control().world.guilds()[3];
    let left = simulator.control().leave_guilds(&LeaveGuilds { guild_ids: vec![guild] }).unwrap();
    assert_eq!((left.guild_ids, left.guilds), (vec![guild], 39));
    assert_eq!(client.dispatch("GUILD_DELETE").await, json!({ "id": guild }));
    assert_eq!(call(&simulator, "GET", &format!("/api/v10/guilds/{guild}"), None).await.0, 404);
    let again = simulator.control().leave_guilds(&LeaveGuilds { guild_ids: vec![guild] }).unwrap_err();
    assert_eq!(again.to_string(), format!("guildIds: {guild} does not exist; see GET /control/guilds"));
}

#[tokio::test]
async fn a_guild_that_is_down_is_unavailable_for_who_is_there_and_for_who_comes() {
    let simulator = start(Options { guilds: 2, time_factor: 1e9, ..options() }).await;
    let mut client = settled(&simulator).await;
    let guild = simulator.control().world.guilds()[0];
    let outage = |unavailable| GuildOutage { guild_ids: vec![guild], unavailable };
    simulator.control().guild_outage(&outage(true)).unwrap();
    assert_eq!(client.dispatch("GUILD_DELETE").await, json!({ "id": guild, "unavailable": true }));
    let mut other = Client::connect(&simulator).await;
    other.identify(guild.shard(63), 63, INTENTS).await;
    let announced = other.dispatch("READY").await["guilds"].clone();
    assert_eq!(announced, json!([{ "id": guild, "unavailable": true }]));
    assert_eq!(simulator.control().guild_outage(&outage(true)).unwrap().guild_ids, [] as [Snowflake; 0]);
    simulator.control().guild_outage(&outage(false)).unwrap();
    assert_eq!(client.dispatch("GUILD_CREATE").await["id"], json!(guild));
    let created = other.until("GUILD_CREATE").await;
    assert_eq!(created.len(), 1, "nothing came of the guild before it was back");
    assert_eq!(created[0]["d"]["id"], json!(guild));
}

#[tokio::test]
async fn the_recommendation_follows_the_guilds_until_somebody_sets_it() {
    let simulator = start(Options { guilds: 1000, ..options() }).await;
    let control = simulator.control();
    assert_eq!(control.settings().recommended_shards, 1);
    assert_eq!(control.join_guilds(JoinGuilds { count: 1 }).unwrap().recommended_shards, 2);
    let change = discord_sim::SettingsChange { recommended_shards: Some(7), ..Default::default() };
    control.settle(&change).unwrap();
    assert_eq!(control.join_guilds(JoinGuilds { count: 5000 }).unwrap().recommended_shards, 7);
    let error = control.join_guilds(JoinGuilds { count: 0 }).unwrap_err().to_string();
    assert_eq!(error, "count: found 0; use 1 to 100000");
}

#[tokio::test]
async fn no_event_is_made_in_a_guild_that_left_or_is_down() {
    let simulator = start(Options { guilds: 3, ..options() }).await;
    let control = simulator.control();
    let guilds = control.world.guilds();
    let endless = Generate { rate: Some(2000.0), ..Generate::default() };
    control.generate(&endless).unwrap();
    control.leave_guilds(&LeaveGuilds { guild_ids: vec![guilds[0]] }).unwrap();
    control.guild_outage(&GuildOutage { guild_ids: vec![guilds[1]], unavailable: true }).unwrap();
    let made = simulator.ledger().events.made;
    simulator.wait_for(PATIENCE, |ledger| ledger.events.made > made + 100).await.unwrap();
    let query = LedgerQuery { events: Some(EventFilter::All), ..LedgerQuery::default() };
    let newest = control.ledger_of(&query).event_details;
    assert!(newest.iter().take(50).all(|event| event.guild_id == Some(guilds[2])));
    control.leave_guilds(&LeaveGuilds { guild_ids: vec![guilds[1], guilds[2]] }).unwrap();
    let is_over = |_: &discord_sim::Ledger| !control.generated().running;
    simulator.wait_for(PATIENCE, is_over).await.unwrap();
    let down = NewMessage { content: "x".into(), ..NewMessage::default() };
    assert!(control.post_message(down).unwrap_err().to_string().contains("has no guild that is up"));
}
