//! What is decided on which evidence, and how evidence is gathered from the API server in memory.
//!
//! From evidence, or answers, to whether the pod is fenced. Deliberately absent: how fleets fare (`tests/virtual`).

use std::sync::atomic::{AtomicU16, Ordering};

use apiserver_sim::{Before, Call, Hook, Options, Server};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::PostParams;
use serde_json::json;
use shard_contract::{layouts::Layouts, names, report::REPORT_EVERY_MS};
use shard_machine::{BootClock, Machine, Names};

use super::*;
use crate::edges::config::Pod;

const fn census(asked: u32, on_my_node: u32, elsewhere: u32) -> Census {
    Census { asked, on_my_node, elsewhere, gone: false }
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
        let evidence =
            Evidence { api: at(api), gate: at(gate), peers, ..Evidence::at_first(begin, begin, begin) };
        let expected = expected.then_some(Because::CutOff);
        assert_eq!(is_to_go(&evidence, at(100)), expected, "API {api}, gate {gate}, {peers:?}");
    }
}

#[test]
fn a_pod_that_was_deleted_is_fenced_whoever_answers() {
    let begin = Instant::now();
    let at = |seconds| begin + Duration::from_secs(seconds);
    let now = at(100);
    let everybody = Evidence { peers: PeersSeen::Half(now), ..Evidence::at_first(now, now, now) };
    for (known, denied, expected) in [
        (70, Some(99), Some(Because::Deleted)),
        (71, Some(99), None),
        // A leader has come to know it since, or has not been heard for long, or nobody ever said so.
        (70, Some(69), None),
        (0, Some(70), None),
        (0, None, None),
    ] {
        let evidence = Evidence { known: at(known), denied: denied.map(at), ..everybody };
        assert_eq!(is_to_go(&evidence, now), expected, "known at {known}, denied at {denied:?}");
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

/// Answers every read with this status; as it would be without, if it is that of what is there.
struct Says(Arc<AtomicU16>);

impl Hook for Says {
    fn read(&mut self, _: &Call) -> Before {
        match self.0.load(Ordering::Relaxed) {
            THERE => Before::GoOn,
            code => Before::Refuse(json!({ "kind": "Status", "status": "Failure", "code": code })),
        }
    }
}

fn server(says: Arc<AtomicU16>) -> Server {
    let server = Server::new(Options::new(include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../crds/shardedbots.yaml"
    ))))
    .unwrap();
    server.hook(Says(says));
    server
}

/// A pod alone, on an API server that answers every question with this status.
fn scene(marker: PathBuf, says: Arc<AtomicU16>, silent_since: Instant) -> Fence {
    let server = server(says);
    let (_, layouts) = watch::channel(Layouts::default());
    let me = Pod::of_a_test();
    Fence {
        api: Api::namespaced(server.client("pod", "n"), "n"),
        config_map: "b-layouts".into(),
        layouts: layouts.clone(),
        newest: Layouts::default(),
        uid: me.uid.clone(),
        operator: Operator::new(layouts.clone(), "none".into(), Names::system())
            .unwrap()
            .heard_last(silent_since),
        peers: Peers::new(layouts, me, &Machine::this()).unwrap(),
        status: Arc::new(Status::new(0..1, 1)),
        fencing: watch::Sender::new(Fencing::at_first(marker.exists(), silent_since)),
        heard: LastHeard::kept(marker.parent().unwrap(), BootClock::system()),
        marker,
        random: Random::system(),
    }
}

impl Fence {
    async fn look(&mut self, evidence: &mut Evidence) -> bool {
        let api_answers = self.gather(evidence).await;
        self.decide(evidence, api_answers, Instant::now());
        self.is_fenced()
    }
}

/// What an API server says that is there and has no such ConfigMap, that is away, and that does not know who asks.
const THERE: u16 = 404;
const AWAY: u16 = 503;
const DENIES: u16 = 401;

#[tokio::test(start_paused = true)]
async fn a_pod_alone_is_fenced_also_after_a_restart_until_the_api_server_answers() {
    let folder = tempfile::tempdir().unwrap();
    let (marker, says) = (folder.path().join("fenced"), Arc::new(AtomicU16::new(THERE)));
    let long_ago = Instant::now() - CUT_OFF_AFTER;
    let mut fence = scene(marker.clone(), Arc::clone(&says), long_ago);
    let mut evidence = Evidence::at_first(long_ago, long_ago, long_ago);
    // The API server answers with a refusal, which is an answer.
    assert!(!fence.look(&mut evidence).await && !marker.exists());
    says.store(AWAY, Ordering::Relaxed);
    evidence = Evidence::at_first(long_ago, long_ago, long_ago);
    assert!(fence.look(&mut evidence).await);
    assert!(marker.exists() && fence.status.fenced());

    let mut restarted = scene(marker.clone(), Arc::clone(&says), Instant::now());
    // As it begins: nothing has been heard yet.
    let mut evidence = Evidence::at_first(Instant::now(), Instant::now(), Instant::now());
    assert!(
        restarted.look(&mut evidence).await,
        "neither a gate that answers nor its own beginning frees it"
    );
    says.store(THERE, Ordering::Relaxed);
    assert!(!restarted.look(&mut evidence).await);
    assert!(!marker.exists(), "it goes on, and so does its next container");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_the_document_takes_for_gone_is_fenced_whoever_answers_until_it_no_longer_does() {
    let folder = tempfile::tempdir().unwrap();
    let (says, now) = (Arc::new(AtomicU16::new(THERE)), Instant::now());
    let mut fence = scene(folder.path().join("fenced"), Arc::clone(&says), now);
    let mut evidence = Evidence::at_first(now, now, now);
    let named = |uid: &str| {
        let gone = vec![uid.to_owned()];
        watch::channel(Layouts { gone, ..Layouts::default() }).1
    };
    let me = fence.uid.clone();
    for (uid, code, expected) in
        [("another", THERE, false), (&me, THERE, true), ("another", AWAY, true), ("another", THERE, false)]
    {
        says.store(code, Ordering::Relaxed);
        fence.layouts = named(uid);
        assert_eq!(fence.look(&mut evidence).await, expected, "{uid}, {code}");
        assert_eq!((fence.marker.exists(), fence.status.gone()), (expected, vec![uid.to_owned()]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_whose_reports_are_answered_asks_nobody_else() {
    assert!(ASK_API_AFTER >= Duration::from_millis(REPORT_EVERY_MS) + LOOK_EVERY);
    let folder = tempfile::tempdir().unwrap();
    for (silent, asks) in [(0, false), (19, false), (20, true)] {
        let heard = Instant::now() - Duration::from_secs(silent);
        let mut fence = scene(folder.path().join("fenced"), Arc::new(AtomicU16::new(THERE)), heard);
        let mut evidence = Evidence::at_first(heard, heard, heard);
        assert_eq!(fence.gather(&mut evidence).await, asks, "silent for {silent} s");
    }
}

/// Its watch hangs and a replica answers that does not lead.
#[tokio::test(start_paused = true)]
async fn a_pod_that_no_leader_answers_reads_for_itself_whether_it_is_taken_for_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (says, now) = (Arc::new(AtomicU16::new(THERE)), Instant::now());
    let mut fence = scene(folder.path().join("fenced"), Arc::clone(&says), now);
    let server = server(says);
    let parameters = PostParams::default();
    let namespace = serde_json::from_value(json!({ "metadata": { "name": "n" } })).unwrap();
    Api::<Namespace>::all(server.client("operator", "n")).create(&parameters, &namespace).await.unwrap();
    fence.api = Api::namespaced(server.client("operator", "n"), "n");
    let text = |generation: u64| {
        let document = Layouts { generation, gone: vec![fence.uid.clone()], ..Layouts::default() };
        let data = json!({ names::LAYOUTS_KEY: serde_json::to_string(&document).unwrap() });
        serde_json::from_value::<ConfigMap>(json!({ "metadata": { "name": "b-layouts" }, "data": data }))
            .unwrap()
    };
    fence.api.create(&parameters, &text(3)).await.unwrap();
    for (generation, unled, expected) in [(3, 19, false), (4, 20, false), (3, 20, true)] {
        fence.newest = Layouts::default();
        fence.layouts = watch::channel(Layouts { generation, ..Layouts::default() }).1;
        let mut evidence = Evidence { gate: now, ..Evidence::at_first(now, now, now) };
        evidence.known = now - Duration::from_secs(unled);
        fence.operator = fence.operator.clone().heard_last(now - Duration::from_secs(unled));
        assert_eq!(
            fence.look(&mut evidence).await,
            expected,
            "generation {generation}, {unled} s without a leader"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_says_401_knows_nothing_of_a_pod_and_frees_none() {
    let folder = tempfile::tempdir().unwrap();
    let (marker, says) = (folder.path().join("fenced"), Arc::new(AtomicU16::new(DENIES)));
    let long_ago = Instant::now() - CUT_OFF_AFTER;
    let mut fence = scene(marker, Arc::clone(&says), Instant::now());
    let mut evidence = Evidence::at_first(long_ago, long_ago, long_ago);
    assert!(!fence.look(&mut evidence).await, "the gate answers");
    let mut fence = scene(fence.marker, Arc::clone(&says), long_ago);
    evidence = Evidence::at_first(long_ago, long_ago, long_ago);
    assert!(fence.look(&mut evidence).await && fence.look(&mut evidence).await, "nobody answers a pod alone");
    says.store(THERE, Ordering::Relaxed);
    assert!(!fence.look(&mut evidence).await);
}

#[tokio::test(start_paused = true)]
async fn a_container_of_a_pod_that_heard_of_nobody_waits_until_somebody_answers() {
    let folder = tempfile::tempdir().unwrap();
    let (marker, says) = (folder.path().join("fenced"), Arc::new(AtomicU16::new(DENIES)));
    let long_ago = Instant::now() - CUT_OFF_AFTER;
    let scene = |says: &Arc<AtomicU16>| scene(marker.clone(), Arc::clone(says), long_ago);
    let fence = scene(&says);
    assert_eq!(*fence.fencing.borrow(), Fencing::Unsure);
    let mut evidence = Evidence::at_first(long_ago, Instant::now(), Instant::now());
    // One bad round of asking the others proves nothing yet.
    evidence.peers = PeersSeen::Fewer(1);
    fence.decide(&evidence, false, Instant::now());
    assert_eq!((*fence.fencing.borrow(), fence.status.fenced()), (Fencing::Unsure, false));
    evidence.peers = PeersSeen::Half(Instant::now());
    fence.decide(&evidence, false, Instant::now());
    assert_eq!(*fence.fencing.borrow(), Fencing::Free);

    let mut alone = scene(&says);
    let mut evidence = Evidence::at_first(long_ago, Instant::now(), Instant::now());
    says.store(AWAY, Ordering::Relaxed);
    assert!(
        !alone.look(&mut evidence).await && !marker.exists(),
        "the gate was not given the time to answer"
    );
    assert_eq!(*alone.fencing.borrow(), Fencing::Unsure);
    let answered = Evidence { gate: Instant::now(), ..evidence };
    tokio::time::sleep(ASK_API_AFTER).await;
    assert!(alone.look(&mut evidence).await && marker.exists(), "nobody answers a pod alone");
    let alone = self::scene(folder.path().join("other"), Arc::clone(&says), long_ago);
    alone.decide(&answered, false, answered.gate);
    assert_eq!(*alone.fencing.borrow(), Fencing::Free, "the gate alone is enough");
    std::fs::remove_file(&marker).unwrap();
    says.store(THERE, Ordering::Relaxed);
    let mut back = scene(&says);
    let mut evidence = Evidence::at_first(long_ago, Instant::now(), Instant::now());
    assert!(!back.look(&mut evidence).await && *back.fencing.borrow() == Fencing::Free);
}
