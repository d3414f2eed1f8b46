//! Following the document from the API server in memory: read, watched, kept, and read from the file.
//!
//! From what the ConfigMap becomes to what is handed on. Deliberately absent: rights, which the cluster level has.

use apiserver_sim::{Before, Call, Hook, Options, Server};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::PostParams;
use serde_json::json;
use shard_contract::layouts::GateAddress;

use super::*;

const FIRST: u64 = 3;

fn document(generation: u64) -> Layouts {
    Layouts { generation, gate: GateAddress { url: "http://gate".into() }, ..Layouts::default() }
}

fn config_map(generation: u64) -> ConfigMap {
    let text = serde_json::to_string(&document(generation)).unwrap();
    let data = json!({ names::LAYOUTS_KEY: text });
    serde_json::from_value(json!({ "metadata": { "name": "b-layouts" }, "data": data })).unwrap()
}

fn server() -> Server {
    Server::new(Options::new(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../crds/shardedbots.yaml"))))
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_document_is_read_then_watched_and_each_that_is_news_is_kept() {
    let (server, parameters) = (server(), PostParams::default());
    let client = server.client("operator", "n");
    let namespace = serde_json::from_value(json!({ "metadata": { "name": "n" } })).unwrap();
    Api::<Namespace>::all(client.clone()).create(&parameters, &namespace).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client, "n");
    maps.create(&parameters, &config_map(FIRST)).await.unwrap();
    let becomes = async |generation| {
        drop(maps.replace("b-layouts", &parameters, &config_map(generation)).await.unwrap());
    };
    let folder = tempfile::tempdir().unwrap();
    let kept = || Kept::<Layouts>::new(folder.path(), names::LAYOUTS_KEY).read().unwrap().generation;

    let pod = server.client("pod", "n");
    let mut layouts = follow(pod, &Pod::of_a_test(), folder.path(), &Machine::this()).await;
    assert_eq!((layouts.borrow_and_update().generation, kept()), (FIRST, FIRST));
    for generation in [5, 6] {
        becomes(generation).await;
        layouts.changed().await.unwrap();
        assert_eq!(layouts.borrow_and_update().generation, generation);
    }
    // An older one, as from an API server that was put back, changes nothing; the one after it does.
    becomes(2).await;
    becomes(7).await;
    layouts.changed().await.unwrap();
    assert_eq!(layouts.borrow_and_update().generation, 7);
    // It is kept right after it is handed on.
    while kept() != 7 {
        tokio::task::yield_now().await;
    }
}

struct Away;

impl Hook for Away {
    fn read(&mut self, _: &Call) -> Before {
        Before::Break
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_api_server_a_restarted_container_goes_by_the_file_after_ten_seconds() {
    let server = server();
    server.hook(Away);
    let folder = tempfile::tempdir().unwrap();
    Kept::new(folder.path(), names::LAYOUTS_KEY).write(&document(4));
    let began = Instant::now();
    let layouts = follow(server.client("pod", "n"), &Pod::of_a_test(), folder.path(), &Machine::this()).await;
    assert_eq!(layouts.borrow().generation, 4);
    assert!(began.elapsed() >= FILE_AFTER, "{:?}", began.elapsed());
}
