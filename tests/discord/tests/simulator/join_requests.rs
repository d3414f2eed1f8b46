//! Requests to join a guild, and what else Discord has said of READY since August 2026.
//!
//! From: control, which makes people ask and moderators decide. For: bots that let people in. Source: Discord,
//! `developers/resources/guild-join-request.mdx`. Deliberately absent: REST's endpoints of requests.

use discord_sim::ledger::EventKind;
use discord_sim::{DecideJoinRequest, EventFilter, LedgerQuery, NewJoinRequest, Options, Outcome, Simulator};
use serde_json::{Value, json};

use crate::client::{Client, call, identify, options, start};

/// GUILD_MODERATION.
const MODERATION: u64 = 1 << 2;

fn decide(simulator: &Simulator, made: &discord_sim::MadeJoinRequest, outcome: Outcome) -> usize {
    let reason = (outcome == Outcome::Rejected).then(|| "full".to_owned());
    let decision = DecideJoinRequest { request_id: made.request_id, outcome, reason };
    simulator.control().decide_join_request(decision).unwrap().delivered_to.len()
}

#[tokio::test]
async fn requests_to_join_are_made_decided_on_and_withdrawn_as_events_of_moderation() {
    let simulator = start(options()).await;
    let mut client = Client::ready_with(&simulator, 0, 1, MODERATION).await;
    let mut without = Client::ready_with(&simulator, 1, 2, 1 << 9).await;
    let outcomes = [
        (Outcome::Approved, "GUILD_JOIN_REQUEST_UPDATE", json!("APPROVED")),
        (Outcome::Rejected, "GUILD_JOIN_REQUEST_UPDATE", json!("REJECTED")),
        (Outcome::Withdrawn, "GUILD_JOIN_REQUEST_DELETE", Value::Null),
    ];
    for (outcome, name, status) in outcomes {
        let made = simulator.control().make_join_request(NewJoinRequest::default()).unwrap();
        assert_eq!(made.delivered_to.len(), 1);
        let create = client.dispatch("GUILD_JOIN_REQUEST_CREATE").await;
        assert_eq!((&create["guild_id"], &create["status"]), (&json!(made.guild_id), &json!("SUBMITTED")));
        let request = &create["request"];
        assert_eq!((&request["id"], &request["user"]["id"]), (&json!(made.request_id), &json!(made.user_id)));
        assert_eq!(
            (&request["application_status"], &request["reviewed_at"]),
            (&json!("SUBMITTED"), &Value::Null)
        );
        assert_eq!(decide(&simulator, &made, outcome), 1);
        let decided = client.dispatch(name).await;
        assert_eq!((&decided["status"], &decided["guild_id"]), (&status, &json!(made.guild_id)), "{decided}");
        if outcome == Outcome::Withdrawn {
            assert_eq!(
                decided,
                json!({ "id": made.request_id, "guild_id": made.guild_id, "user_id": made.user_id })
            );
        } else {
            assert!(decided["request"]["reviewed_at"].is_string(), "{decided}");
        }
        let again = DecideJoinRequest { request_id: made.request_id, outcome, reason: None };
        let error = simulator.control().decide_join_request(again).unwrap_err().to_string();
        assert!(error.contains("requestId") && error.contains("not open"), "{error}");
    }
    without.beat().await;
    let query = LedgerQuery { events: Some(EventFilter::All), ..LedgerQuery::default() };
    let ledger = simulator.control().ledger_of(&query);
    assert_eq!((ledger.events.made, ledger.events.asking, ledger.events.lost), (6, 0, 0));
    assert!(ledger.event_details.iter().all(|event| event.kind == EventKind::JoinRequest));
}

#[tokio::test]
async fn requests_to_join_are_kept_from_bots_that_may_not_kick_members() {
    for (kick_members, expected) in [(true, 1), (false, 0)] {
        let simulator = start(Options { kick_members, ..options() }).await;
        let mut client = Client::ready_with(&simulator, 0, 1, MODERATION).await;
        let made = simulator.control().make_join_request(NewJoinRequest::default()).unwrap();
        assert_eq!(made.delivered_to.len(), expected);
        if expected == 1 {
            client.dispatch("GUILD_JOIN_REQUEST_CREATE").await;
        }
        client.beat().await;
        let roles =
            call(&simulator, "GET", &format!("/api/v10/guilds/{}/roles", made.guild_id), None).await.1;
        let permissions: u64 = roles[0]["permissions"].as_str().unwrap().parse().unwrap();
        assert_eq!(permissions & 2 != 0, kick_members, "the role says so, too");
        assert_eq!(simulator.ledger().events.lost, 0);
    }
}

#[tokio::test]
async fn requests_to_join_are_asked_for_over_http_too() {
    let simulator = start(options()).await;
    let (status, made) =
        call(&simulator, "POST", "/control/join-requests", Some(json!({ "userId": "77" }))).await;
    assert_eq!((status, &made["userId"]), (200, &json!("77")));
    let body = json!({ "requestId": made["requestId"], "outcome": "approved" });
    assert_eq!(call(&simulator, "POST", "/control/join-requests/decide", Some(body.clone())).await.0, 200);
    assert_eq!(call(&simulator, "POST", "/control/join-requests/decide", Some(body)).await.0, 404);
    let wrong = json!({ "requestId": "7", "outcome": "approved", "reason": "x" });
    let answer = call(&simulator, "POST", "/control/join-requests/decide", Some(wrong)).await.1;
    assert!(answer["error"].as_str().unwrap().starts_with("reason: "), "{answer}");
}

#[tokio::test]
async fn ready_and_rest_have_the_applications_flags_as_a_text_too() {
    let simulator = start(options()).await;
    let mut client = Client::connect(&simulator).await;
    client.identify(0, 1, 1).await;
    let ready = client.dispatch("READY").await;
    let rest = call(&simulator, "GET", "/api/v10/applications/@me", None).await.1;
    for application in [&ready["application"], &rest] {
        let flags = application["flags"].as_u64().unwrap();
        assert!(flags > 0);
        assert_eq!(application["flags_new"], json!(flags.to_string()), "{application}");
    }
}

#[tokio::test]
async fn identify_takes_capabilities_and_refuses_what_is_no_number_of_them() {
    let simulator = start(options()).await;
    for (shard, value) in [(0, json!(0)), (1, json!(1 << 15)), (2, Value::Null)] {
        let mut frame = identify(shard, 4, 1);
        frame["d"]["capabilities"] = value;
        let mut client = Client::connect(&simulator).await;
        client.send(&frame).await;
        assert_eq!(client.frame().await["t"], "READY");
    }
    let mut frame = identify(3, 4, 1);
    frame["d"]["capabilities"] = json!("all");
    let mut client = Client::connect(&simulator).await;
    client.send(&frame).await;
    assert_eq!(client.closed().await, Some(4002));
    assert!(client.reason.contains("capabilities"), "{}", client.reason);
}
