//! Which installation keeps the bots of a namespace.
//!
//! From a Lease in each namespace that has bots, held by an installation and not by one of its replicas, to whether a round may change
//! anything there and the gate may grant to the pods there. Whoever finds it held by another installation yields: it leaves its name at the
//! Lease, so that the holder can tell the bots' owners, and takes over only when the Lease has run out or was given back. Deliberately absent: which
//! replica of an installation leads; only that one looks at claims.

mod contender;

use crate::leader::{Acquired, Before, Leader, Others, Post, YIELDS_ANNOTATION};
use crate::lease::{CLAIM, Leadership};
use crate::model::Contest;
use contender::Contender;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use shard_machine::Machine;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The Lease's name. No release has a Lease of this name: a release's name has no dot.
pub const LEASE: &str = "shard-operator.dev";
/// How long whoever takes a claim from another grants nothing yet: what the other granted last, and the window after it, are over then.
const AFTER_ANOTHER: Duration = Duration::from_secs(10);
/// How long whoever finds no Lease does nothing about bots that have lived before: somebody may have deleted it, and its holder hears of
/// that when it would renew it, or not before its last renewal is good no more; what it granted last is over 9 s later.
const AFTER_UNKNOWN: Duration = Duration::from_secs(50);
/// How often it is said who yields.
const SAID_EVERY: Duration = Duration::from_secs(30);
/// How long a claim is kept that no round asks for: those of bots that are gone.
const UNASKED_FOR: Duration = Duration::from_secs(600);
/// How long the end waits until all are given back.
const GIVEN_BACK_WITHIN: Duration = Duration::from_secs(5);
/// How long a round waits until it is known who keeps its namespace, which takes two calls of the API server.
const KNOWN_WITHIN: Duration = Duration::from_millis(500);
/// How long it may be unknown who keeps a namespace before its rounds count as failed: longer than a Lease that somebody emptied is waited
/// for.
const UNKNOWN_FOR: Duration = Duration::from_secs(90);
/// How long after it was first looked at a claim is waited for; later it is looked at again soon.
const YOUNG_FOR: Duration = Duration::from_secs(5);

/// How a namespace stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Not known: the API server has not answered, or does not let this installation know.
    Unknown {
        /// Since when.
        since: Instant,
    },
    /// This installation keeps it.
    Ours {
        /// Since when.
        since: Instant,
        /// From when on it may grant.
        grants_from: Instant,
        /// From when on it may do anything about bots that have lived before.
        acts_from: Instant,
        /// Until when it surely does.
        until: Instant,
        /// Whether another installation watches it as well.
        contest: Contest,
    },
    /// Another installation does.
    Theirs {
        /// Its name: its own Lease's namespace and name.
        holder: String,
    },
}

/// The claims of one installation. Clones are the same.
#[derive(Clone)]
pub struct Claims(Arc<Inner>);

struct Inner {
    /// The installation's name.
    me: String,
    gate: String,
    client: kube::Client,
    machine: Machine,
    claims: Mutex<HashMap<String, Claim>>,
    ending: CancellationToken,
}

/// One namespace's.
struct Claim {
    /// Since when it is looked at.
    begun: Instant,
    standing: watch::Receiver<Standing>,
    asked: watch::Sender<Instant>,
}

impl Standing {
    /// Whether it has been unknown for long who keeps the namespace.
    #[must_use]
    pub fn is_long_unknown(&self) -> bool {
        matches!(self, Self::Unknown { since } if since.elapsed() >= UNKNOWN_FOR)
    }

    /// From now on it is unknown.
    fn unknown() -> Self {
        Self::Unknown { since: Instant::now() }
    }
}

impl Claims {
    /// None yet, for an installation of this name, whose gate is there. `client`: one that gives up early.
    #[must_use]
    pub fn new(installation: String, gate: String, client: kube::Client, machine: &Machine) -> Self {
        Self(Arc::new(Inner {
            me: installation,
            gate,
            client,
            machine: machine.clone(),
            claims: Mutex::default(),
            ending: CancellationToken::new(),
        }))
    }

    /// How a namespace stands; from the first time on this installation tries to keep it.
    pub async fn look(&self, namespace: &str) -> Standing {
        let mut standing = self.standing(namespace);
        if !self.is_young(namespace) {
            return standing.borrow().clone();
        }
        let known = standing.wait_for(|standing| !matches!(standing, Standing::Unknown { .. }));
        // How it stands is read below, whether that came in time or not.
        let _ = tokio::time::timeout(KNOWN_WITHIN, known).await;
        standing.borrow().clone()
    }

    /// Whether this installation surely keeps a namespace at this moment.
    #[must_use]
    pub fn holds(&self, namespace: &str, now: Instant) -> bool {
        let claims = self.claims();
        let standing = claims.get(namespace).map(|claim| claim.standing.borrow());
        standing.is_some_and(|standing| {
            matches!(*standing, Standing::Ours { until, grants_from, .. } if (grants_from..until).contains(&now))
        })
    }

    /// Whether a claim was looked at for the first time a moment ago.
    #[must_use]
    pub fn is_young(&self, namespace: &str) -> bool {
        self.claims().get(namespace).is_some_and(|claim| claim.begun.elapsed() < YOUNG_FOR)
    }

    /// A bot lives in a namespace: what this installation keeps there it keeps on.
    pub fn touch(&self, namespace: &str) {
        if let Some(claim) = self.claims().get(namespace) {
            claim.asked.send_replace(Instant::now());
        }
    }

    /// Gives all back, so that another need not wait for them to run out. Only after the gate is closed and rounds have ended.
    pub async fn give_back(&self) {
        self.0.ending.cancel();
        let standings: Vec<_> = self.claims().values().map(|claim| claim.standing.clone()).collect();
        let ended = standings.into_iter().map(async |mut standing| while standing.changed().await.is_ok() {});
        // What cannot be given back runs out by itself.
        let _ = tokio::time::timeout(GIVEN_BACK_WITHIN, futures::future::join_all(ended)).await;
    }

    /// Comes when this installation does not surely keep a namespace any more.
    pub async fn lost(&self, namespace: &str) {
        let mut standing = self.standing(namespace);
        loop {
            let Standing::Ours { until, .. } = *standing.borrow_and_update() else { return };
            tokio::select! {
                biased;
                changed = standing.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(until) => return,
            }
        }
    }

    fn standing(&self, namespace: &str) -> watch::Receiver<Standing> {
        let now = Instant::now();
        let mut claims = self.claims();
        // One that was given back has no sender any more.
        if let Some(claim) = claims.get(namespace).filter(|claim| claim.standing.has_changed().is_ok()) {
            claim.asked.send_replace(now);
            return claim.standing.clone();
        }
        claims.retain(|_, claim| claim.standing.has_changed().is_ok());
        let (told, standing) = watch::channel(Standing::unknown());
        let (asked, is_asked) = watch::channel(now);
        let inner = &self.0;
        let candidate = Candidate {
            me: inner.me.clone(),
            post: Post { namespace: namespace.to_owned(), name: LEASE.to_owned(), gate: inner.gate.clone() },
            client: inner.client.clone(),
            machine: inner.machine.clone(),
            told,
            ending: inner.ending.clone(),
        };
        inner.machine.tasks.spawn(candidate.run(is_asked));
        claims.insert(namespace.to_owned(), Claim { begun: now, standing: standing.clone(), asked });
        standing
    }

    /// It stays usable when a task panicked: each change is one step.
    fn claims(&self) -> MutexGuard<'_, HashMap<String, Claim>> {
        self.0.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An installation that wants to keep a namespace.
struct Candidate {
    me: String,
    post: Post,
    client: kube::Client,
    machine: Machine,
    told: watch::Sender<Standing>,
    ending: CancellationToken,
}

impl Candidate {
    /// Until nobody has asked for it for long.
    async fn run(self, mut asked: watch::Receiver<Instant>) {
        let mut contender = Contender::default();
        let mut held = None;
        loop {
            let Self { me, post, client, machine, .. } = &self;
            let (mut leader, leadership) =
                Leader::named(me.clone(), client.clone(), post.clone(), CLAIM, machine);
            let others = leader.others();
            let mut acquired = tokio::select! {
                biased;
                acquired = leader.acquire() => acquired,
                () = self.yields(others.clone()) => return,
                () = self.unwanted(&mut asked) => return,
            };
            // What was ours and stayed ours is kept since then.
            if let Some(since) = held.filter(|_| acquired.before == Before::Ourselves) {
                acquired.since = since;
            }
            held = Some(acquired.since);
            let lost = tokio::select! {
                biased;
                lost = leader.keep() => lost,
                () = self.tell(acquired, leadership, others, &mut contender) => return,
                () = self.unwanted(&mut asked) => {
                    let is_contested = matches!(&*self.told.borrow(), Standing::Ours { contest: Contest::With(_), .. });
                    self.told.send_replace(Standing::unknown());
                    // The next leader of this installation must not lose it to the one that yields at each restart.
                    if !(is_contested && self.ending.is_cancelled()) {
                        leader.release().await;
                    }
                    return;
                }
            };
            self.told.send_replace(Standing::unknown());
            tracing::warn!(namespace = post.namespace, because = %lost, "does not keep the bots of this namespace any more");
        }
    }

    /// Comes when no round has asked for it for long, or none will.
    async fn unwanted(&self, asked: &mut watch::Receiver<Instant>) {
        tokio::select! {
            biased;
            () = self.ending.cancelled() => {}
            () = unasked(asked) => {}
        }
    }

    /// Says again and again that this one yields, for as long as another holds it.
    async fn yields(&self, mut others: watch::Receiver<Others>) {
        let leases = Api::<Lease>::namespaced(self.client.clone(), &self.post.namespace);
        loop {
            let holder = others.borrow_and_update().holder.clone();
            let Some(holder) = holder else {
                if others.changed().await.is_err() {
                    return;
                }
                continue;
            };
            self.told.send_replace(Standing::Theirs { holder });
            let said = format!("{} {}", self.me, self.machine.wall.now());
            let patch = json!({ "metadata": { "annotations": { YIELDS_ANNOTATION: said } } });
            let patch = Patch::Merge(patch);
            if let Err(error) = leases.patch(LEASE, &PatchParams::default(), &patch).await {
                tracing::debug!(namespace = self.post.namespace, %error, "it could not be said who yields");
            }
            tokio::time::sleep(SAID_EVERY).await;
        }
    }

    /// Tells how it stands, for as long as this installation holds it.
    async fn tell(
        &self,
        Acquired { since, before }: Acquired,
        mut leadership: watch::Receiver<Leadership>,
        mut others: watch::Receiver<Others>,
        contender: &mut Contender,
    ) {
        let acts_from = if before == Before::Unknown { since + AFTER_UNKNOWN } else { since };
        let grants_from = if before == Before::Another { since + AFTER_ANOTHER } else { since };
        loop {
            let said = others.borrow_and_update().yields.clone();
            let contest = contender.see(said, &self.me, Instant::now());
            if let Leadership::Leading { until, .. } = *leadership.borrow_and_update() {
                self.told.send_replace(Standing::Ours { since, grants_from, acts_from, until, contest });
            }
            if leadership.changed().await.is_err() {
                return;
            }
        }
    }
}

/// Comes when no round has asked for a claim for long.
async fn unasked(asked: &mut watch::Receiver<Instant>) {
    loop {
        let at = *asked.borrow_and_update();
        tokio::select! {
            biased;
            changed = asked.changed() => if changed.is_err() { return },
            () = tokio::time::sleep_until(at + UNASKED_FOR) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use apiserver_sim::{Before as Then, Call, Hook, Options, Server};
    use k8s_openapi::api::core::v1::Namespace;
    use kube::api::PostParams;

    /// Breaks the calls of these users.
    #[derive(Clone, Default)]
    struct Cut(Arc<Mutex<Vec<String>>>);

    impl Hook for Cut {
        fn before(&mut self, call: &Call) -> Then {
            if self.0.lock().unwrap().contains(&call.user) { Then::Break } else { Then::GoOn }
        }

        fn read(&mut self, call: &Call) -> Then {
            self.before(call)
        }
    }

    async fn server() -> (Server, Cut) {
        let server = Server::new(Options::new(include_str!("../../crds/shardedbots.yaml"))).unwrap();
        let namespace: Namespace = serde_json::from_value(json!({ "metadata": { "name": "bots" } })).unwrap();
        Api::all(server.client("admin", "bots")).create(&PostParams::default(), &namespace).await.unwrap();
        let cut = Cut::default();
        server.hook(cut.clone());
        (server, cut)
    }

    fn installation(namespace: &str, server: &Server) -> Claims {
        let (name, gate) = (format!("{namespace}/shard-operator"), format!("http://{namespace}"));
        Claims::new(name, gate, server.client(namespace, "bots"), &Machine::this())
    }

    /// Waits until a claim is this installation's; returns how long it took.
    async fn taken(claims: &Claims) -> Duration {
        let begun = Instant::now();
        while !claims.holds("bots", Instant::now()) {
            claims.look("bots").await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        begun.elapsed()
    }

    fn theirs(holder: &str) -> Standing {
        Standing::Theirs { holder: holder.into() }
    }

    fn contender(standing: &Standing) -> Option<&str> {
        match standing {
            Standing::Ours { contest: Contest::With(contender), .. } => Some(contender),
            Standing::Ours { .. } | Standing::Unknown { .. } | Standing::Theirs { .. } => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_installation_keeps_a_namespace_and_the_other_yields_until_the_claim_has_run_out() {
        let (server, cut) = server().await;
        let (first, second) = (installation("a", &server), installation("b", &server));
        assert!(taken(&first).await < Duration::from_secs(1), "nobody had it");
        assert_eq!(second.look("bots").await, theirs("a/shard-operator"));
        tokio::time::sleep(Duration::from_secs(300)).await;
        assert!(first.holds("bots", Instant::now()) && !second.holds("bots", Instant::now()));
        assert_eq!(contender(&first.look("bots").await), Some("b/shard-operator"));
        cut.0.lock().unwrap().push("a".into());
        let cut_at = Instant::now();
        first.lost("bots").await;
        let lost_at = Instant::now();
        assert!(lost_at - cut_at <= CLAIM.valid && !first.holds("bots", lost_at));
        taken(&second).await;
        let gap = lost_at.elapsed();
        assert!(gap >= Duration::from_secs(20), "{gap:?}");
        assert!(cut_at.elapsed() < Duration::from_secs(120), "{:?}", cut_at.elapsed());
        cut.0.lock().unwrap().clear();
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(first.look("bots").await, theirs("b/shard-operator"));
        assert_eq!(contender(&second.look("bots").await), Some("a/shard-operator"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_leader_of_an_installation_keeps_its_namespaces_at_once() {
        let (server, cut) = server().await;
        let (before, after) = (installation("a", &server), installation("a", &server));
        taken(&before).await;
        cut.0.lock().unwrap().push("b".into());
        assert!(taken(&after).await < Duration::from_secs(1), "it is the same installation's");
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_asks_for_is_given_back_and_taken_ten_seconds_later() {
        let (server, _) = server().await;
        let (first, second) = (installation("a", &server), installation("b", &server));
        taken(&first).await;
        let last_asked = Instant::now();
        assert_eq!(second.look("bots").await, theirs("a/shard-operator"));
        let mut given_back = None;
        while !second.holds("bots", Instant::now()) {
            second.look("bots").await;
            if !first.holds("bots", Instant::now()) {
                given_back.get_or_insert_with(Instant::now);
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        assert!(given_back.unwrap() - last_asked >= UNASKED_FOR, "{:?}", given_back.unwrap() - last_asked);
        assert!(given_back.unwrap().elapsed() >= AFTER_ANOTHER);
        tokio::time::sleep(Duration::from_secs(200)).await;
        assert_eq!(contender(&second.look("bots").await), None, "it does not watch it any more");
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_no_claim_leaves_bots_that_lived_alone_until_another_would_have_noticed() {
        let (server, _) = server().await;
        let (first, fresh) = (installation("a", &server), installation("b", &server));
        taken(&first).await;
        tokio::time::sleep(Duration::from_secs(16)).await;
        let leases = Api::<Lease>::namespaced(server.client("somebody", "bots"), "bots");
        leases.delete(LEASE, &kube::api::DeleteParams::default()).await.unwrap();
        let Standing::Ours { acts_from, .. } = fresh.look("bots").await else { panic!("it is free") };
        first.lost("bots").await;
        let heard = Instant::now();
        // What it granted last, the window after that, and a little.
        assert!(acts_from > heard + Duration::from_secs(9), "{:?}", acts_from - heard);
        assert!(fresh.holds("bots", heard) && !first.holds("bots", heard));
    }

    #[tokio::test(start_paused = true)]
    async fn who_ends_well_gives_back_what_nobody_contests_and_keeps_the_rest_for_its_next_leader() {
        let (server, _) = server().await;
        let (first, next, second) =
            (installation("a", &server), installation("a", &server), installation("b", &server));
        taken(&first).await;
        first.give_back().await;
        assert!(!first.holds("bots", Instant::now()));
        // A fresh leader waits for 9 s in any case.
        assert!(taken(&next).await <= AFTER_ANOTHER + Duration::from_secs(1));
        assert_eq!(second.look("bots").await, theirs("a/shard-operator"));
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(contender(&next.look("bots").await), Some("b/shard-operator"));
        next.give_back().await;
        let last = installation("a", &server);
        assert!(
            taken(&last).await < Duration::from_secs(1),
            "one that is contested is kept for the next leader"
        );
        drop(second);
    }

    #[tokio::test(start_paused = true)]
    async fn of_installations_that_race_for_a_namespace_one_keeps_it() {
        let (server, _) = server().await;
        let all: Vec<_> = (0..6).map(|number| installation(&format!("n{number}"), &server)).collect();
        for _ in 0..100 {
            futures::future::join_all(all.iter().map(|one| one.look("bots"))).await;
            let holders = all.iter().filter(|one| one.holds("bots", Instant::now())).count();
            assert!(holders <= 1, "{holders}");
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        assert_eq!(all.iter().filter(|one| one.holds("bots", Instant::now())).count(), 1);
    }
}
