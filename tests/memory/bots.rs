//! The bots of the memory benchmark, as texts: no type of ours could hold some of them.
//!
//! From a number to what a user applies, each with a token of its own; and the two extremes of a template. Deliberately absent: who reads them.

use anyhow::{Result, ensure};
use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::Client;
use kube::api::{Api, PostParams};
use kube::client::Body;
use serde_json::{Value, json};

/// Variables of an ordinary bot: configuration, references to Secrets.
const VARIABLES: u32 = 30;
/// Just below the 256 KiB and the 10,000 values that are taken.
const LARGEST_VALUES: usize = 9_900;
const LARGEST_TEXT: usize = 150_000;
/// Tiny maps of the one that is too large: 1.4 MB.
const MAPS: usize = 450_000;

/// A bot as a team would run it.
pub(crate) fn ordinary(number: u32) -> String {
    let variables: Vec<_> = (0..VARIABLES)
        .map(|variable| json!({ "name": format!("SETTING_{variable}"), "value": format!("https://service-{variable}.example/path") }))
        .collect();
    bot(
        number,
        &json!({ "containers": [{
        "name": "bot", "image": "ghcr.io/example/bot:1.4.0", "env": variables,
        "resources": { "requests": { "cpu": "50m", "memory": "64Mi" }, "limits": { "memory": "256Mi" } },
        "securityContext": { "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true },
    }] }),
    )
    .to_string()
}

/// The largest template that is taken, of small maps, which take most memory for their length.
pub(crate) fn largest() -> String {
    let map = r#"{"name":"a"}"#;
    let maps = vec![map; LARGEST_VALUES / 2].join(",");
    let template = json!({ "containers": [
        { "name": "bot", "image": "i", "env": "HERE", "command": ["x".repeat(LARGEST_TEXT)] },
    ] });
    bot(0, &template).to_string().replace("\"HERE\"", &format!("[{maps}]"))
}

/// One that is not taken.
pub(crate) fn too_large() -> String {
    let maps = vec!["{}"; MAPS].join(",");
    let template = json!({ "containers": [{ "name": "bot", "image": "i" }], "affinity": "HERE" });
    bot(0, &template).to_string().replace("\"HERE\"", &format!("{{\"a\":[{maps}]}}"))
}

fn bot(number: u32, template: &Value) -> Value {
    json!({
        "apiVersion": "shard-operator.dev/v1alpha1", "kind": "ShardedBot",
        "metadata": { "name": format!("bot-{number}") },
        "spec": { "tokenSecretRef": { "name": format!("token-{number}") }, "shards": 2, "template": { "spec": template } },
    })
}

/// Makes a namespace with these bots and their tokens.
pub(crate) async fn create(client: &Client, namespace: &str, texts: &[String]) -> Result<()> {
    let made = json!({ "metadata": { "name": namespace } });
    Api::<Namespace>::all(client.clone())
        .create(&PostParams::default(), &serde_json::from_value(made)?)
        .await?;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let path = format!("/apis/shard-operator.dev/v1alpha1/namespaces/{namespace}/shardedbots");
    let each = texts.iter().enumerate().map(|(number, text)| {
        let (secrets, path) = (secrets.clone(), path.clone());
        async move {
            // The first of a token's parts is the application's id.
            let token = format!("{}.a.b", 1_000_000 + number);
            let secret = json!({ "metadata": { "name": format!("token-{number}") }, "stringData": { "token": token } });
            secrets.create(&PostParams::default(), &serde_json::from_value(secret)?).await?;
            let request = axum::http::Request::post(path).header("content-type", "application/json");
            let response = client.send(request.body(Body::from(text.clone().into_bytes()))?).await?;
            ensure!(response.status().is_success(), "bot {number}: {}", response.status());
            Ok(())
        }
    });
    let made: Vec<Result<()>> = stream::iter(each).buffer_unordered(16).collect().await;
    made.into_iter().collect()
}
