//! Following the document from a small API server on loopback: read, watched, kept, and read from the file.

use std::{convert::Infallible, sync::Arc};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Query, State},
    response::{IntoResponse as _, Response},
    routing::get,
};
use serde_json::{Value, json};
use shard_contract::layouts::GateAddress;
use tokio::{
    net::TcpListener,
    sync::{Mutex, mpsc},
};

use super::*;

/// What the one ConfigMap becomes, each once and in order.
type Changes = Arc<Mutex<mpsc::UnboundedReceiver<Layouts>>>;
/// What it is at first.
const FIRST: u64 = 3;

fn document(generation: u64) -> Layouts {
    Layouts { generation, gate: GateAddress { url: "http://gate".into() }, ..Layouts::default() }
}

fn config_map(layouts: &Layouts) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "b-layouts", "namespace": "n", "resourceVersion": layouts.generation.to_string() },
        "data": { "layouts.json": serde_json::to_string(layouts).unwrap() },
    })
}

async fn one() -> Response {
    Json(config_map(&document(FIRST))).into_response()
}

/// What the pod's rights cover: a list or a watch of that one object.
async fn many(State(changes): State<Changes>, Query(asked): Query<Value>) -> Response {
    assert_eq!(asked["fieldSelector"], "metadata.name=b-layouts");
    let now = document(FIRST);
    if asked["watch"] != "true" {
        let metadata = json!({ "resourceVersion": now.generation.to_string() });
        return Json(json!({ "apiVersion": "v1", "kind": "ConfigMapList", "metadata": metadata, "items": [config_map(&now)] }))
            .into_response();
    }
    let changes = futures::stream::unfold(changes, async |changes| {
        let layouts = changes.lock().await.recv().await?;
        let event = json!({ "type": "MODIFIED", "object": config_map(&layouts) });
        Some((Ok::<_, Infallible>(Bytes::from(format!("{event}\n"))), changes))
    });
    Body::from_stream(changes).into_response()
}

fn client(url: &str) -> Client {
    drop(rustls::crypto::ring::default_provider().install_default());
    let mut config = kube::Config::new(url.parse().unwrap());
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

#[tokio::test]
async fn the_document_is_read_then_watched_and_each_that_is_news_is_kept() {
    let (world, changes) = mpsc::unbounded_channel();
    let pages = Router::new()
        .route("/api/v1/namespaces/n/configmaps/b-layouts", get(one))
        .route("/api/v1/namespaces/n/configmaps", get(many))
        .with_state(Arc::new(Mutex::new(changes)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, pages).await });
    let folder = tempfile::tempdir().unwrap();
    let kept = || Kept::<Layouts>::new(folder.path(), names::LAYOUTS_KEY).read().unwrap().generation;

    let mut layouts = follow(client(&url), &Pod::of_a_test(), folder.path(), &Machine::this()).await;
    assert_eq!((layouts.borrow_and_update().generation, kept()), (FIRST, FIRST));
    for generation in [5, 6] {
        world.send(document(generation)).unwrap();
        layouts.changed().await.unwrap();
        assert_eq!(layouts.borrow_and_update().generation, generation);
    }
    // An older one, as from an API server that was put back, changes nothing; the one after it does.
    world.send(document(2)).unwrap();
    world.send(document(7)).unwrap();
    layouts.changed().await.unwrap();
    assert_eq!(layouts.borrow_and_update().generation, 7);
    // It is kept right after it is handed on.
    while kept() != 7 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_api_server_a_restarted_container_goes_by_the_file_after_ten_seconds() {
    let folder = tempfile::tempdir().unwrap();
    Kept::new(folder.path(), names::LAYOUTS_KEY).write(&document(4));
    let began = Instant::now();
    let layouts =
        follow(client("http://127.0.0.1:1"), &Pod::of_a_test(), folder.path(), &Machine::this()).await;
    assert_eq!(layouts.borrow().generation, 4);
    assert!(began.elapsed() >= FILE_AFTER, "{:?}", began.elapsed());
}
