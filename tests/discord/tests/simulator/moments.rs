//! Time that is moved, Discord that is gone, tokens that are taken away, and rules with two positions.

use discord_sim::{
    ChangeToken, FAKE_TOKEN, IdentifyLeadsTo, Ledger, MoveTime, NewMessage, Options, Outage,
    ResumeBelowHeartbeat, ResumeWhileConnected, SettingsChange, Token,
};
use serde_json::json;

use crate::client::{Client, Heard, INTENTS, PATIENCE, call, options, request, start};

#[tokio::test]
async fn time_that_is_moved_forward_opens_a_bucket_and_brings_the_next_days_budget() {
    let simulator = start(Options { max_concurrency: 1, ..options() }).await;
    let _first = Client::ready(&simulator, 0, 2).await;
    let five = MoveTime { advance_ms: Some(5000), ..MoveTime::default() };
    simulator.control().move_time(five).unwrap();
    let mut second = Client::connect(&simulator).await;
    second.identify(1, 2, INTENTS).await;
    second.dispatch("READY").await;
    assert_eq!((simulator.ledger().violations, simulator.ledger().budget.remaining), (0, 998));
    let day = MoveTime { advance_ms: Some(24 * 60 * 60 * 1000), ..MoveTime::default() };
    simulator.control().move_time(day).unwrap();
    assert_eq!(simulator.ledger().budget.remaining, 1000);
}

#[tokio::test]
async fn a_factor_that_is_changed_while_it_runs_shortens_what_clients_are_told() {
    let simulator = start(options()).await;
    let day = |answer: &serde_json::Value| answer["session_start_limit"]["reset_after"].as_u64().unwrap();
    let slow = day(&call(&simulator, "GET", "/api/v10/gateway/bot", None).await.1);
    let (status, time) = call(&simulator, "POST", "/control/time", Some(json!({ "factor": 100 }))).await;
    assert_eq!((status, time["factor"].as_f64()), (200, Some(100.0)));
    let fast = day(&call(&simulator, "GET", "/api/v10/gateway/bot", None).await.1);
    assert!(slow > 86_000_000 && fast < 864_001, "{slow} {fast}");
    let (status, error) = call(&simulator, "POST", "/control/time", Some(json!({ "factor": 0 }))).await;
    assert_eq!((status, error["error"].as_str()), (400, Some("factor: found 0; use 0.1 to 1000")));
}

#[tokio::test]
async fn the_date_of_answers_is_discords_time_in_whole_seconds() {
    let simulator = start(Options { time_factor: 1000.0, ..options() }).await;
    let day = MoveTime { advance_ms: Some(24 * 60 * 60 * 1000), ..MoveTime::default() };
    let mut read = Vec::new();
    for path in ["/api/v10/gateway/bot", "/api/v10/gateway", "/api/v10/no/such/route"] {
        let before = simulator.control().clock.rules_unix_ms() / 1000;
        let answer = request(&simulator, "GET", path, None).await;
        let after = simulator.control().clock.rules_unix_ms() / 1000;
        let date = answer.headers()["date"].to_str().unwrap().to_owned();
        let said = jiff::fmt::rfc2822::parse(&date).unwrap().timestamp().as_second();
        assert!(date.ends_with(" GMT") && (before..=after).contains(&said), "{before} {date} {after}");
        read.push(said);
        simulator.control().move_time(day).unwrap();
    }
    assert!(read[1] >= read[0] + 86_400 && read[2] >= read[1] + 86_400, "{read:?}");
}

#[tokio::test]
async fn an_outage_drops_everybody_refuses_everybody_and_sessions_resume_after_it() {
    let simulator = start(options()).await;
    let mut client = Client::ready(&simulator, 0, 1).await;
    let (session, sequence) = (client.session.clone(), client.sequence);
    let outage = Outage { for_ms: 600_000, rest: true, gateway: true };
    assert_eq!(simulator.control().begin_outage(outage).unwrap().dropped, 1);
    assert_eq!(client.closed().await, None);
    assert_eq!(request(&simulator, "GET", "/api/v10/gateway/bot", None).await.status(), 503);
    let refused = tokio_tungstenite::connect_async(format!("{}/?v=10", simulator.gateway_url())).await;
    assert!(refused.unwrap_err().to_string().contains("503"));
    simulator.control().begin_outage(Outage { for_ms: 0, rest: true, gateway: true }).unwrap();
    assert_eq!(request(&simulator, "GET", "/api/v10/gateway/bot", None).await.status(), 200);
    let mut again = Client::connect(&simulator).await;
    again.resume(&session, sequence).await;
    again.until("RESUMED").await;
}

#[tokio::test]
async fn a_token_that_is_refused_ends_its_bots_sessions_and_a_new_one_of_the_same_bot_keeps_the_budget() {
    let simulator = start(options()).await;
    let mut client = Client::ready(&simulator, 0, 1).await;
    let change = |token: &str, refused| ChangeToken { token: token.into(), refused };
    let changed = simulator.control().change_token(&change(FAKE_TOKEN, true)).unwrap();
    assert_eq!((changed.application_id, changed.ended), (Token::new(FAKE_TOKEN).application(), 1));
    assert_eq!(client.closed().await, Some(4004));
    assert_eq!(request(&simulator, "GET", "/api/v10/gateway/bot", None).await.status(), 401);
    let (first, _) = FAKE_TOKEN.split_once('.').unwrap();
    let new = format!("{first}.new.token");
    simulator.control().change_token(&change(&new, false)).unwrap();
    let mut client = Client::connect(&simulator).await;
    let mut identify = crate::client::identify(1, 2, INTENTS);
    identify["d"]["token"] = json!(new);
    client.send(&identify).await;
    client.dispatch("READY").await;
    assert_eq!(simulator.ledger().budget.remaining, 998);
    let stranger = simulator.control().change_token(&change("OTk5.a.b", false)).unwrap_err();
    assert!(stranger.to_string().starts_with("token: found one of a bot that does not exist"), "{stranger}");
}

#[tokio::test]
async fn a_refused_identify_counts_against_the_day_or_not_as_the_switch_says() {
    for (counts, left) in [(true, 998), (false, 999)] {
        let simulator = start(Options { max_concurrency: 1, ..options() }).await;
        let change = SettingsChange { refused_identify_counts: Some(counts), ..SettingsChange::default() };
        simulator.control().settle(&change).unwrap();
        let _first = Client::ready(&simulator, 0, 2).await;
        let mut second = Client::connect(&simulator).await;
        second.identify(1, 2, INTENTS).await;
        assert_eq!(second.frame().await["op"], 9);
        assert_eq!(simulator.ledger().budget.remaining, left);
    }
}

#[tokio::test]
async fn a_budget_is_set_for_one_bot_or_for_all() {
    let other = Token::new("MjAwMDAwMDAwMDAwMDAwMDAwMA.sim.other");
    let tokens = vec![Token::new(FAKE_TOKEN), other.clone()];
    let simulator = start(Options { tokens, ..options() }).await;
    let spend = |application_id, remaining| {
        let change =
            SettingsChange { application_id, remaining: Some(remaining), ..SettingsChange::default() };
        simulator.control().settle(&change).map(|settings| settings.remaining)
    };
    assert_eq!(spend(Some(other.application()), 0), Ok(1000), "the settings show the first bot's");
    assert_eq!(spend(None, 7), Ok(7));
    let stranger = spend(Some(Token::new("OTk5.a.b").application()), 0).unwrap_err();
    assert!(stranger.to_string().starts_with("applicationId: "), "{stranger}");
}

#[tokio::test]
async fn identifies_lead_to_a_close_instead_of_ready_while_the_switch_says_so_and_break_no_rule() {
    let simulator = start(options()).await;
    let settle = |leads_to| {
        let change = SettingsChange { identify_leads_to: Some(leads_to), ..SettingsChange::default() };
        simulator.control().settle(&change).unwrap();
    };
    settle(IdentifyLeadsTo::Close);
    let mut client = Client::connect(&simulator).await;
    client.identify(0, 2, INTENTS).await;
    assert_eq!(client.closed().await, Some(4000));
    settle(IdentifyLeadsTo::Ready);
    let _other = Client::ready(&simulator, 1, 2).await;
    let ledger = simulator.ledger();
    assert_eq!((ledger.identifies, ledger.identifies_accepted, ledger.budget.remaining), (2, 1, 998));
    assert_eq!((ledger.violations, ledger.sessions.len()), (0, 1));
}

#[tokio::test]
async fn a_resume_from_before_what_a_heartbeat_named_is_replayed_or_refused_as_the_switch_says() {
    for (policy, op) in [(ResumeBelowHeartbeat::Replay, 0), (ResumeBelowHeartbeat::Refuse, 9)] {
        let simulator = start(options()).await;
        let change = SettingsChange { resume_below_heartbeat: Some(policy), ..SettingsChange::default() };
        simulator.control().settle(&change).unwrap();
        let mut client = Client::ready(&simulator, 0, 1).await;
        for _ in 0..40 {
            client.dispatch("GUILD_CREATE").await;
        }
        client.send(&json!({ "op": 1, "d": client.sequence })).await;
        assert_eq!(client.frame().await["op"], 11);
        let session = client.session.clone();
        client.close(4000).await;
        let mut again = Client::connect(&simulator).await;
        again.resume(&session, 10).await;
        assert_eq!(again.frame().await["op"], op, "{policy:?}");
    }
}

#[tokio::test]
async fn a_connection_is_closed_with_the_code_that_control_names() {
    let simulator = start(Options { time_factor: 1000.0, ..options() }).await;
    for (code, lives) in [(4000, true), (4008, true), (4009, false), (4014, false)] {
        let mut client = Client::ready(&simulator, 0, 1).await;
        let body = json!({ "how": "close", "code": code, "sessionId": client.session });
        let answer = call(&simulator, "POST", "/control/connections/drop", Some(body)).await;
        assert_eq!(answer, (200, json!({ "dropped": 1 })));
        while let Heard::Frame(_) = client.hear().await {}
        let id = client.session.clone();
        let is_there = |ledger: &Ledger| ledger.sessions.iter().any(|one| one.session_id.to_string() == id);
        let is_as_expected = |ledger: &Ledger| is_there(ledger) == lives;
        assert!(simulator.wait_for(PATIENCE, is_as_expected).await.is_ok(), "{code}");
    }
    for (body, expected) in [
        (json!({ "how": "close" }), "code: found none; use 4000 to 4014"),
        (json!({ "how": "tcp", "code": 4000 }), "code: found 4000; leave it out"),
        (json!({ "how": "tcp", "shard": 1 }), "total: found none"),
    ] {
        let (status, answer) = call(&simulator, "POST", "/control/connections/drop", Some(body)).await;
        assert_eq!(status, 400);
        assert!(answer["error"].as_str().unwrap().starts_with(expected), "{answer}");
    }
}

#[tokio::test]
async fn a_token_reset_takes_every_token_of_its_bot() {
    let (first, _) = FAKE_TOKEN.split_once('.').unwrap();
    let other = format!("{first}.other.token");
    let tokens = vec![Token::new(FAKE_TOKEN), Token::new(&other)];
    let simulator = start(Options { tokens, identify_total: 1, ..options() }).await;
    let _first = Client::ready(&simulator, 0, 2).await;
    for token in [FAKE_TOKEN, &other, &other] {
        let mut client = Client::connect(&simulator).await;
        let mut identify = crate::client::identify(1, 2, INTENTS);
        identify["d"]["token"] = json!(token);
        client.send(&identify).await;
        assert_eq!(client.closed().await, Some(4004));
    }
    let ledger = simulator.ledger();
    assert_eq!((ledger.token_resets, ledger.bad_tokens), (1, 2));
}

#[tokio::test]
async fn what_is_on_its_way_arrives_before_what_comes_after_a_change_of_the_skew() {
    let simulator = start(Options { skew_ms: 10_000, ..options() }).await;
    let mut client = Client::ready_with(&simulator, 0, 1, 1 << 9 | 1 << 15).await;
    let guild_id = Some(simulator.control().world.guilds()[0]);
    let write = |content: &str| {
        let message = NewMessage { content: content.into(), guild_id, ..NewMessage::default() };
        simulator.control().post_message(message).unwrap();
    };
    write("first");
    let at_once = SettingsChange { skew_ms: Some(0), ..SettingsChange::default() };
    simulator.control().settle(&at_once).unwrap();
    write("second");
    for expected in ["first", "second"] {
        assert_eq!(client.dispatch("MESSAGE_CREATE").await["content"], expected);
    }
}

#[tokio::test]
async fn a_resume_that_is_to_be_refused_does_not_touch_the_session_that_is_connected() {
    let simulator = start(options()).await;
    let refuse = Some(ResumeWhileConnected::Refuse);
    let change = SettingsChange { resume_while_connected: refuse, ..SettingsChange::default() };
    simulator.control().settle(&change).unwrap();
    let mut client = Client::ready_with(&simulator, 0, 1, 1 << 9).await;
    let mut rival = Client::connect(&simulator).await;
    rival.resume(&client.session, 9999).await;
    assert_eq!(rival.frame().await["op"], 9);
    client.beat().await;
    assert!(simulator.ledger().sessions[0].connected);
}
