#!/usr/bin/env bash
# Of which state of the cluster kube's watcher first tells, with its list in pages and with `streaming_lists()`.
#
# Version: kube 5.0.0 (Rust).
# Expected: of the same: both begin with all objects as they are now, and `Config::list_semantic` is left at its default, `MostRecent`.
# Seen: the list in pages asks without `resourceVersion`, which the API server answers with the most recent state; the stream asks with
# `resourceVersion=0` and `NotOlderThan`, which allows any state that its cache has, and `list_semantic` changes nothing of that. A
# program that took its first list for the newest state may see an older one once it streams lists, as where one of several API
# servers lags behind.
#
# Needs: Rust and its package registry. Ends with 0 when this is still so, 1 when something changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

mkdir -p "$folder/src"
cat >"$folder/Cargo.toml" <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2024"

[dependencies]
futures = "0.3"
http = "1"
k8s-openapi = { version = "=0.29.0", features = ["latest"] }
kube = { version = "=5.0.0", default-features = false, features = ["client", "runtime"] }
tokio = { version = "1", features = ["macros", "rt"] }
tower = { version = "0.5", features = ["util"] }
TOML
cat >"$folder/src/main.rs" <<'RUST'
use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::client::Body;
use kube::runtime::watcher::{self, Config};
use kube::{Api, Client};
use std::sync::mpsc;

/// What is asked first.
async fn first(config: Config) -> String {
    let (tell, told) = mpsc::channel();
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let _ = tell.send(request.uri().query().unwrap_or_default().to_owned());
        let answer = http::Response::builder().status(503).body(Body::empty());
        std::future::ready(answer)
    });
    let maps: Api<ConfigMap> = Api::namespaced(Client::new(service, "default"), "default");
    let mut events = std::pin::pin!(watcher::watcher(maps, config));
    while let Some(event) = events.next().await {
        if event.is_err() {
            break;
        }
    }
    told.recv().unwrap()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    println!("pages: {}", first(Config::default()).await);
    println!("stream: {}", first(Config::default().streaming_lists()).await);
}
RUST

seen=$(cargo run --quiet --manifest-path "$folder/Cargo.toml" --target-dir "$folder/target" |
    sed -E 's/&?(limit|timeoutSeconds)=[0-9]+//; s/(: )&/\1/')
expected='pages: 
stream: watch=true&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=0'

printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
    printf 'changed; it was\n%s\n' "$expected" >&2
    exit 1
fi
