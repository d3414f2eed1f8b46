//! Records against the API server in memory: compare-and-set, late and lost answers, an API server that is away.
//!
//! From pods on a paused clock, each a process that ends when it is dropped, to what is kept and what they believe. Deliberately
//! absent: fleets (`tests/virtual`).

mod server;

use std::{path::Path, time::Duration};

use axum::http::StatusCode;
use shard_contract::{
    layouts::{Layout, Role},
    record::{Owner, Record, Session, State as Held},
};
use shard_machine::Tasks;
use tokio::time::timeout;

use self::server::{Fault, Kept};
use super::*;

const INTENTS: u64 = 513;

/// The API server, with free records of these shards.
struct Scene {
    server: Kept,
    folder: tempfile::TempDir,
    layouts: watch::Sender<Layouts>,
}

async fn scene(shards: u32) -> Scene {
    let layout = |number| Layout {
        number,
        total: 8,
        pods: 2,
        role: Role::Active,
        session_group: 0,
        fallback_slot: number,
    };
    let document = Layouts { layouts: vec![layout(1), layout(2)], ..Layouts::default() };
    let server = Kept::new(&document).await;
    for shard in 0..shards {
        server.set(shard, &Record::default()).await;
    }
    Scene { server, folder: tempfile::tempdir().unwrap(), layouts: watch::channel(document).0 }
}

/// A pod's process.
struct Pod {
    records: Records,
    progress: BTreeMap<u32, Arc<Progress>>,
    tasks: Tasks,
}

/// As by SIGKILL.
impl Drop for Pod {
    fn drop(&mut self) {
        self.tasks.end();
    }
}

impl Scene {
    /// A pod's process, with a folder for its files by its UID.
    fn pod(&self, layout: u32, uid: &str, shards: u32) -> Pod {
        let folder = self.folder.path().join(uid);
        std::fs::create_dir_all(&folder).unwrap();
        let kept = |shard| (shard, Progress::kept(Path::new(&folder), 0, shard, uid));
        let progress: BTreeMap<_, _> = (0..shards).map(kept).collect();
        let machine = Machine::this();
        let tasks = machine.tasks.clone();
        let source = Source {
            client: self.server.client(),
            namespace: "n".into(),
            bot: "b".into(),
            session_group: 0,
            me: Me { owner: Owner { layout, pod_uid: uid.into() }, intents: INTENTS },
            layouts: self.layouts.subscribe(),
            counters: crate::seen::metrics::Counters::default(),
            status: Arc::new(Status::new(0..shards, 8)),
            machine,
        };
        Pod { records: Records::begin(&source, &progress), progress, tasks }
    }

    /// A pod of which the first record says that it has a session, and which knows that it does.
    async fn pod_with_session(&self, shards: u32) -> Pod {
        let pod = self.pod(1, "me", shards);
        pod.claim(0).await;
        pod.ready(0, "s");
        self.until(|server| {
            let (record, file) = (server.record(0), pod.progress[&0].header());
            record.session.is_some() && (file.rev, file.writing) == (record.rev, None)
        })
        .await;
        pod
    }

    async fn until(&self, condition: impl Fn(&Kept) -> bool) {
        let waiting = async {
            while !condition(&self.server) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(20), waiting).await.unwrap();
    }
}

impl Pod {
    async fn claim(&self, shard: u32) -> Claimed {
        timeout(Duration::from_secs(20), self.records.claim(shard, true)).await.unwrap()
    }

    /// A claim that is still waiting after a while.
    async fn waits(&self, shard: u32) -> bool {
        timeout(Duration::from_millis(400), self.records.claim(shard, true)).await.is_err()
    }

    fn ready(&self, shard: u32, id: &str) {
        let session = Session { id: id.into(), resume_url: None, intents: INTENTS, guilds: 3, guilds_at: 1 };
        self.progress[&shard].begin_session(session);
        self.records.ready(shard);
    }

    fn resumes(&self, shard: u32) -> Option<(String, u64)> {
        self.progress[&shard].resume().map(|(session, after)| (session.id, after))
    }
}

fn held_by(layout: u32, uid: &str, rev: u64) -> Record {
    let owner = Some(Owner { layout, pod_uid: uid.into() });
    Record { rev, owner, state: Held::Held, ..Record::default() }
}

#[tokio::test(start_paused = true)]
async fn shards_are_claimed_noted_and_parked_together_and_the_next_pod_resumes() {
    let scene = scene(4).await;
    let first = scene.pod(1, "first", 4);
    let claims = (0..4).map(|shard| first.claim(shard));
    assert_eq!(futures::future::join_all(claims).await, [Claimed { live: false }; 4]);
    assert_eq!(scene.server.plan().writes, 1, "one patch for all");
    (0..4).for_each(|shard| first.ready(shard, &format!("s{shard}")));
    scene.until(|server| (0..4).all(|shard| server.record(shard).session.is_some())).await;
    assert_eq!(scene.server.plan().writes, 2);

    let mut tickets: Vec<_> = (1..=3).map(|at| first.progress[&2].receive(at).unwrap()).collect();
    assert!(tickets[0].begin());
    first.progress.values().for_each(|progress| progress.close());
    first.records.park().await;
    assert_eq!(scene.server.plan().writes, 3);
    let parked = scene.server.record(2);
    assert_eq!((parked.rev, parked.state, parked.after), (3, Held::Parked, Some(1)));

    let next = scene.pod(2, "next", 4);
    assert_eq!(next.claim(2).await, Claimed { live: true });
    assert_eq!(next.resumes(2), Some(("s2".into(), 1)));
    let restarted = scene.pod(2, "next", 4);
    assert_eq!(restarted.claim(2).await, Claimed { live: true }, "should the RESUME fail, users wait");
    assert_eq!(restarted.resumes(2), Some(("s2".into(), 1)), "a restarted container resumes by its file");
    assert_eq!(scene.server.record(2).rev, 4, "without a write");
}

#[tokio::test(start_paused = true)]
async fn one_record_that_changed_does_not_hold_the_others_up() {
    let scene = scene(3).await;
    let pod = scene.pod(1, "me", 3);
    futures::future::join_all((0..3).map(|shard| pod.claim(shard))).await;
    scene.server.set(1, &held_by(2, "other", 9)).await;
    (0..3).for_each(|shard| pod.ready(shard, "s"));
    let noted = |server: &Kept, shard| server.record(shard).session.is_some();
    scene.until(|server| noted(server, 0) && noted(server, 2)).await;
    let mut owned = pod.records.owned(1).unwrap();
    timeout(Duration::from_secs(5), owned.wait_for(|owned| !*owned)).await.unwrap().unwrap();
    assert_eq!(scene.server.record(1), held_by(2, "other", 9), "never two owners");
    assert_eq!(pod.resumes(1), None);
    assert!(pod.waits(1).await);
}

#[tokio::test(start_paused = true)]
async fn of_many_that_claim_at_once_one_gets_each_shard() {
    let scene = scene(1).await;
    scene.server.set(0, &held_by(9, "gone", 5)).await;
    let (one, two) = (scene.pod(1, "one", 1), scene.pod(2, "two", 1));
    // Who comes too late finds the record with a living layout, and goes on as a guest.
    futures::join!(one.claim(0), two.claim(0));
    let record = scene.server.record(0);
    assert_eq!((record.rev, record.state), (6, Held::Held));
    let loser = if record.owner.unwrap().pod_uid == "one" { &two } else { &one };
    assert_eq!(loser.records.names_me(0).await, Some(true), "a guest is nobody's but its own");
    assert_eq!(loser.progress[&0].header().writing, None, "and knows that its write cannot land any more");
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_is_lost_is_read_back() {
    for fault in [Fault::AnswerLost, Fault::Lost] {
        let scene = scene(1).await;
        scene.server.plan().faults.push_back(fault);
        let pod = scene.pod(1, "me", 1);
        pod.claim(0).await;
        let record = scene.server.record(0);
        assert_eq!(record.owner.unwrap().pod_uid, "me", "{fault:?}");
        assert_eq!((pod.progress[&0].header().rev, pod.progress[&0].header().writing), (record.rev, None));
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_fails_is_tried_again_also_on_what_a_lost_pod_left_held() {
    for fault in [Fault::AnswerLost, Fault::Lost] {
        for restarts in [false, true] {
            let scene = scene(1).await;
            scene.server.set(0, &held_by(1, "lost", 7)).await;
            scene.server.plan().faults.push_back(fault);
            let mut pod = scene.pod(1, "next", 1);
            if restarts {
                let claiming = pod.records.claim(0, true);
                tokio::select! {
                    _ = claiming => {}
                    () = scene.until(|server| server.plan().writes == 1) => {}
                }
                drop(pod);
                pod = scene.pod(1, "next", 1);
            }
            assert_eq!(pod.claim(0).await, Claimed { live: true }, "{fault:?} {restarts}");
            let owner = scene.server.record(0).owner;
            assert_eq!(owner.unwrap().pod_uid, "next", "{fault:?} {restarts}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_api_server_a_restarted_container_goes_by_its_file_and_a_new_pod_waits() {
    let scene = scene(2).await;
    drop(scene.pod_with_session(2).await);
    scene.server.plan().away = Some(StatusCode::SERVICE_UNAVAILABLE);
    let restarted = scene.pod(1, "me", 2);
    restarted.claim(0).await;
    assert_eq!(restarted.resumes(0), Some(("s".into(), 0)));
    assert!(restarted.waits(1).await, "it has no file");
    assert_eq!(restarted.records.names_me(0).await, None);
    scene.server.plan().away = None;
    let claimed = restarted.claim(1).await;
    assert_eq!((claimed.live, restarted.records.names_me(0).await), (false, Some(true)));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_a_crash_left_unnoted_is_noted_by_the_restarted_container() {
    let scene = scene(1).await;
    let pod = scene.pod(1, "me", 1);
    pod.claim(0).await;
    pod.ready(0, "s");
    drop(pod);
    assert_eq!(scene.server.record(0).session, None);
    let restarted = scene.pod(1, "me", 1);
    assert_eq!(restarted.claim(0).await, Claimed { live: true });
    let noted = |server: &Kept| server.record(0).session.is_some_and(|session| session.id == "s");
    scene.until(noted).await;
}

#[tokio::test(start_paused = true)]
async fn a_container_whose_pod_the_api_server_no_longer_knows_does_not_go_by_its_file() {
    let scene = scene(1).await;
    drop(scene.pod_with_session(1).await);
    scene.server.plan().away = Some(StatusCode::UNAUTHORIZED);
    let restarted = scene.pod(1, "me", 1);
    assert!(restarted.waits(0).await, "its token is that of a pod which was deleted");
    scene.server.plan().away = Some(StatusCode::SERVICE_UNAVAILABLE);
    assert!(restarted.waits(0).await, "and so it is when the API server says nothing any more");
    scene.server.plan().away = None;
    restarted.claim(0).await;
    assert_eq!(restarted.resumes(0), Some(("s".into(), 0)));
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_waits_for_its_record_does_not_hold_up_one_that_needs_the_document() {
    let scene = scene(1).await;
    scene.server.set(0, &held_by(9, "gone", 5)).await;
    let pod = scene.pod(1, "me", 2);
    tokio::select! {
        _ = pod.records.claim(1, true) => panic!("it has no record"),
        claimed = pod.claim(0) => assert_eq!(claimed, Claimed { live: true }),
    }
    assert_eq!(scene.server.record(0).owner.unwrap().pod_uid, "me");
}

#[tokio::test(start_paused = true)]
async fn a_container_that_may_have_parked_waits_for_the_api_server_and_writes_first() {
    let scene = scene(1).await;
    let pod = scene.pod_with_session(1).await;
    pod.progress[&0].writing(3, true);
    drop(pod);
    scene.server.plan().away = Some(StatusCode::SERVICE_UNAVAILABLE);
    let restarted = scene.pod(1, "me", 1);
    assert!(restarted.waits(0).await);
    scene.server.plan().away = None;
    restarted.claim(0).await;
    // Above what may still land; the claim that was given up may have been on its way as well.
    let rev = scene.server.record(0).rev;
    assert!(rev > 3, "{rev}");
    assert_eq!(restarted.resumes(0), Some(("s".into(), 0)));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_removed_under_its_holder_is_written_again() {
    let scene = scene(1).await;
    let pod = scene.pod_with_session(1).await;
    scene.server.clear().await;
    assert_eq!(pod.records.names_me(0).await, Some(true));
    scene.until(|server| server.record_if_any(0).is_some()).await;
    let record = scene.server.record(0);
    assert_eq!((record.rev, record.session.unwrap().id), (3, "s".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn an_old_record_that_was_put_back_is_claimed_anew_when_reads_went_well_for_half_a_minute() {
    let scene = scene(1).await;
    let pod = scene.pod_with_session(1).await;
    scene.server.set(0, &held_by(1, "gone", 1)).await;
    assert_eq!(pod.records.names_me(0).await, Some(false));
    let begun = tokio::time::Instant::now();
    let claiming = pod.records.claim(0, true);
    let away = async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        scene.server.plan().away = Some(StatusCode::UNAUTHORIZED);
        tokio::time::sleep(Duration::from_secs(10)).await;
        scene.server.plan().away = None;
    };
    let (claimed, ()) =
        timeout(Duration::from_mins(2), async { futures::join!(claiming, away) }).await.unwrap();
    assert_eq!((claimed, pod.resumes(0)), (Claimed { live: true }, None));
    let took = begun.elapsed().as_secs();
    assert!((60..75).contains(&took), "half a minute from when its token was good again: {took}");
    let record = scene.server.record(0);
    assert_eq!((record.owner.unwrap().pod_uid, record.rev), ("me".to_owned(), 3));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_was_replaced_does_not_take_its_shards_back() {
    let scene = scene(1).await;
    let old = scene.pod(1, "old", 1);
    old.claim(0).await;
    let new = scene.pod(1, "new", 1);
    assert_eq!(new.claim(0).await, Claimed { live: true });
    assert_eq!(old.records.names_me(0).await, Some(false));
    assert!(old.waits(0).await);
    assert_eq!(scene.server.record(0).owner.unwrap().pod_uid, "new");
}
