//! What is decided on which evidence, and how evidence is gathered from an API server on loopback.

use std::sync::atomic::{AtomicBool, Ordering};

use axum::{Router, http::StatusCode};
use shard_contract::layouts::Layouts;
use shard_machine::{Machine, Names};
use tokio::net::TcpListener;

use super::*;
use crate::config::Pod;

const fn census(asked: u32, on_my_node: u32, elsewhere: u32) -> Census {
    Census { asked, on_my_node, elsewhere }
}

#[test]
fn a_pod_is_fenced_only_when_everything_has_been_silent_for_thirty_seconds() {
    use PeersSeen::{Fewer, Half, NotAsked};
    let begin = Instant::now();
    let at = |seconds| begin + Duration::from_secs(seconds);
    let table = [
        // API server, gate, peers, and whether it is fenced at 100 s.
        (70, 70, PeersSeen::None, true),
        (71, 70, PeersSeen::None, false),
        (70, 71, PeersSeen::None, false),
        (0, 0, NotAsked, false),
        (0, 0, Fewer(1), false),
        (0, 0, Fewer(2), true),
        (99, 0, Fewer(9), false),
        (0, 99, Fewer(9), false),
        (0, 0, Half(at(71)), false),
        (0, 0, Half(at(70)), true),
    ];
    for (api, gate, peers, expected) in table {
        let evidence = Evidence { api: at(api), gate: at(gate), peers };
        assert_eq!(cut_off(&evidence, at(100)), expected, "API {api}, gate {gate}, {peers:?}");
    }
}

#[test]
fn half_of_the_pods_on_other_nodes_are_enough_and_those_on_ones_own_do_not_count() {
    let now = Instant::now();
    let first = |census| PeersSeen::NotAsked.after(census, now);
    let table = [
        (census(0, 0, 0), PeersSeen::None),
        (census(3, 3, 0), PeersSeen::None),
        (census(1, 0, 0), PeersSeen::Fewer(1)),
        (census(1, 0, 1), PeersSeen::Half(now)),
        (census(4, 0, 2), PeersSeen::Half(now)),
        (census(5, 0, 2), PeersSeen::Fewer(1)),
        (census(5, 1, 2), PeersSeen::Half(now)),
        // Two pods of four on the lost node see each other, and that is no help.
        (census(3, 1, 0), PeersSeen::Fewer(1)),
    ];
    for (census, expected) in table {
        assert_eq!(first(census), expected, "{census:?}");
    }
}

#[test]
fn one_bad_round_proves_nothing_and_a_good_one_begins_anew() {
    let begin = Instant::now();
    let at = |seconds| begin + Duration::from_secs(seconds);
    let (bad, good) = (census(4, 0, 1), census(4, 0, 3));
    let seen = PeersSeen::NotAsked.after(good, at(0));
    assert_eq!(seen.after(bad, at(29)), PeersSeen::Half(at(0)));
    let seen = seen.after(bad, at(30)).after(bad, at(35));
    assert_eq!(seen, PeersSeen::Fewer(2));
    assert_eq!(seen.after(good, at(40)), PeersSeen::Half(at(40)));
}

/// A pod alone, on an API server that is there or away.
async fn scene(marker: PathBuf, away: Arc<AtomicBool>, silent_since: Instant) -> Fence {
    drop(rustls::crypto::ring::default_provider().install_default());
    let pages = Router::new().fallback(async move || {
        if away.load(Ordering::Relaxed) { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::NOT_FOUND }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move { axum::serve(listener, pages).await });
    let mut config = kube::Config::new(url);
    config.default_retry = false;
    let (_, layouts) = watch::channel(Layouts::default());
    let me = Pod::of_a_test();
    Fence {
        api: Api::namespaced(kube::Client::try_from(config).unwrap(), "n"),
        config_map: "b-layouts".into(),
        operator: Operator::new(layouts.clone(), "none".into(), Names::system())
            .unwrap()
            .heard_last(silent_since),
        peers: Peers::new(layouts, me, &Machine::this()).unwrap(),
        status: Arc::new(Status::new(0..1, 1)),
        fenced: watch::Sender::new(marker.exists()),
        marker,
        random: Random::system(),
    }
}

impl Fence {
    async fn look(&self, evidence: &mut Evidence) -> bool {
        let api_answers = self.gather(evidence).await;
        self.decide(evidence, api_answers, Instant::now());
        self.is_fenced()
    }
}

#[tokio::test]
async fn a_pod_alone_is_fenced_also_after_a_restart_until_the_api_server_answers() {
    let folder = tempfile::tempdir().unwrap();
    let (marker, away) = (folder.path().join("fenced"), Arc::new(AtomicBool::new(true)));
    let long_ago = Instant::now() - CUT_OFF_AFTER;
    let fence = scene(marker.clone(), Arc::clone(&away), long_ago).await;
    let silent = Evidence { api: long_ago, gate: long_ago, peers: PeersSeen::NotAsked };
    let mut evidence = silent;
    // The API server answers with a refusal, which is an answer.
    away.store(false, Ordering::Relaxed);
    assert!(!fence.look(&mut evidence).await && !marker.exists());
    away.store(true, Ordering::Relaxed);
    evidence = silent;
    assert!(fence.look(&mut evidence).await);
    assert!(marker.exists() && fence.status.fenced());

    let restarted = scene(marker.clone(), Arc::clone(&away), Instant::now()).await;
    // As it begins: nothing has been heard yet.
    let now = Instant::now();
    let mut evidence = Evidence { api: now, gate: now, peers: PeersSeen::NotAsked };
    assert!(
        restarted.look(&mut evidence).await,
        "neither a gate that answers nor its own beginning frees it"
    );
    away.store(false, Ordering::Relaxed);
    assert!(!restarted.look(&mut evidence).await);
    assert!(!marker.exists(), "it goes on, and so does its next container");
}
