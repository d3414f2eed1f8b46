//! The control client: the same calls from outside the simulator's process.

use discord_sim::{
    ClientError, ControlClient, DropConnections, Generate, GuildOutage, How, JoinGuilds, LeaveGuilds,
    LedgerQuery, MoveTime, NewMessage, Outage, ReplyWait, SettingsChange, ShardOf,
};

use crate::client::{Client, PATIENCE, options, start};

#[tokio::test]
async fn every_call_of_control_can_be_made_from_outside() {
    let simulator = start(options()).await;
    let control = ControlClient::new(&format!("http://{}/", simulator.addr()));
    let _client = Client::ready(&simulator, 0, 1).await;
    let all = LedgerQuery::default();
    let guilds = control.guilds(ShardOf { id: 0, total: 1 }).await.unwrap();
    assert_eq!(guilds.len(), 40);
    let joined = control.join_guilds(&JoinGuilds { count: 3 }).await.unwrap();
    let outage = GuildOutage { guild_ids: joined.guild_ids.clone(), unavailable: true };
    assert_eq!(control.guild_outage(&outage).await.unwrap().guild_ids.len(), 3);
    let leave = LeaveGuilds { guild_ids: joined.guild_ids };
    assert_eq!(control.leave_guilds(&leave).await.unwrap().guilds, 40);
    let change = SettingsChange { max_concurrency: Some(3), ..SettingsChange::default() };
    assert_eq!(control.settle(&change).await.unwrap(), control.settings().await.unwrap());
    let message = NewMessage { content: "!ping".into(), ..NewMessage::default() };
    let made = control.post_message(&message).await.unwrap();
    assert!(control.replies(made.message_id, &ReplyWait::default()).await.unwrap().is_empty());
    control.generate(&Generate { rate: Some(50.0), ..Generate::default() }).await.unwrap();
    control.wait_for(PATIENCE, &all, |ledger| ledger.events.made >= 3).await.unwrap();
    assert!(!control.stop_generating().await.unwrap().running);
    assert!(!control.generated().await.unwrap().running);
    let time = control.move_time(&MoveTime { advance_ms: Some(1000), ..MoveTime::default() }).await.unwrap();
    assert!(time.rules_ms >= time.now_ms + 1000 && control.time().await.unwrap().rules_ms >= time.rules_ms);
    assert_eq!(control.drop_connections(&DropConnections::all(How::Tcp)).await.unwrap().dropped, 1);
    control.wait_for(PATIENCE, &all, |ledger| !ledger.sessions[0].connected).await.unwrap();
    let outage = Outage { for_ms: 1, rest: true, gateway: true };
    assert_eq!(control.begin_outage(&outage).await.unwrap().dropped, 0);
}

#[tokio::test]
async fn what_control_refuses_comes_back_in_its_words() {
    let simulator = start(options()).await;
    let control = ControlClient::new(&format!("http://{}", simulator.addr()));
    let error = control.post_message(&NewMessage::default()).await.unwrap_err();
    assert!(
        error.to_string().ends_with("400 Bad Request: content: found 0 characters; use 1 to 4000"),
        "{error}"
    );
    simulator.stop().await;
    let error = control.settings().await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
}
