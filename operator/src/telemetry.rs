//! Logs: one JSON object per thing that happened on a pod's output, plain lines in a terminal.
//!
//! `RUST_LOG` chooses the level (default `info`). Deliberately absent, whatever it says: the token, and what the API server answers.
//! kube's client writes the whole text of an answer that it cannot read, be it a Secret or a list of all tenants' bots, at WARN and
//! below (`client/mod.rs` of kube-client 5.0); where such an error matters it comes back and is told without the text.

use std::io::IsTerminal;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// Starts logging; call it once.
pub fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let logs = if std::io::stderr().is_terminal() {
        logs.boxed()
    } else {
        logs.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
    };
    tracing_subscriber::registry()
        .with(logs.with_filter(filter))
        .with(filter_fn(keeps_answers_to_itself))
        .init();
}

/// Whether an event carries no answer of the API server.
fn keeps_answers_to_itself(event: &Metadata<'_>) -> bool {
    *event.level() == Level::ERROR || !event.target().starts_with("kube_client::client")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn an_answer_that_cannot_be_read_is_in_no_log_at_any_level() {
        let written = Written::default();
        let writer = written.clone();
        let logs = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
        let all = logs.with_filter(EnvFilter::new("trace,kube_client=trace,kube_client::client=trace"));
        let subscriber = tracing_subscriber::registry().with(all).with(filter_fn(keeps_answers_to_itself));
        let _guard = tracing::subscriber::set_default(subscriber);
        let service = tower::service_fn(async |_| {
            // Cut off before its end.
            let body = r#"{"metadata":{},"items":[{"metadata":{},"data":{"token":"aHVzaA=="}}"#;
            let body = kube::client::Body::from(body.as_bytes().to_vec());
            Ok::<_, kube::Error>(axum::http::Response::new(body))
        });
        let client = kube::Client::new(service, "bots");
        let api: kube::Api<k8s_openapi::api::core::v1::Secret> = kube::Api::default_namespaced(client);
        let error = api.list(&kube::api::ListParams::default()).await.unwrap_err();
        tracing::warn!(%error, "told");
        let written = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert!(written.contains("told") && !written.contains("aHVzaA"), "{written}");
    }
}
