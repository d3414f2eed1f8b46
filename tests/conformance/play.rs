//! Plays a case on a server, whichever it is.
//!
//! From steps and a client to the answers: status, warnings, and the body as JSON, as lines of a watch, or as text. Deliberately
//! absent: what must be equal.

use super::script::{Call, Case, Step};
use anyhow::{Context, Result};
use axum::http::{Request, header};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What was asked.
    pub call: String,
    /// The status code.
    pub status: u16,
    /// `Warning` headers.
    pub warnings: Vec<String>,
    /// The body.
    pub body: Value,
}

/// Plays a case. `compact` makes the server forget its history.
///
/// # Errors
/// When a call gets no answer.
pub async fn play(
    case: &Case,
    client: &Client,
    compact: impl AsyncFn() -> Result<()>,
) -> Result<Vec<Answer>> {
    let (mut answers, mut kept) = (Vec::new(), BTreeMap::<String, String>::new());
    let made = json!({ "metadata": { "name": case.namespace } }).to_string();
    let home = Call {
        method: "POST".to_owned(),
        path: "/api/v1/namespaces".to_owned(),
        content: "application/json".to_owned(),
        accept: "application/json".to_owned(),
        body: Some(made),
        meanwhile: None,
        keep: BTreeMap::new(),
    };
    answers.push(ask(&home, client, &|text| text.to_owned()).await?);
    for step in &case.steps {
        let call = match step {
            Step::Compact => {
                compact().await.context("compact")?;
                continue;
            }
            Step::Call(call) => call,
        };
        let filled = |text: &str| {
            let mut text = text.replace("NS", &case.namespace);
            for (name, value) in &kept {
                text = text.replace(&format!("${{{name}}}"), value);
            }
            text
        };
        let first = ask(call, client, &filled);
        let second = async {
            match &call.meanwhile {
                Some(call) => {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    ask(call, client, &filled).await.map(Some)
                }
                None => Ok(None),
            }
        };
        let (answer, second) = futures::try_join!(first, second).with_context(|| call.path.clone())?;
        answers.extend(second);
        for (name, pointer) in &call.keep {
            let value = answer.body.pointer(pointer).and_then(Value::as_str).unwrap_or("missing");
            kept.insert(name.clone(), value.to_owned());
        }
        answers.push(answer);
    }
    Ok(answers)
}

async fn ask(call: &Call, client: &Client, filled: &impl Fn(&str) -> String) -> Result<Answer> {
    let body = call.body.as_deref().map(filled);
    let mut request = Request::builder()
        .method(call.method.as_str())
        .uri(filled(&call.path))
        .header(header::ACCEPT, &call.accept)
        .header(header::USER_AGENT, "conformance/1");
    if body.is_some() {
        request = request.header(header::CONTENT_TYPE, &call.content);
    }
    let request = request.body(Body::from(body.unwrap_or_default().into_bytes()))?;
    let response = client.send(request).await?;
    let (head, body) = response.into_parts();
    let bytes = body.collect_bytes().await?;
    let warnings = head.headers.get_all(header::WARNING);
    let mut warnings: Vec<_> =
        warnings.iter().map(|warning| String::from_utf8_lossy(warning.as_bytes()).into_owned()).collect();
    warnings.sort();
    let text = String::from_utf8_lossy(&bytes);
    let body = serde_json::from_str(&text).unwrap_or_else(|_| {
        let lines: Result<Vec<Value>, _> = text.lines().map(serde_json::from_str).collect();
        lines.map_or_else(|_| Value::from(text.as_ref()), Value::from)
    });
    // A watch is a list of events, also where there is only one.
    let is_watch = call.path.contains("watch=true") && head.status == 200;
    let body =
        if is_watch && !body.is_array() { if body == "" { json!([]) } else { json!([body]) } } else { body };
    Ok(Answer {
        call: format!("{} {} {}", call.method, call.path, call.body.as_deref().unwrap_or_default()),
        status: head.status.as_u16(),
        warnings,
        body,
    })
}
