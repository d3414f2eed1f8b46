//! REST: limits that callers share, limits of those without a token, and the ban that invalid requests bring.

use std::time::Duration;

use discord_sim::{FAKE_TOKEN, Options, SettingsChange, Simulator, Token};
use reqwest::Response;
use serde_json::{Value, json};

use crate::client::{call, http, options, request, start};

async fn with_token(simulator: &Simulator, token: &str, method: &str, path: &str) -> Response {
    let url = format!("http://{}/api/v10{path}", simulator.addr());
    let request = http().request(method.parse().unwrap(), url);
    let request =
        if token.is_empty() { request } else { request.header("Authorization", format!("Bot {token}")) };
    request.json(&json!({ "content": "x" })).send().await.unwrap()
}

fn limited_to(limit: u32) -> SettingsChange {
    SettingsChange { invalid_request_limit: Some(limit), ..SettingsChange::default() }
}

#[tokio::test]
async fn bots_that_write_in_one_channel_share_a_limit_whose_429_is_not_held_against_them() {
    let tokens: Vec<_> = (0..5).map(|bot| format!("MTA{bot}.x.y")).collect();
    let known = tokens.iter().map(|token| Token::new(token)).collect();
    let simulator = start(Options { tokens: known, ..options() }).await;
    let path = format!("/channels/{}/messages", simulator.control().world.guilds()[0].0 + 1);
    for token in &tokens[..4] {
        for _ in 0..5 {
            assert_eq!(with_token(&simulator, token, "POST", &path).await.status(), 200);
        }
    }
    let refused = with_token(&simulator, &tokens[4], "POST", &path).await;
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["x-ratelimit-scope"]),
        (429, &"shared".parse().unwrap())
    );
    assert_eq!(refused.headers()["x-ratelimit-remaining"], "4");
    assert!(
        refused.headers().contains_key("retry-after")
            && !refused.headers().contains_key("x-ratelimit-global")
    );
    let body: Value = refused.json().await.unwrap();
    assert_eq!(
        (&body["message"], &body["code"]),
        (&json!("The resource is being rate limited."), &json!(20028))
    );
    assert_eq!(simulator.ledger().invalid_requests, 0);
}

#[tokio::test]
async fn the_51st_call_of_a_second_is_a_global_429_with_its_headers() {
    // Slowly enough for 51 calls to fit into Discord's second.
    let simulator = start(Options { time_factor: 0.1, ..options() }).await;
    let guilds = simulator.control().world.guilds();
    let paths =
        guilds.iter().flat_map(|guild| [format!("/guilds/{guild}"), format!("/guilds/{guild}/roles")]);
    let mut statuses = Vec::new();
    for path in paths.take(51) {
        let answer = request(&simulator, "GET", &format!("/api/v10{path}"), None).await;
        statuses.push(answer.status().as_u16());
        if statuses.len() == 51 {
            assert_eq!(answer.headers()["x-ratelimit-global"], "true");
            assert_eq!(answer.headers()["x-ratelimit-scope"], "global");
            assert!(!answer.headers().contains_key("x-ratelimit-bucket"));
            assert_eq!(answer.json::<Value>().await.unwrap()["global"], true);
        }
    }
    assert_eq!((&statuses[..50], statuses[50]), (&[200; 50][..], 429));
    // The address without a token has a limit of its own.
    assert_eq!(with_token(&simulator, "", "GET", "/gateway").await.status(), 200);
}

#[tokio::test]
async fn too_many_invalid_requests_ban_the_address_from_everything_until_the_ten_minutes_are_over() {
    let simulator = start(options()).await;
    simulator.control().settle(&limited_to(3)).unwrap();
    for _ in 0..3 {
        let refused = with_token(&simulator, "no.such.token", "GET", "/users/@me").await;
        assert_eq!(
            (refused.status().as_u16(), &refused.headers()["content-type"]),
            (401, &"application/json".parse().unwrap())
        );
    }
    for path in ["/users/@me", "/gateway", "/voice/regions"] {
        let banned = with_token(&simulator, FAKE_TOKEN, "GET", path).await;
        assert_eq!(banned.status(), 429, "{path}");
        let headers = banned.headers().clone();
        assert!(headers["content-type"].to_str().unwrap().starts_with("text/html"));
        assert!(headers.keys().all(|name| !name.as_str().starts_with("x-ratelimit")));
        let seconds: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((500..=600).contains(&seconds), "{seconds}");
        assert!(banned.text().await.unwrap().contains("1015"));
    }
    let ledger = simulator.ledger();
    let kinds: Vec<_> = ledger.violation_details.iter().map(|violation| violation.kind).collect();
    assert_eq!(kinds, [discord_sim::ledger::ViolationKind::InvalidRequests]);
    assert_eq!(ledger.unknown_routes, 0);
    simulator.control().clock.advance(Duration::from_secs(600));
    assert_eq!(with_token(&simulator, FAKE_TOKEN, "GET", "/users/@me").await.status(), 200);
}

#[tokio::test]
async fn forbidden_calls_and_429s_count_as_invalid_and_other_errors_do_not() {
    let simulator = start(Options { privileged_intents: 0, ..options() }).await;
    let members = format!("/api/v10/guilds/{}/members", simulator.control().world.guilds()[0]);
    assert_eq!(call(&simulator, "GET", &members, None).await.0, 403);
    for _ in 0..3 {
        call(&simulator, "GET", "/api/v10/gateway/bot", None).await;
    }
    call(&simulator, "GET", "/api/v10/guilds/7", None).await;
    call(&simulator, "PUT", "/api/v10/gateway", None).await;
    assert_eq!(simulator.ledger().invalid_requests, 2);
    let body = Some(json!({ "invalidRequestLimit": 0 }));
    assert_eq!(call(&simulator, "POST", "/control/settings", body).await.0, 400);
}
