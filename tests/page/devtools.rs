//! Chromium's DevTools protocol over a WebSocket: commands with answers, and events written down.
//!
//! From: the address that the browser says. For: `browser.rs`. Source: <https://chromedevtools.github.io/devtools-protocol/>.
//! Deliberately absent: types for what is said; tests ask for few things, by name.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use futures::stream::SplitSink;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::browser::PATIENCE;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A connection to a browser.
pub struct DevTools {
    sending: tokio::sync::Mutex<SplitSink<Socket, Message>>,
    heard: Arc<Mutex<Heard>>,
    reading: JoinHandle<()>,
}

#[derive(Default)]
struct Heard {
    asked: u64,
    waiting: HashMap<u64, oneshot::Sender<Value>>,
    events: Vec<Value>,
}

impl DevTools {
    /// Connects to `ws://...`.
    pub async fn connect(address: &str) -> Self {
        let (socket, _) = connect_async(address).await.expect("the browser takes connections");
        let (sending, mut receiving) = socket.split();
        let heard = Arc::new(Mutex::new(Heard::default()));
        let hearing = Arc::clone(&heard);
        let reading = tokio::spawn(async move {
            while let Some(Ok(message)) = receiving.next().await {
                let Message::Text(text) = message else { continue };
                let message: Value = serde_json::from_str(&text).expect("JSON");
                let mut heard = hearing.lock().unwrap();
                match message["id"].as_u64() {
                    Some(id) => {
                        // Who asked may have gone.
                        let _ = heard.waiting.remove(&id).map(|answer| answer.send(message));
                    }
                    None => heard.events.push(message),
                }
            }
            // Nobody waits for what cannot come any more.
            hearing.lock().unwrap().waiting.clear();
        });
        Self { sending: tokio::sync::Mutex::new(sending), heard, reading }
    }

    /// Carries out a command, of the browser or of one of its tabs; its result.
    pub async fn call(&self, tab: Option<&str>, method: &str, parameters: Value) -> Value {
        let (tell, answer) = oneshot::channel();
        let id = {
            let mut heard = self.heard.lock().unwrap();
            heard.asked += 1;
            let id = heard.asked;
            heard.waiting.insert(id, tell);
            id
        };
        let mut command = json!({ "id": id, "method": method, "params": parameters });
        if let Some(tab) = tab {
            command["sessionId"] = json!(tab);
        }
        let message = Message::text(command.to_string());
        self.sending.lock().await.send(message).await.expect("the browser listens");
        // Longer than a condition is waited for, which is a command too.
        let answer = tokio::time::timeout(2 * PATIENCE, answer).await.expect("the browser answers in time");
        let mut answer = answer.expect("the browser answers");
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].take()
    }

    /// What happened in a tab so far, of these kinds.
    pub fn events(&self, tab: &str, kinds: &[&str]) -> Vec<Value> {
        let heard = self.heard.lock().unwrap();
        let is_wanted = |event: &&Value| {
            event["sessionId"] == tab
                && event["method"].as_str().is_some_and(|method| kinds.contains(&method))
        };
        heard.events.iter().filter(is_wanted).map(|event| event["params"].clone()).collect()
    }
}

impl Drop for DevTools {
    fn drop(&mut self) {
        self.reading.abort();
    }
}
