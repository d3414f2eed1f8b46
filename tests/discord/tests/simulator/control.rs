//! Control: over HTTP, as demos and scripts use it.

use discord_sim::{Ledger, NewMessage, Options, Reply};
use serde_json::{Value, json};

use crate::client::{Client, INTENTS, PATIENCE, call, http, options, request, start};

#[tokio::test]
async fn what_is_wrong_is_said_as_field_found_and_remedy() {
    let simulator = start(options()).await;
    let table = [
        ("/control/messages", json!({ "content": "" }), "content: found 0 characters; use 1 to 4000"),
        ("/control/messages", json!({ "content": "x", "guildId": "7" }), "guildId: 7 does not exist"),
        (
            "/control/messages",
            json!({ "content": "x", "shard": { "id": 4, "total": 4 } }),
            "shard.id: found 4; use 0 to 3",
        ),
        (
            "/control/messages",
            json!({ "content": "x", "shard": { "id": 0, "total": 0 } }),
            "shard.total: found 0",
        ),
        ("/control/messages", json!({ "text": "x" }), "unknown field `text`"),
        ("/control/settings", json!({ "maxConcurrency": 0 }), "maxConcurrency: found 0; use 1 to 10000"),
        ("/control/settings", json!({ "remaining": 1001 }), "remaining: 1001 is more than total, 1000"),
        ("/control/settings", json!({ "shards": 4 }), "unknown field `shards`"),
        ("/control/connections/drop", json!({ "shard": 1, "how": "tcp" }), "total: found none"),
        (
            "/control/connections/drop",
            json!({ "shard": 1, "total": 2, "how": "gently" }),
            "unknown variant `gently`",
        ),
    ];
    for (path, body, expected) in table {
        let (status, answer) = call(&simulator, "POST", path, Some(body.clone())).await;
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(status == 400 && error.contains(expected), "{path} {body}: {status} {error}");
    }
    assert_eq!(call(&simulator, "GET", "/control/messages/7/replies", None).await.0, 404);
    assert_eq!(call(&simulator, "GET", "/control/messages/x/replies", None).await.0, 400);
    assert_eq!(call(&simulator, "GET", "/ledger?total=x", None).await.0, 400);
}

#[tokio::test]
async fn replies_are_waited_for_until_one_says_what_is_wanted() {
    let simulator = start(options()).await;
    let made = simulator
        .control()
        .post_message(NewMessage { content: "!fib 5".into(), ..NewMessage::default() })
        .unwrap();
    let replies = format!("/control/messages/{}/replies", made.message_id);
    assert_eq!(call(&simulator, "GET", &replies, None).await, (200, json!([])));

    let channel = format!("/api/v10/channels/{}/messages", made.channel_id);
    let waiting = format!("{replies}?waitMs=60000&contains=is+5&edits=true");
    let answering = async {
        let body =
            json!({ "content": "calculating ...", "message_reference": { "message_id": made.message_id } });
        let (_, reply) = call(&simulator, "POST", &channel, Some(body)).await;
        assert_eq!(reply["referenced_message"]["content"], "!fib 5");
        let path = format!("{channel}/{}", reply["id"].as_str().unwrap());
        call(&simulator, "PATCH", &path, Some(json!({ "content": "fib 5 is 5" }))).await;
    };
    let ((status, answer), ()) = tokio::join!(call(&simulator, "GET", &waiting, None), answering);
    let found: Vec<Reply> = serde_json::from_value(answer).unwrap();
    assert_eq!((status, found.len()), (200, 1));
    assert_eq!(found[0].history, ["calculating ...", "fib 5 is 5"]);
    assert!(found[0].edited_at_ms >= Some(found[0].at_ms));
    let counts = simulator.ledger().messages;
    assert_eq!((counts.made, counts.delivered, counts.replies, counts.edits), (1, 0, 1, 1));
}

#[tokio::test]
async fn a_refused_token_closes_everything_with_4004_until_it_is_taken_back() {
    let simulator = start(options()).await;
    let mut client = Client::ready(&simulator, 0, 2).await;
    let (status, settings) =
        call(&simulator, "POST", "/control/settings", Some(json!({ "refuseToken": true }))).await;
    assert_eq!((status, &settings["refuseToken"], &settings["remaining"]), (200, &json!(true), &json!(999)));
    assert_eq!(client.closed().await, Some(4004));
    assert_eq!(call(&simulator, "GET", "/api/v10/users/@me", None).await.0, 401);
    call(&simulator, "POST", "/control/settings", Some(json!({ "refuseToken": false }))).await;
    Client::ready(&simulator, 1, 2).await;
    assert_eq!(simulator.ledger().token_resets, 0);
}

#[tokio::test]
async fn changed_limits_are_in_force_at_once() {
    let simulator = start(options()).await;
    let change = json!({ "recommendedShards": 7, "maxConcurrency": 3, "total": 50, "remaining": 20 });
    call(&simulator, "POST", "/control/settings", Some(change)).await;
    let (_, answer) = call(&simulator, "GET", "/api/v10/gateway/bot", None).await;
    let limit = &answer["session_start_limit"];
    assert_eq!((&answer["shards"], &limit["max_concurrency"]), (&json!(7), &json!(3)));
    assert_eq!((&limit["total"], &limit["remaining"]), (&json!(50), &json!(20)));
}

#[tokio::test]
async fn connections_are_dropped_as_asked() {
    let table = [
        ("tcp", Value::Null, None, true),
        ("reconnect", json!({ "op": 7, "d": null, "s": null, "t": null }), Some(4000), true),
        ("invalidResumable", json!({ "op": 9, "d": true, "s": null, "t": null }), None, true),
        ("invalid", json!({ "op": 9, "d": false, "s": null, "t": null }), None, false),
    ];
    for (how, word, code, lives) in table {
        let simulator = start(Options { time_factor: 10.0, ..options() }).await;
        let mut other = Client::ready_with(&simulator, 0, 2, 1 << 9).await;
        let mut client = Client::ready_with(&simulator, 1, 2, 1 << 9).await;
        let body = json!({ "shard": 1, "total": 2, "how": how });
        let dropped = call(&simulator, "POST", "/control/connections/drop", Some(body)).await;
        assert_eq!(dropped, (200, json!({ "dropped": 1 })), "{how}");
        if !word.is_null() {
            assert_eq!(client.frame().await, word, "{how}");
        }
        if word["op"] == 9 {
            client.beat().await;
            client.close(4000).await;
        } else {
            assert_eq!(client.closed().await, code, "{how}");
        }
        let is_left =
            |ledger: &Ledger| ledger.sessions.iter().filter(|session| session.connected).count() == 1;
        let ledger = simulator.wait_for(PATIENCE, is_left).await.unwrap();
        assert_eq!(ledger.sessions.len() == 2, lives, "{how}");
        other.send(&json!({ "op": 1, "d": null })).await;
        assert_eq!(other.frame().await["op"], 11, "{how}");
    }
}

#[tokio::test]
async fn the_ledger_reads_back_as_its_type_and_can_be_asked_for_one_total() {
    let simulator = start(options()).await;
    let _first = Client::ready(&simulator, 0, 2).await;
    let _second = Client::ready_with(&simulator, 1, 3, INTENTS).await;
    let (_, all) = call(&simulator, "GET", "/ledger", None).await;
    let ledger: Ledger = serde_json::from_value(all.clone()).unwrap();
    assert_eq!((ledger.sessions.len(), ledger.identify_log.len(), ledger.guilds), (2, 2, 40));
    let session = &all["sessions"][0];
    for key in ["shard", "total", "sessionId", "connected", "readyAtMs", "guilds", "sequence", "sentEvents"] {
        assert!(!session[key].is_null(), "{key}");
    }
    for key in
        ["startedAt", "timeFactor", "tokenResets", "firstIdentifyAtMs", "lastReadyAtMs", "violationDetails"]
    {
        assert!(!all[key].is_null(), "{key}");
    }
    let (_, one) = call(&simulator, "GET", "/ledger?total=3", None).await;
    assert_eq!(
        (one["sessions"][0]["total"].as_u64(), one["sessions"].as_array().unwrap().len()),
        (Some(3), 1)
    );
    assert_eq!(one["identifyLog"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn people_get_a_page_and_probes_an_answer() {
    let simulator = start(options()).await;
    let page = request(&simulator, "GET", "/", None).await;
    assert!(page.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    assert!(page.text().await.unwrap().contains("discord-sim"));
    assert_eq!(request(&simulator, "GET", "/healthz", None).await.status(), 200);
}

#[tokio::test]
async fn a_stopped_simulator_ends_its_connections_and_frees_its_port() {
    let simulator = start(options()).await;
    let mut client = Client::ready_with(&simulator, 0, 1, 1 << 9).await;
    let (address, http) = (simulator.addr(), http());
    simulator.stop().await;
    assert_eq!(client.closed().await, None);
    assert!(http.get(format!("http://{address}/healthz")).send().await.is_err());
}

#[tokio::test]
async fn pages_of_other_sites_are_refused_and_programs_and_the_own_page_are_not() {
    let simulator = start(options()).await;
    let (url, own) =
        (format!("http://{}/control/time", simulator.addr()), format!("http://{}", simulator.addr()));
    let table = [
        ("Sec-Fetch-Site", "cross-site", 403),
        ("Sec-Fetch-Site", "same-site", 403),
        ("Sec-Fetch-Site", "same-origin", 200),
        ("Sec-Fetch-Site", "none", 200),
        ("Origin", "https://example.org", 403),
        ("Origin", "null", 403),
        ("Origin", own.as_str(), 200),
        ("User-Agent", "curl/8", 200),
    ];
    for (name, value, status) in table {
        let answer = http().post(&url).header(name, value).body("{}").send().await.unwrap();
        assert_eq!(answer.status(), status, "{name}: {value}");
    }
}
