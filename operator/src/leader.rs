//! Gets a lease and keeps it, by a client of its own.
//!
//! From the Lease on the API server to [`Leadership`], which the gate looks at before each grant and the HTTP server before each
//! call. One of a process that leads its installation, or of an installation that keeps a namespace ([`crate::claims`]). Writes replace the whole Lease with the resourceVersion that was read, so a write on an old one fails instead of
//! winning. The client never tries again by itself and gives up early: a renewal that hangs must not hide that the lease runs
//! out. Until the API server answers it is waited for. Deliberately absent: what is done with it, and ending the process.

use crate::lease::{Act, Candidate, GIVEN_BACK, LEADING, Leadership, Seen, Terms};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::ResourceExt;
use kube::api::{Api, ObjectMeta, PostParams};
use rand::RngCore as _;
use shard_machine::{ClientOptions, Machine, Random, WallClock};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Annotation of the Lease: base URL of its holder's gate.
pub const GATE_ANNOTATION: &str = "shard-operator.dev/gate";
/// Annotation of the Lease: who would hold it if its holder did not, and when it last said so.
pub const YIELDS_ANNOTATION: &str = "shard-operator.dev/yields";
/// Annotation of the Lease: another word with each renewal, also where the holder's clock stands still.
const RENEWAL_ANNOTATION: &str = "shard-operator.dev/renewal";
/// Variable that names this replica's pod.
pub const POD_NAME: &str = "POD_NAME";
/// One exchange with the API server takes no longer.
const PATIENCE: Duration = Duration::from_secs(4);
/// How often a long wait is told of, beside whenever its cause is another.
const SAY_EVERY: Duration = Duration::from_secs(300);
/// Of a holder's name so much is kept: a namespace's 63 characters, a Lease's 253, and what parts them. Anybody with rights may write it.
pub const MOST_CHARACTERS: usize = 317;

/// Which Lease, and what it says of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    /// The Lease's namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Base URL of this process's own gate.
    pub gate: String,
}

/// Why the lease is not ours any more.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// Somebody else holds it.
    #[error("the lease is held by {0}")]
    Taken(String),
    /// It could not be renewed in time.
    #[error("the lease could not be renewed for {} s", .0.as_secs())]
    NotRenewed(Duration),
}

/// A lease that has become ours.
#[derive(Clone, Copy, Debug)]
pub struct Acquired {
    /// Since when.
    pub since: Instant,
    /// Who had it before.
    pub before: Before,
}

/// Who had a lease before it became ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// We did.
    Ourselves,
    /// Another one, who has surely ended.
    Another,
    /// Nobody that can be known: there was no Lease.
    Unknown,
}

/// What the Lease says of others, as it was last seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Others {
    /// Who holds it; none while it is ours or nobody's.
    pub holder: Option<String>,
    /// Who yields to its holder, as it stands in [`YIELDS_ANNOTATION`].
    pub yields: Option<String>,
}

/// One candidate.
pub struct Leader {
    api: Api<Lease>,
    post: Post,
    me: String,
    terms: Terms,
    candidate: Candidate,
    /// The Lease as it was last written by us.
    held: Option<Lease>,
    leadership: watch::Sender<Leadership>,
    others: watch::Sender<Others>,
    random: Random,
    wall: WallClock,
}

/// The client for leases: it never tries again by itself and gives up early.
///
/// # Errors
/// When there is no cluster to talk to.
pub async fn client(machine: &Machine) -> Result<kube::Client, kube::Error> {
    let options =
        ClientOptions { connect_timeout: Some(PATIENCE), io_timeout: Some(PATIENCE), retries: false };
    machine.cluster.client(options).await
}

/// What one exchange showed.
enum Exchange {
    /// It is ours; the renewal began then.
    Ours { begun: Instant, before: Before },
    /// It is somebody else's.
    Theirs { holder: Option<String>, gate: Option<String> },
    /// Somebody wrote it at the same time.
    Again,
}

impl Leader {
    /// This process as a candidate for the lead of its installation, and whether it leads.
    #[must_use]
    pub fn new(client: kube::Client, post: Post, machine: &Machine) -> (Self, watch::Receiver<Leadership>) {
        let host = machine.variable(POD_NAME).unwrap_or_else(|| "shard-operator".to_owned());
        let me = format!("{host}_{:016x}", machine.random.rng().next_u64());
        Self::named(me, client, post, LEADING, machine)
    }

    /// A candidate of this name for a lease with these times, and whether it holds it.
    #[must_use]
    pub fn named(
        me: String,
        client: kube::Client,
        post: Post,
        terms: Terms,
        machine: &Machine,
    ) -> (Self, watch::Receiver<Leadership>) {
        let (leadership, seen) = watch::channel(Leadership::Standby { leader: None });
        let api = Api::namespaced(client, &post.namespace);
        let candidate = Candidate::new(me.clone(), terms);
        let (random, wall) = (machine.random.clone(), machine.wall.clone());
        let others = watch::Sender::default();
        (Self { api, post, me, terms, candidate, held: None, leadership, others, random, wall }, seen)
    }

    /// What the Lease says of others.
    #[must_use]
    pub fn others(&self) -> watch::Receiver<Others> {
        self.others.subscribe()
    }

    /// Waits until the lease is ours. Waits for the API server as well.
    pub async fn acquire(&mut self) -> Acquired {
        let mut said = None;
        loop {
            let mut wait = self.terms.every;
            let waits = match tokio::time::timeout(PATIENCE, self.exchange()).await {
                Ok(Ok(Exchange::Ours { begun, before })) => {
                    let (since, until) = (Instant::now(), begun + self.terms.valid);
                    self.leadership.send_replace(Leadership::Leading { since, until });
                    tracing::info!(
                        namespace = self.post.namespace,
                        lease = self.post.name,
                        me = self.me,
                        "leads"
                    );
                    return Acquired { since, before };
                }
                Ok(Ok(Exchange::Theirs { holder, gate })) => {
                    self.standby(gate);
                    Some(holder.map_or_else(
                        || {
                            "the lease was emptied or deleted, and its holder may lead until it notices"
                                .to_owned()
                        },
                        |holder| format!("{holder} leads"),
                    ))
                }
                Ok(Ok(Exchange::Again)) => {
                    wait = self.terms.again;
                    None
                }
                Ok(Err(error)) => Some(format!("the lease cannot be read or written: {error}")),
                Err(_) => Some("the API server does not answer".to_owned()),
            };
            if let Some(because) = waits
                && due(&mut said, &because)
            {
                tracing::info!(namespace = self.post.namespace, lease = self.post.name, because, "stands by");
            }
            tokio::time::sleep(self.jittered(wait)).await;
        }
    }

    /// Keeps the lease for as long as it can be kept; returns why it cannot any more. Whoever stops waiting for this must close
    /// the gate before [`Leader::release`].
    pub async fn keep(&mut self) -> Lost {
        let mut wait = self.jittered(self.terms.every);
        loop {
            let Leadership::Leading { since, until } = *self.leadership.borrow() else {
                return Lost::NotRenewed(self.terms.valid);
            };
            let lost = tokio::time::timeout_at(until, async {
                tokio::time::sleep(wait).await;
                self.renew(since).await
            })
            .await;
            match lost {
                Ok(Ok(())) => wait = self.jittered(self.terms.every),
                Ok(Err(None)) => wait = self.jittered(self.terms.again),
                Ok(Err(Some(lost))) => return self.over(lost),
                Err(_) => return self.over(Lost::NotRenewed(self.terms.valid)),
            }
        }
    }

    /// Gives the lease back, so that another one need not wait. Only after the gate is closed.
    pub async fn release(mut self) {
        self.leadership.send_replace(Leadership::Over);
        for _ in 0..3 {
            let released = tokio::time::timeout(PATIENCE, self.give_back()).await;
            match released {
                Ok(Ok(())) => {
                    tracing::info!(lease = self.post.name, "gave the lease back");
                    return;
                }
                Ok(Err(kube::Error::Api(answer))) if answer.code == 409 => self.held = None,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the lease could not be given back; it runs out by itself");
                    return;
                }
                Err(_) => return,
            }
        }
    }

    async fn renew(&mut self, since: Instant) -> Result<(), Option<Lost>> {
        match tokio::time::timeout(PATIENCE, self.exchange()).await {
            Ok(Ok(Exchange::Ours { begun, .. })) => {
                let until = begun + self.terms.valid;
                self.leadership.send_replace(Leadership::Leading { since, until });
                Ok(())
            }
            Ok(Ok(Exchange::Theirs { holder, .. })) => {
                Err(Some(Lost::Taken(holder.unwrap_or_else(|| "nobody".to_owned()))))
            }
            Ok(Ok(Exchange::Again)) => Err(None),
            Ok(Err(error)) => {
                let (namespace, lease) = (&self.post.namespace, &self.post.name);
                tracing::warn!(namespace, lease, %error, "the lease was not renewed; it is tried again");
                Err(None)
            }
            Err(_) => {
                tracing::warn!(
                    namespace = self.post.namespace,
                    lease = self.post.name,
                    "the lease was not renewed: the API server does not answer; it is tried again"
                );
                Err(None)
            }
        }
    }

    fn over(&self, lost: Lost) -> Lost {
        self.leadership.send_replace(Leadership::Over);
        lost
    }

    fn standby(&self, gate: Option<String>) {
        self.leadership.send_if_modified(|before| {
            let after = Leadership::Standby { leader: gate };
            let changed = *before != after;
            *before = after;
            changed
        });
    }

    async fn exchange(&mut self) -> Result<Exchange, kube::Error> {
        let begun = Instant::now();
        let leads = self.leadership.borrow().since().is_some();
        let found = match self.held.take() {
            Some(held) => Some(held),
            None => self.api.get_opt(&self.post.name).await?,
        };
        let params = PostParams::default();
        let act = self.candidate.step(Instant::now(), found.as_ref().map(seen).as_ref());
        self.tell(found.as_ref());
        let before = match act {
            Act::Take => Before::Another,
            Act::Create => Before::Unknown,
            Act::Renew | Act::Wait => Before::Ourselves,
        };
        let written = match (act, found) {
            (Act::Wait, found) => {
                let gate = found.as_ref().and_then(|found| found.annotations().get(GATE_ANNOTATION).cloned());
                let holder = found.and_then(|found| seen(&found).holder).filter(|holder| !holder.is_empty());
                return Ok(Exchange::Theirs { holder, gate });
            }
            (Act::Create, _) | (_, None) => self.api.create(&params, &self.written(Lease::default())).await,
            // One that leads has let it run out, or somebody emptied it: another may have led in between.
            (Act::Take, Some(_)) if leads => return Ok(Exchange::Theirs { holder: None, gate: None }),
            (Act::Take | Act::Renew, Some(found)) => {
                self.api.replace(&self.post.name, &params, &self.written(found)).await
            }
        };
        match written {
            Ok(lease) => {
                self.held = Some(lease);
                Ok(Exchange::Ours { begun, before })
            }
            Err(kube::Error::Api(answer)) if answer.code == 409 => {
                self.candidate.beaten();
                Ok(Exchange::Again)
            }
            Err(error) => Err(error),
        }
    }

    fn tell(&self, found: Option<&Lease>) {
        let holder = found.and_then(|found| seen(found).holder);
        let others = Others {
            holder: holder.filter(|holder| !holder.is_empty() && *holder != self.me),
            yields: found.and_then(|found| found.annotations().get(YIELDS_ANNOTATION).cloned()),
        };
        self.others.send_if_modified(|before| {
            let changed = *before != others;
            *before = others;
            changed
        });
    }

    /// Up to a fifth more, so that candidates do not ask in step.
    fn jittered(&self, wait: Duration) -> Duration {
        self.random.spread(wait, 1.0, 1.2)
    }

    /// The Lease as held by this process.
    fn written(&self, mut lease: Lease) -> Lease {
        let now = Some(MicroTime(self.wall.now()));
        let spec = lease.spec.take().unwrap_or_default();
        let renewed = spec.holder_identity.as_deref() == Some(self.me.as_str());
        let transitions = spec.lease_transitions.unwrap_or(0);
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(self.me.clone()),
            lease_duration_seconds: self.terms.term.as_secs().try_into().ok(),
            acquire_time: if renewed { spec.acquire_time.clone() } else { now.clone() },
            renew_time: now,
            lease_transitions: Some(transitions.saturating_add(i32::from(!renewed))),
            ..spec
        });
        let version = lease.metadata.resource_version.take();
        let mut annotations = lease.metadata.annotations.take().unwrap_or_default();
        annotations.insert(GATE_ANNOTATION.to_owned(), self.post.gate.clone());
        let renewal = format!("{:016x}", self.random.rng().next_u64());
        annotations.insert(RENEWAL_ANNOTATION.to_owned(), renewal);
        lease.metadata = ObjectMeta {
            name: Some(self.post.name.clone()),
            namespace: Some(self.post.namespace.clone()),
            resource_version: version,
            annotations: Some(annotations),
            ..lease.metadata
        };
        lease
    }

    async fn give_back(&mut self) -> Result<(), kube::Error> {
        let found = match self.held.take() {
            Some(held) => Some(held),
            None => self.api.get_opt(&self.post.name).await?,
        };
        let Some(mut lease) = found.filter(|lease| seen(lease).holder.as_ref() == Some(&self.me)) else {
            return Ok(());
        };
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = None;
            spec.lease_duration_seconds = GIVEN_BACK.as_secs().try_into().ok();
        }
        lease.annotations_mut().remove(GATE_ANNOTATION);
        self.api.replace(&self.post.name, &PostParams::default(), &lease).await.map(drop)
    }
}

fn seen(lease: &Lease) -> Seen {
    let spec = lease.spec.as_ref();
    let seconds = spec.and_then(|spec| spec.lease_duration_seconds);
    Seen {
        holder: spec
            .and_then(|spec| spec.holder_identity.as_ref())
            .map(|holder| holder.chars().take(MOST_CHARACTERS).collect()),
        word: word(lease).unwrap_or_default(),
        term: seconds.and_then(|seconds| seconds.try_into().ok()).map(Duration::from_secs),
    }
}

/// The holder, when it says that it renewed, and the word that only it writes; nothing that others write beside it. Cut: anybody with
/// rights may write there as much as he likes.
fn word(lease: &Lease) -> Option<String> {
    let spec = lease.spec.as_ref().and_then(|spec| serde_json::to_string(spec).ok())?;
    let renewal = lease.annotations().get(RENEWAL_ANNOTATION).map_or("", String::as_str);
    Some(renewal.chars().take(64).chain(spec.chars().take(1_024)).collect())
}

/// Whether something that goes on should be said again.
fn due(said: &mut Option<(Instant, String)>, because: &str) -> bool {
    let due = said.as_ref().is_none_or(|(at, before)| before != because || at.elapsed() >= SAY_EVERY);
    if due {
        *said = Some((Instant::now(), because.to_owned()));
    }
    due
}

#[cfg(test)]
mod tests {
    use super::*;
    use apiserver_sim::{Before, Call, Hook, Options, Server};
    use k8s_openapi::api::core::v1::Namespace;
    use kube::api::{Patch, PatchParams};
    use serde_json::json;
    use std::sync::{Arc, Mutex};

    /// Breaks the calls of these users.
    #[derive(Clone, Default)]
    struct Cut(Arc<Mutex<Vec<String>>>);

    impl Hook for Cut {
        fn before(&mut self, call: &Call) -> Before {
            if self.0.lock().unwrap().contains(&call.user) { Before::Break } else { Before::GoOn }
        }

        fn read(&mut self, call: &Call) -> Before {
            self.before(call)
        }
    }

    async fn server() -> (Server, Cut) {
        let server = Server::new(Options::new(include_str!("../../crds/shardedbots.yaml"))).unwrap();
        let namespace: Namespace = serde_json::from_value(json!({ "metadata": { "name": "ns" } })).unwrap();
        let namespaces = Api::all(server.client("somebody", "ns"));
        namespaces.create(&PostParams::default(), &namespace).await.unwrap();
        let cut = Cut::default();
        server.hook(cut.clone());
        (server, cut)
    }

    fn candidate(gate: &str, server: &Server) -> (Leader, watch::Receiver<Leadership>) {
        let post = Post { namespace: "ns".into(), name: "lease".into(), gate: gate.into() };
        Leader::new(server.client(gate, "ns"), post, &Machine::this())
    }

    #[tokio::test(start_paused = true)]
    async fn one_leads_the_other_knows_where_and_takes_over_only_when_the_first_is_surely_done() {
        let (server, cut) = server().await;
        let (mut first, leads) = candidate("http://first", &server);
        first.acquire().await;
        let (mut second, stands_by) = candidate("http://second", &server);
        let taken = tokio::spawn(async move { second.acquire().await });
        let kept = tokio::spawn(async move { (first.keep().await, Instant::now()) });
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(leads.borrow().holds(Instant::now()) && !taken.is_finished());
        assert_eq!(*stands_by.borrow(), Leadership::Standby { leader: Some("http://first".into()) });
        cut.0.lock().unwrap().push("http://first".into());
        let cut_at = Instant::now();
        let (lost, lost_at) = kept.await.unwrap();
        assert!(matches!(lost, Lost::NotRenewed(_)), "{lost}");
        assert_eq!(*leads.borrow(), Leadership::Over);
        assert!(lost_at - cut_at <= LEADING.valid);
        let taken_at = taken.await.unwrap().since;
        assert!(taken_at - lost_at >= Duration::from_secs(2), "{:?}", taken_at - lost_at);
        assert!(taken_at - cut_at <= Duration::from_secs(20), "{:?}", taken_at - cut_at);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_given_back_is_taken_at_once_and_who_comes_back_stands_by() {
        let (server, _) = server().await;
        let (mut first, leads) = candidate("http://first", &server);
        first.acquire().await;
        let (mut second, ..) = candidate("http://second", &server);
        let taken = tokio::spawn(async move {
            second.acquire().await;
            second.keep().await
        });
        tokio::time::sleep(Duration::from_secs(5)).await;
        first.release().await;
        assert_eq!(*leads.borrow(), Leadership::Over);
        tokio::time::sleep(Duration::from_secs(3)).await;
        let (mut third, stands_by) = candidate("http://third", &server);
        let waits = tokio::time::timeout(Duration::from_secs(40), third.acquire()).await;
        assert!(waits.is_err() && !taken.is_finished());
        assert_eq!(*stands_by.borrow(), Leadership::Standby { leader: Some("http://second".into()) });
    }

    #[tokio::test(start_paused = true)]
    async fn whose_clock_stands_still_leads_on() {
        let (server, _) = server().await;
        let stands = WallClock::of(|| k8s_openapi::jiff::Timestamp::UNIX_EPOCH);
        let machine = Machine { wall: stands, ..Machine::this() };
        let post = Post { namespace: "ns".into(), name: "lease".into(), gate: "http://first".into() };
        let (mut first, leads) = Leader::new(server.client("http://first", "ns"), post, &machine);
        first.acquire().await;
        let kept = tokio::spawn(async move { first.keep().await });
        let (mut second, ..) = candidate("http://second", &server);
        let waits = tokio::time::timeout(Duration::from_secs(120), second.acquire()).await;
        assert!(waits.is_err() && leads.borrow().holds(Instant::now()) && !kept.is_finished());
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_that_race_for_a_lease_one_wins() {
        let (server, _) = server().await;
        let (won, mut winners) = tokio::sync::mpsc::unbounded_channel();
        for number in 0..8 {
            let (mut one, ..) = candidate("http://gate", &server);
            let won = won.clone();
            tokio::spawn(async move {
                one.acquire().await;
                won.send(number).unwrap();
                one.keep().await
            });
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(winners.recv().await.is_some() && winners.try_recv().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_whose_lease_was_taken_by_hand_stops_at_once() {
        let (server, _) = server().await;
        let (mut first, leads) = candidate("http://first", &server);
        first.acquire().await;
        let leases: Api<Lease> = Api::namespaced(server.client("somebody", "ns"), "ns");
        let taken = Patch::Merge(json!({ "spec": { "holderIdentity": "somebody" } }));
        leases.patch("lease", &PatchParams::default(), &taken).await.unwrap();
        let lost = first.keep().await;
        assert!(matches!(&lost, Lost::Taken(holder) if holder == "somebody"), "{lost}");
        assert_eq!(*leads.borrow(), Leadership::Over);
    }
}
