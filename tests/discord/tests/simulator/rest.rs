//! REST: answers, errors and limits as Discord documents them.

use discord_sim::{NewMessage, Options, RestState, SettingsChange, Simulator};
use serde_json::{Value, json};

use crate::client::{call, http, options, request, start};
use crate::raw::Raw;

fn messages_of(simulator: &Simulator, guild: usize) -> String {
    format!("/api/v10/channels/{}/messages", simulator.control().world.guilds()[guild].0 + 1)
}

#[tokio::test]
async fn gateway_bot_wants_a_token_and_says_what_the_bot_may_do() {
    let simulator = start(Options {
        guilds: 1001,
        max_concurrency: 16,
        identify_remaining: Some(7),
        ..Options::default()
    })
    .await;
    let url = format!("http://{}/api/v10/gateway/bot", simulator.addr());
    for authorization in ["", "Bot MTAw.no.pe", discord_sim::FAKE_TOKEN] {
        let answer = http().get(&url).header("Authorization", authorization).send().await.unwrap();
        assert_eq!(answer.status(), 401, "{authorization}");
        assert_eq!(
            answer.json::<Value>().await.unwrap(),
            json!({ "message": "401: Unauthorized", "code": 0 })
        );
    }
    let answer = request(&simulator, "GET", "/api/v10/gateway/bot", None).await;
    assert_eq!(answer.headers()["content-type"], "application/json");
    let body: Value = answer.json().await.unwrap();
    let mut limit = body["session_start_limit"].clone();
    let reset_after = limit["reset_after"].take().as_u64().unwrap();
    assert!((86_000_000..=86_400_000).contains(&reset_after), "{reset_after}");
    assert_eq!((&body["url"], &body["shards"]), (&json!(simulator.gateway_url()), &json!(2)));
    assert_eq!(limit, json!({ "total": 1000, "remaining": 7, "reset_after": null, "max_concurrency": 16 }));
    assert_eq!(simulator.ledger().invalid_requests, 3);
}

#[tokio::test]
async fn the_third_call_of_gateway_bot_in_five_seconds_is_a_429_as_documented() {
    let simulator = start(options()).await;
    for remaining in ["1", "0"] {
        let answer = request(&simulator, "GET", "/api/v10/gateway/bot", None).await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["x-ratelimit-remaining"]),
            (200, &remaining.parse().unwrap())
        );
        assert!(!answer.headers().contains_key("x-ratelimit-scope"));
    }
    let answer = request(&simulator, "GET", "/api/v10/gateway/bot", None).await;
    assert_eq!(answer.status(), 429);
    let headers = answer.headers().clone();
    assert_eq!(
        (&headers["x-ratelimit-scope"], &headers["x-ratelimit-limit"]),
        (&"user".parse().unwrap(), &"2".parse().unwrap())
    );
    let seconds: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
    let body: Value = answer.json().await.unwrap();
    let exact = body["retry_after"].as_f64().unwrap();
    assert!(exact > 0.0 && exact <= 5.0 && (1..=5).contains(&seconds), "{exact} {seconds}");
    assert_eq!((&body["message"], &body["global"]), (&json!("You are being rate limited."), &json!(false)));
}

#[tokio::test]
async fn the_gateways_address_is_the_host_that_was_called_or_the_public_one() {
    let simulator = start(options()).await;
    let url = format!("http://{}/api/v10/gateway", simulator.addr());
    let answer = http().get(&url).header("Host", "discord.test:8090").send().await.unwrap();
    assert_eq!(answer.json::<Value>().await.unwrap()["url"], "ws://discord.test:8090");
    let public = start(Options { public_url: Some("wss://sim.example".into()), ..options() }).await;
    assert_eq!(call(&public, "GET", "/api/v10/gateway", None).await.1["url"], "wss://sim.example");
}

#[tokio::test]
async fn the_sixth_message_in_a_channel_is_refused_and_other_channels_are_not() {
    let simulator = start(options()).await;
    let body = || Some(json!({ "content": "x" }));
    for _ in 0..5 {
        assert_eq!(call(&simulator, "POST", &messages_of(&simulator, 0), body()).await.0, 200);
    }
    assert_eq!(call(&simulator, "POST", &messages_of(&simulator, 0), body()).await.0, 429);
    assert_eq!(call(&simulator, "POST", &messages_of(&simulator, 1), body()).await.0, 200);
    let ledger = simulator.ledger();
    let counts: Vec<_> =
        ledger.rest.iter().map(|call| (call.route.as_str(), call.status, call.count)).collect();
    assert_eq!(
        counts,
        [("POST /channels/{channel}/messages", 200, 6), ("POST /channels/{channel}/messages", 429, 1)]
    );
}

#[tokio::test]
async fn bad_messages_get_discords_errors() {
    let simulator = start(options()).await;
    let missing = json!({ "content": "x", "message_reference": { "message_id": "7" } });
    let table = [
        (json!({}), 400, 50006),
        (json!({ "content": "x".repeat(2001) }), 400, 50035),
        (missing, 400, 50035),
        (json!({ "content": "x", "nonce": "n".repeat(26) }), 400, 50035),
        (json!([]), 400, 50109),
    ];
    for (guild, (body, status, code)) in table.into_iter().enumerate() {
        let (found, answer) =
            call(&simulator, "POST", &messages_of(&simulator, guild), Some(body.clone())).await;
        assert_eq!((found, &answer["code"]), (status, &json!(code)), "{body}");
    }
    let lenient =
        json!({ "content": "x", "message_reference": { "message_id": "7", "fail_if_not_exists": false } });
    let (status, message) = call(&simulator, "POST", &messages_of(&simulator, 9), Some(lenient)).await;
    assert_eq!((status, message.get("message_reference")), (200, None));
}

#[tokio::test]
async fn unknown_things_are_404_with_their_code_and_unknown_routes_are_written_down() {
    let simulator = start(options()).await;
    let table = [
        ("GET", "/api/v10/guilds/7", 404, 10004),
        ("GET", "/api/v10/channels/7", 404, 10003),
        ("POST", "/api/v10/channels/x/typing", 404, 10003),
        ("DELETE", "/api/v10/channels/7/messages/8", 404, 10003),
        ("GET", "/api/v10/voice/regions", 404, 0),
        ("GET", "/api/v5/gateway", 400, 50041),
        ("PUT", "/api/v10/gateway", 405, 0),
    ];
    for (method, path, status, code) in table {
        let (found, answer) = call(&simulator, method, path, None).await;
        assert_eq!((found, &answer["code"]), (status, &json!(code)), "{method} {path}");
    }
    let ledger = simulator.ledger();
    let expected = ["GET /api/v10/voice/regions", "GET /api/v5/gateway", "PUT /api/v10/gateway"];
    assert_eq!(ledger.unknown_route_details, expected);
    assert_eq!(ledger.unknown_routes, 3);
}

#[tokio::test]
async fn a_message_can_be_edited_and_deleted_by_its_author() {
    let simulator = start(options()).await;
    let path = messages_of(&simulator, 0);
    let (_, message) = call(&simulator, "POST", &path, Some(json!({ "content": "one" }))).await;
    let mine = format!("{path}/{}", message["id"].as_str().unwrap());
    let (status, edited) = call(&simulator, "PATCH", &mine, Some(json!({ "content": "two" }))).await;
    assert_eq!((status, &edited["content"]), (200, &json!("two")));
    assert!(edited["edited_timestamp"].is_string() && message["edited_timestamp"].is_null());
    assert_eq!(call(&simulator, "DELETE", &mine, None).await.0, 204);
    assert_eq!(call(&simulator, "PATCH", &mine, Some(json!({ "content": "three" }))).await.1["code"], 10008);

    let guild_id = Some(simulator.control().world.guilds()[0]);
    let others = NewMessage { content: "x".into(), guild_id, ..NewMessage::default() };
    let others = format!("{path}/{}", simulator.control().post_message(others).unwrap().message_id);
    assert_eq!(call(&simulator, "PATCH", &others, Some(json!({ "content": "mine" }))).await.1["code"], 50005);
}

#[tokio::test]
async fn an_enforced_nonce_makes_one_message_of_two() {
    let simulator = start(options()).await;
    let path = messages_of(&simulator, 0);
    let body = |enforce: bool| Some(json!({ "content": "x", "nonce": "n-1", "enforce_nonce": enforce }));
    let first = call(&simulator, "POST", &path, body(true)).await.1;
    assert_eq!(call(&simulator, "POST", &path, body(true)).await.1["id"], first["id"]);
    assert_ne!(call(&simulator, "POST", &path, body(false)).await.1["id"], first["id"]);
    let ledger = simulator.ledger();
    assert_eq!((ledger.messages.by_bots, ledger.events.doubled_marked), (2, 1));
}

#[tokio::test]
async fn a_form_with_a_file_is_a_message_with_an_attachment() {
    let simulator = start(options()).await;
    let body = "--X\r\nContent-Disposition: form-data; name=\"payload_json\"\r\n\r\n{\"content\":\"hi\"}\r\n--X\r\n\
                Content-Disposition: form-data; name=\"files[0]\"; filename=\"a.txt\"\r\n\r\nabc\r\n--X--\r\n";
    let answer = http()
        .post(format!("http://{}{}", simulator.addr(), messages_of(&simulator, 0)))
        .header("Authorization", format!("Bot {}", discord_sim::FAKE_TOKEN))
        .header("Content-Type", "multipart/form-data; boundary=X")
        .body(body)
        .send()
        .await
        .unwrap();
    let message: Value = answer.json().await.unwrap();
    assert_eq!((&message["content"], &message["attachments"][0]["size"]), (&json!("hi"), &json!(3)));
}

#[tokio::test]
async fn bodies_are_bounded() {
    let simulator = start(options()).await;
    let huge = json!({ "content": "x".repeat(12 * 1024 * 1024) });
    let (status, answer) = call(&simulator, "POST", &messages_of(&simulator, 0), Some(huge)).await;
    assert_eq!((status, &answer["code"]), (413, &json!(40005)));
    let huge = json!({ "content": "x".repeat(100 * 1024) });
    assert_eq!(call(&simulator, "POST", "/control/messages", Some(huge)).await.0, 400);
}

#[tokio::test]
async fn while_rest_is_unavailable_every_call_is_a_503_and_control_still_answers() {
    let simulator = start(options()).await;
    let change = |rest| SettingsChange { rest: Some(rest), ..SettingsChange::default() };
    simulator.control().settle(&change(RestState::Unavailable)).unwrap();
    for path in ["/api/v10/gateway", "/api/v10/users/@me"] {
        assert_eq!(call(&simulator, "GET", path, None).await.0, 503);
    }
    let body = Some(json!({ "rest": "normal" }));
    assert_eq!(call(&simulator, "POST", "/control/settings", body).await.1["rest"], "normal");
    assert_eq!(call(&simulator, "GET", "/api/v10/users/@me", None).await.0, 200);
}

#[tokio::test]
async fn a_body_of_another_type_is_an_invalid_form() {
    let simulator = start(options()).await;
    let url = format!("http://{}{}", simulator.addr(), messages_of(&simulator, 0));
    let request = http().post(url).header("Authorization", format!("Bot {}", discord_sim::FAKE_TOKEN));
    let answer = request.header("Content-Type", "text/plain").body("{}").send().await.unwrap();
    assert_eq!(answer.status(), 400);
    let body: Value = answer.json().await.unwrap();
    assert_eq!(
        (&body["code"], &body["errors"]["_errors"][0]["code"]),
        (&json!(50035), &json!("CONTENT_TYPE_INVALID"))
    );
}

#[tokio::test]
async fn missing_methods_are_unknown_routes_and_invented_ones_share_a_name() {
    let simulator = start(options()).await;
    assert_eq!(call(&simulator, "PUT", "/api/v10/users/@me", None).await.0, 405);
    for method in ["BREW", "PROPFIND"] {
        assert_eq!(call(&simulator, method, "/api/v10/users/@me", None).await.0, 405);
    }
    call(&simulator, "GET", "/api/v10/webhooks/1/s3cret/github", None).await;
    let ledger = simulator.ledger();
    let other = "other /users/@me".to_owned();
    let github = "GET /api/v10/webhooks/1/{token}/github".to_owned();
    let unknown = "other /api/v10/users/@me".to_owned();
    let expected = ["PUT /api/v10/users/@me".to_owned(), unknown.clone(), unknown, github];
    assert_eq!(ledger.unknown_route_details, expected);
    let counts: Vec<_> = ledger.rest.into_iter().map(|call| (call.route, call.status, call.count)).collect();
    assert_eq!(counts, [("PUT /users/@me".to_owned(), 405, 1), (other, 405, 2)]);
}

#[tokio::test]
async fn a_call_whose_client_gives_up_is_in_the_ledger_too() {
    let simulator = start(options()).await;
    let fault = json!({ "kind": "delay", "delayMs": 60_000, "route": "/users/@me" });
    assert_eq!(call(&simulator, "POST", "/control/faults", Some(fault)).await.0, 200);
    let mut changes = simulator.control().changes();
    let mut client = Raw::tcp(&simulator).await;
    let token = discord_sim::FAKE_TOKEN;
    let head = format!("GET /api/v10/users/@me HTTP/1.1\r\nHost: here\r\nAuthorization: Bot {token}\r\n\r\n");
    client.send(head.as_bytes()).await;
    changes.wait_for(|_| simulator.ledger().faults.values().sum::<u64>() > 0).await.unwrap();
    drop(client);
    changes.wait_for(|_| !simulator.ledger().rest.is_empty()).await.unwrap();
    let call = simulator.ledger().rest.remove(0);
    assert_eq!((call.route.as_str(), call.status), ("GET /users/@me", 499));
}
