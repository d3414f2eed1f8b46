//! IDENTIFY: every rule that Discord has for it, and the frames around it.

use std::collections::BTreeSet;

use discord_sim::Options;
use discord_sim::ledger::ViolationKind;
use serde_json::json;

use crate::client::{Client, INTENTS, call, identify, options, start};

#[tokio::test]
async fn guilds_arrive_unavailable_in_ready_and_then_whole_on_the_shard_that_the_formula_names() {
    let simulator = start(options()).await;
    let (mut seen, mut clients) = (BTreeSet::new(), Vec::new());
    for shard in 0..3 {
        clients.push(Client::connect(&simulator).await);
        let client = clients.last_mut().unwrap();
        client.identify(shard, 3, INTENTS).await;
        let ready = client.dispatch("READY").await;
        assert_eq!(ready["shard"], json!([shard, 3]));
        assert_eq!(ready["resume_gateway_url"], simulator.gateway_url());
        let announced: Vec<_> = ready["guilds"].as_array().unwrap().clone();
        for expected in announced {
            assert_eq!(expected["unavailable"], true);
            let guild = client.dispatch("GUILD_CREATE").await;
            assert_eq!(guild["id"], expected["id"]);
            let id: u64 = guild["id"].as_str().unwrap().parse().unwrap();
            assert_eq!((id >> 22) % 3, u64::from(shard));
            assert!(seen.insert(id));
        }
    }
    assert_eq!(seen.len(), 40);
    let ledger = simulator.ledger();
    assert_eq!((ledger.identifies, ledger.identifies_accepted, ledger.violations), (3, 3, 0));
    assert_eq!(ledger.budget.remaining, 997);
    assert_eq!(ledger.sessions.iter().map(|session| session.guilds).sum::<u32>(), 40);
    assert!(
        ledger
            .sessions
            .iter()
            .all(|session| session.connected && session.sequence == u64::from(session.guilds) + 1)
    );
    assert_eq!(ledger.last_ready_at_ms, ledger.sessions.iter().map(|session| session.ready_at_ms).max());
}

#[tokio::test]
async fn an_identify_in_a_buckets_five_seconds_gets_op_9_and_is_written_down_whatever_its_total() {
    let simulator = start(Options { max_concurrency: 2, ..options() }).await;
    let _first = Client::ready(&simulator, 0, 4).await;
    let _other_bucket = Client::ready(&simulator, 1, 4).await;
    for (shard, total) in [(2, 4), (0, 8)] {
        let mut client = Client::connect(&simulator).await;
        client.identify(shard, total, INTENTS).await;
        assert_eq!(client.frame().await, json!({ "op": 9, "d": false, "s": null, "t": null }));
    }
    let ledger = simulator.ledger();
    assert_eq!(ledger.violations, 2);
    assert!(ledger.violation_details.iter().all(|violation| violation.kind == ViolationKind::IdentifyRate));
    assert_eq!(ledger.budget.remaining, 996, "a refused IDENTIFY counts");
    let outcomes: Vec<_> =
        ledger.identify_log.iter().map(|identify| (identify.bucket, identify.outcome.as_str())).collect();
    assert_eq!(outcomes, [(0, "ready"), (1, "ready"), (0, "invalidSession"), (0, "invalidSession")]);
}

#[tokio::test]
async fn the_window_is_as_much_shorter_as_the_time_factor_says() {
    let simulator = start(Options { max_concurrency: 1, time_factor: 100.0, ..options() }).await;
    let _first = Client::ready(&simulator, 0, 2).await;
    let _second = Client::ready(&simulator, 1, 2).await;
    let log = simulator.ledger().identify_log;
    let ready: Vec<_> =
        log.iter().filter(|identify| identify.accepted).map(|identify| identify.at_ms).collect();
    assert!(ready[1] - ready[0] >= 49, "{ready:?}");
}

#[tokio::test]
async fn the_identify_after_the_days_last_costs_the_token_and_every_session() {
    let simulator = start(Options { identify_total: 100, identify_remaining: Some(2), ..options() }).await;
    let mut first = Client::ready(&simulator, 0, 8).await;
    let mut second = Client::ready(&simulator, 1, 8).await;
    let mut third = Client::connect(&simulator).await;
    third.identify(2, 8, INTENTS).await;
    for client in [&mut first, &mut second, &mut third] {
        assert_eq!(client.closed().await, Some(4004));
    }
    let mut fourth = Client::connect(&simulator).await;
    fourth.resume(&first.session, first.sequence).await;
    assert_eq!(fourth.closed().await, Some(4004));
    assert_eq!(call(&simulator, "GET", "/api/v10/gateway/bot", None).await.0, 401);
    let ledger = simulator.ledger();
    assert_eq!((ledger.token_resets, ledger.budget.remaining, ledger.sessions.len()), (1, 0, 0));
    assert_eq!(ledger.violation_details[0].kind, ViolationKind::Budget);
}

#[tokio::test]
async fn tokens_with_the_same_first_part_are_one_bot_and_others_have_their_own_buckets_and_budget() {
    let tokens = [discord_sim::FAKE_TOKEN, "MTAwMDAwMDAwMDAwMDAwMDAwMA.new.token", "MTAw.other.bot"];
    let tokens = tokens.map(discord_sim::Token::new).to_vec();
    let simulator = start(Options { tokens, max_concurrency: 1, ..options() }).await;
    let mut expected = vec!["READY", "", "READY"];
    for token in [discord_sim::FAKE_TOKEN, "MTAwMDAwMDAwMDAwMDAwMDAwMA.new.token", "MTAw.other.bot"] {
        let mut client = Client::connect(&simulator).await;
        let mut identify = identify(0, 1, 1);
        identify["d"]["token"] = json!(token);
        client.send(&identify).await;
        assert_eq!(client.frame().await["t"].as_str().unwrap_or_default(), expected.remove(0));
    }
    let remaining: Vec<_> = simulator.ledger().budgets.iter().map(|budget| budget.remaining).collect();
    assert_eq!(remaining, [999, 998]);
}
