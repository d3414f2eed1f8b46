//! The server as tests use it: identities, hooks, the trace, the collector, determinism, and kube's own watcher.
//!
//! From clients in one thread on a paused clock. What the server answers is held to the real one elsewhere. Deliberately absent: that.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use apiserver_sim::{After, Before, Call, Hook, Options, Server, Written};
use futures::StreamExt as _;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ServiceAccount};
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::runtime::watcher;
use serde_json::{Value, json};
use std::time::Duration;

const DEFINITION: &str = include_str!("../../../crds/shardedbots.yaml");

fn server() -> Server {
    Server::new(Options::new(DEFINITION)).unwrap()
}

fn maps(client: &Client) -> Api<ConfigMap> {
    Api::namespaced(client.clone(), "default")
}

fn of<K: serde::de::DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).unwrap()
}

/// Breaks the answer of the first write, refuses the second.
struct Nasty(usize);

impl Hook for Nasty {
    fn before(&mut self, call: &Call) -> Before {
        assert_eq!((call.verb, call.user.as_str()), ("create", "me"));
        self.0 += 1;
        let refusal = json!({ "kind": "Status", "status": "Failure", "reason": "Forbidden", "message": "no", "code": 403 });
        if self.0 == 2 { Before::Refuse(refusal) } else { Before::GoOn }
    }

    fn after(&mut self, _: &Written) -> After {
        if self.0 == 1 { After::Break } else { After::Answer }
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_drops_an_answer_and_refuses_and_the_trace_tells_what_was_written() {
    let server = server();
    server.hook(Nasty(0));
    let maps = maps(&server.client("me", "default"));
    let make = async |name: &str| {
        maps.create(&PostParams::default(), &of(json!({ "metadata": { "name": name } }))).await
    };
    assert!(!matches!(make("a").await.unwrap_err(), kube::Error::Api(_)));
    assert!(matches!(make("b").await.unwrap_err(), kube::Error::Api(status) if status.code == 403));
    make("c").await.unwrap();
    let trace = server.take_trace();
    assert_eq!(trace.len(), 2, "{trace:?}");
    assert!(trace[0].version < trace[1].version);
    assert_eq!(trace[0].call.path, "/api/v1/namespaces/default/configmaps");
    let names: Vec<_> = maps
        .list(&ListParams::default())
        .await
        .unwrap()
        .items
        .into_iter()
        .map(|map| map.metadata.name)
        .collect();
    assert_eq!(names, [Some("a".to_owned()), Some("c".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn kubes_watcher_lists_watches_and_begins_anew_after_410() {
    begins_anew(watcher::Config::default()).await;
}

#[tokio::test(start_paused = true)]
async fn kubes_watcher_streams_a_list_and_begins_anew_after_410() {
    begins_anew(watcher::Config::default().streaming_lists()).await;
}

async fn begins_anew(how: watcher::Config) {
    let server = server();
    let client = server.client("me", "default");
    let maps = maps(&client);
    let make = async |name: &str| {
        maps.create(&PostParams::default(), &of(json!({ "metadata": { "name": name } }))).await.unwrap();
    };
    make("a").await;
    let mut events = std::pin::pin!(watcher(maps.clone(), how));
    let mut names = Vec::new();
    let mut next = async |until: &str| {
        while let Some(event) = tokio::time::timeout(Duration::from_secs(600), events.next()).await.unwrap() {
            if let Ok(watcher::Event::InitApply(map) | watcher::Event::Apply(map)) = event {
                names.push(map.metadata.name.unwrap());
                if names.last().unwrap() == until {
                    return names.clone();
                }
            }
        }
        Vec::new()
    };
    assert_eq!(next("a").await, ["a"]);
    make("b").await;
    assert_eq!(next("b").await, ["a", "b"]);
    // What the watcher has not seen is forgotten: it lists again.
    make("c").await;
    server.compact();
    assert_eq!(next("c").await, ["a", "b", "a", "b", "c"]);
}

/// Keeps one host at an older version, and keeps the change to `b` from whoever watches.
struct Behind(u64);

impl Hook for Behind {
    fn as_of(&mut self, call: &Call) -> Option<u64> {
        (call.from == "behind").then_some(self.0)
    }

    fn tells(&mut self, _: &Call, version: u64) -> bool {
        version != self.0 + 1
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_reads_what_was_and_an_event_is_lost_until_the_watches_end() {
    let server = server();
    let maps = maps(&server.client("me", "default"));
    let behind = Client::new(server.service("me").from("behind"), "default");
    let behind: Api<ConfigMap> = Api::namespaced(behind, "default");
    let make = async |name: &str| {
        maps.create(&PostParams::default(), &of(json!({ "metadata": { "name": name } }))).await.unwrap();
    };
    make("a").await;
    server.hook(Behind(server.version()));
    let mut events = std::pin::pin!(watcher(maps.clone(), watcher::Config::default()));
    let mut next = async || {
        loop {
            let event = tokio::time::timeout(Duration::from_secs(600), events.next()).await;
            if let Ok(watcher::Event::InitApply(map) | watcher::Event::Apply(map)) = event.unwrap().unwrap() {
                return map.metadata.name.unwrap();
            }
        }
    };
    assert_eq!(next().await, "a");
    make("b").await;
    make("c").await;
    assert_eq!(next().await, "c", "the event of b is lost");
    assert_eq!(behind.list(&ListParams::default()).await.unwrap().items.len(), 1);
    let streamed = watcher(behind.clone(), watcher::Config::default().streaming_lists());
    let told: Vec<_> = streamed.take(3).map(Result::unwrap).collect().await;
    assert!(
        matches!(&told[..], [watcher::Event::Init, watcher::Event::InitApply(_), watcher::Event::InitDone]),
        "{told:?}"
    );
    assert!(behind.get("a").await.is_ok() && behind.get_opt("b").await.unwrap().is_none());
    assert!(maps.get("b").await.is_ok());
    server.expire_watches();
    assert_eq!((next().await, next().await, next().await), ("a".into(), "b".into(), "c".into()));
}

#[tokio::test(start_paused = true)]
async fn the_collector_takes_what_belongs_to_nobody_and_ends_foreground_deletions() {
    let server = server();
    let client = server.client("me", "default");
    let sets: Api<StatefulSet> = Api::namespaced(client.clone(), "default");
    let pods: Api<Pod> = Api::namespaced(client.clone(), "default");
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
    accounts.create(&PostParams::default(), &of(json!({ "metadata": { "name": "default" } }))).await.unwrap();
    let containers = json!([{ "name": "bot", "image": "i" }]);
    let set: StatefulSet = of(json!({
        "metadata": { "name": "s" },
        "spec": {
            "serviceName": "s",
            "selector": { "matchLabels": { "l": "s" } },
            "template": { "metadata": { "labels": { "l": "s" } }, "spec": { "containers": containers } },
        },
    }));
    let set = sets.create(&PostParams::default(), &set).await.unwrap();
    let owner = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "s", "uid": set.metadata.uid,
        "controller": true, "blockOwnerDeletion": true,
    });
    let pod = json!({
        "metadata": { "name": "s-0", "ownerReferences": [owner] },
        "spec": { "containers": containers, "nodeName": "n", "terminationGracePeriodSeconds": 5 },
    });
    pods.create(&PostParams::default(), &of(pod)).await.unwrap();
    let gone = sets.delete("s", &DeleteParams::foreground()).await.unwrap();
    assert!(gone.left().unwrap().metadata.deletion_timestamp.is_some());
    assert_eq!(server.collect_garbage(), 1);
    let ending = pods.get("s-0").await.unwrap();
    assert_eq!(ending.metadata.deletion_grace_period_seconds, Some(5));
    assert_eq!(server.collect_garbage(), 0, "the pod's kubelet has the word");
    drop(pods.delete("s-0", &DeleteParams::default().grace_period(0)).await.unwrap());
    assert_eq!(server.collect_garbage(), 1);
    assert!(sets.get_opt("s").await.unwrap().is_none() && server.collect_garbage() == 0);
}

#[test]
fn the_same_calls_give_the_same_answers() {
    let story = |seed: u64| {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let server = Server::new(Options { seed, ..Options::new(DEFINITION) }).unwrap();
            let maps = maps(&server.client("me", "default"));
            let made: ConfigMap = of(json!({ "metadata": { "generateName": "a-" } }));
            let made = maps.create(&PostParams::default(), &made).await.unwrap();
            tokio::time::sleep(Duration::from_secs(3)).await;
            let object =
                server.object("configmaps", "default", made.metadata.name.as_ref().unwrap()).unwrap();
            object.to_string()
        })
    };
    assert_eq!(story(1), story(1));
    assert_ne!(story(1), story(2));
}
