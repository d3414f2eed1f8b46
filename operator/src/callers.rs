//! Who is calling: from a bearer token to a pod of a layout.
//!
//! The API server reviews the token for the gate's audience and names the pod it is bound to; the pod must exist with
//! that UID and be controlled by its layout's StatefulSet. Reviews are kept for a while and made once at a time for each
//! token; refusals for a shorter while. Reviews have three lanes, so that unrecognised callers, however many, keep no pod from the gate: tokens
//! that were accepted before; those that say that they are a known pod's, a few for each pod, since a pod's UID is no secret; and
//! all others. Deliberately absent: what the pod may ask for, which the gate knows.

use crate::crd::Listed;
use crate::gate::Caller;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Client, Resource, ResourceExt};
use lru::LruCache;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use shard_contract::names::{BOT_LABEL, GATE_AUDIENCE, LAYOUT_LABEL, parse_pod, stateful_set};
use shard_serve::{Share, Shares};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::Instant;

/// How long a review counts. The pod itself is looked up at every call.
const KEPT: Duration = Duration::from_secs(300);
/// Reviews kept at most, some 10 MB of them; who has not called for longest goes first.
const MOST: NonZeroUsize = NonZeroUsize::new(50_000).unwrap();
/// How long a refusal counts.
const REFUSED_FOR: Duration = Duration::from_secs(10);
/// Questions to the API server about tokens that were accepted before, under way at a time; the others wait their turn.
const FOR_ACCEPTED: usize = 16;
/// The same about tokens that say that they are a known pod's.
const FOR_PODS: usize = 16;
/// And of these for one pod, those that wait included: its next token, and one more. What is beyond goes with the others.
const OF_A_POD: usize = 2;
/// The same about everybody else: unrecognised callers, and pods that are newer than the watch. Nobody costs the API server more.
const FOR_OTHERS: usize = 4;
/// Questions whether a known pod stays, whose token is refused.
const FOR_KNOWN: usize = 4;
/// Callers of one token, or that say that they are one pod, which are taken for likely while they are under review: as many as a pod may
/// have connections.
const LIKELY: usize = 16;
/// A review that takes longer than this is a failure.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a caller is not let in.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// No bearer token, or one that makes no sense.
    #[error(
        "Authorization: expected \"Bearer\" and the pod's service-account token for the audience {GATE_AUDIENCE}; the operator mounts it at {}",
        shard_contract::env::GATE_TOKEN_FILE
    )]
    NoToken,
    /// The API server does not know the token.
    #[error("the token was not accepted: {0}")]
    Unknown(String),
    /// The token's pod is not a shard pod.
    #[error("pod {0} does not belong to a layout of a ShardedBot")]
    NotAShardPod(String),
    /// The API server could not be asked.
    #[error("the API server could not review the token; ask again")]
    Review(#[source] Arc<kube::Error>),
    /// The API server did not answer in time.
    #[error("the API server did not review the token within 10 s; ask again")]
    TimedOut,
}

/// The pod that a token is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bound {
    namespace: String,
    name: String,
    uid: String,
}

/// A review under way or done. What could not be asked stays open.
type Reviewed = Arc<OnceCell<Result<Bound, Error>>>;

/// Whether a pod is there and stays, being asked or known; that it could not be asked, too: who asks again at once would ask without end.
type Stays = Arc<OnceCell<Result<bool, Error>>>;

/// Recognises pods.
pub struct Callers {
    client: Client,
    pods: Vec<Store<Listed<Pod>>>,
    reviews: Mutex<LruCache<[u8; 32], (Instant, Reviewed)>>,
    /// Tokens of pods that were let in. Apart from the reviews, whose number unrecognised callers can fill.
    accepted: Mutex<LruCache<[u8; 32], ()>>,
    for_accepted: Semaphore,
    for_pods: Semaphore,
    of_a_pod: Shares<String>,
    for_others: Semaphore,
    for_known: Semaphore,
    likely: Shares<[u8; 32]>,
    /// Pods that were asked about, by UID, and when.
    stays: Mutex<LruCache<String, (Instant, Stays)>>,
}

/// A caller that is likely to be a shard pod.
pub struct Likely {
    _share: Share<[u8; 32]>,
}

impl Callers {
    /// Recognises the pods in these stores, and those that are too new to be in them.
    #[must_use]
    pub fn new(client: Client, pods: Vec<Store<Listed<Pod>>>) -> Self {
        Self {
            client,
            pods,
            reviews: Mutex::new(LruCache::new(MOST)),
            accepted: Mutex::new(LruCache::new(MOST)),
            for_accepted: Semaphore::new(FOR_ACCEPTED),
            for_pods: Semaphore::new(FOR_PODS),
            of_a_pod: Shares::new(OF_A_POD),
            for_others: Semaphore::new(FOR_OTHERS),
            for_known: Semaphore::new(FOR_KNOWN),
            likely: Shares::new(LIKELY),
            stays: Mutex::new(LruCache::new(MOST)),
        }
    }

    /// Whether a caller is likely to be let in, before anybody has been asked: its token was accepted before, or says that it is
    /// a known pod's. A few at a time for each, since anybody can write such a token.
    #[must_use]
    pub fn likely(&self, token: &str) -> Option<Likely> {
        let key: [u8; 32] = Sha256::digest(token).into();
        let whose = if self.accepted().contains(&key) {
            key
        } else {
            Sha256::digest(self.claimed_by_a_pod(token)?.uid).into()
        };
        self.likely.take(whose).map(|share| Likely { _share: share })
    }

    /// Whether the pod that a token says it is bound to is there, and is not being deleted; none: it names no pod. Anybody who knows a pod's
    /// UID can write such a token; the answer tells no more than that. The API server is asked, once in ten seconds for a pod: a watch that has
    /// gone silent shows what was, and who is told that it is there holds its shards, while another may have been made in its place.
    ///
    /// # Errors
    /// When the API server does not say.
    pub async fn is_of_a_pod_that_stays(&self, token: &str) -> Result<Option<bool>, Error> {
        let Some(bound) = claimed(token) else { return Ok(None) };
        // Nothing that a stranger wrote becomes a path or is kept: only what names a known pod, whole.
        if !self.seen(&bound).is_some_and(|pod| stays(&pod, &bound)) {
            return Ok(Some(false));
        }
        let slot = {
            let mut stays = self.stays.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let slot = stays.get_or_insert_mut(bound.uid.clone(), || (now, Stays::default()));
            if now.duration_since(slot.0) > REFUSED_FOR {
                *slot = (now, Stays::default());
            }
            Arc::clone(&slot.1)
        };
        let read = async {
            let pod = self.read(&bound, &self.for_known).await?;
            Ok(pod.is_some_and(|pod| stays(&pod, &bound)))
        };
        slot.get_or_init(|| read).await.clone().map(Some)
    }

    /// The known pod of a layout that this token says it is bound to.
    fn claimed_by_a_pod(&self, token: &str) -> Option<Bound> {
        claimed(token).filter(|bound| self.seen(bound).is_some_and(|pod| caller(&pod, bound).is_some()))
    }

    /// The pod that this token is bound to.
    ///
    /// # Errors
    /// [`Error`] says what was wrong and the remedy.
    pub async fn recognise(&self, token: &str) -> Result<Caller, Error> {
        if token.is_empty() || token.len() > 8_192 || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::NoToken);
        }
        let key: [u8; 32] = Sha256::digest(token).into();
        let review = self.slot(key);
        let accepted = self.accepted().get(&key).is_some();
        let bound = match review.get_or_try_init(|| self.review(token, accepted)).await? {
            Ok(bound) => bound,
            Err(refusal) => {
                self.accepted().pop(&key);
                return Err(refusal.clone());
            }
        };
        let pod = self.pod(bound).await?;
        let Some(caller) = pod.and_then(|pod| caller(&pod, bound)) else {
            let refusal = Error::NotAShardPod(format!("{}/{}", bound.namespace, bound.name));
            self.accepted().pop(&key);
            self.keep(key, Err(refusal.clone()));
            return Err(refusal);
        };
        self.accepted().put(key, ());
        Ok(caller)
    }

    fn accepted(&self) -> MutexGuard<'_, LruCache<[u8; 32], ()>> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, key: [u8; 32]) -> Reviewed {
        let mut reviews = self.reviews.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let slot = reviews.get_or_insert_mut(key, || (now, Reviewed::default()));
        let kept = if matches!(slot.1.get(), Some(Err(_))) { REFUSED_FOR } else { KEPT };
        if now.duration_since(slot.0) > kept {
            *slot = (now, Reviewed::default());
        }
        slot.1.clone()
    }

    /// Replaces what is kept about a token.
    fn keep(&self, key: [u8; 32], review: Result<Bound, Error>) {
        let review = Arc::new(OnceCell::new_with(Some(review)));
        self.reviews.lock().unwrap_or_else(PoisonError::into_inner).put(key, (Instant::now(), review));
    }

    /// What the API server says of a token: the pod that it is bound to, or why there is none.
    async fn review(&self, token: &str, accepted: bool) -> Result<Result<Bound, Error>, Error> {
        let known = self.claimed_by_a_pod(token).filter(|_| !accepted);
        let share = known.as_ref().and_then(|bound| self.of_a_pod.take(bound.uid.clone()));
        let turns = match &share {
            _ if accepted => &self.for_accepted,
            Some(_) => &self.for_pods,
            None => &self.for_others,
        };
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: token.to_owned(),
                audiences: Some(vec![GATE_AUDIENCE.to_owned()]),
            },
            ..TokenReview::default()
        };
        let api: Api<TokenReview> = Api::all(self.client.clone());
        let params = PostParams::default();
        let answer = async {
            // Never closed.
            let _turn = turns.acquire().await;
            api.create(&params, &review).await
        };
        let answer = tokio::time::timeout(PATIENCE, answer)
            .await
            .map_err(|_| Error::TimedOut)?
            .map_err(|error| Error::Review(Arc::new(error)))?;
        Ok(bound(&answer.status.unwrap_or_default()))
    }

    /// The pod, if it is in a store.
    fn seen(&self, bound: &Bound) -> Option<Arc<Listed<Pod>>> {
        let reference = ObjectRef::<Listed<Pod>>::new(&bound.name).within(&bound.namespace);
        let seen = self.pods.iter().find_map(|store| store.get(&reference));
        seen.filter(|pod| pod.uid().as_deref() == Some(&bound.uid))
    }

    async fn pod(&self, bound: &Bound) -> Result<Option<Arc<Listed<Pod>>>, Error> {
        let seen = self.seen(bound);
        if seen.is_some() {
            return Ok(seen);
        }
        // Newer than the watch: a set's next pod has the name of the one before.
        Ok(self.read(bound, &self.for_others).await?.map(Arc::new))
    }

    /// The pod of this name as it is now.
    async fn read(&self, bound: &Bound, turns: &Semaphore) -> Result<Option<Listed<Pod>>, Error> {
        let api: Api<Listed<Pod>> = Api::namespaced(self.client.clone(), &bound.namespace);
        let found = async {
            // Never closed.
            let _turn = turns.acquire().await;
            api.get_opt(&bound.name).await
        };
        tokio::time::timeout(PATIENCE, found)
            .await
            .map_err(|_| Error::TimedOut)?
            .map_err(|error| Error::Review(Arc::new(error)))
    }
}

/// Whether this is the pod, and it is not being deleted.
fn stays(pod: &Listed<Pod>, bound: &Bound) -> bool {
    pod.meta().uid.as_deref() == Some(&bound.uid) && pod.meta().deletion_timestamp.is_none()
}

/// The pod that a token says it is bound to. Anybody can write such a token: it decides nothing but the order of reviews.
fn claimed(token: &str) -> Option<Bound> {
    #[derive(Deserialize)]
    struct Claims {
        #[serde(rename = "kubernetes.io")]
        kubernetes: Kubernetes,
    }
    #[derive(Deserialize)]
    struct Kubernetes {
        namespace: String,
        pod: Named,
    }
    #[derive(Deserialize)]
    struct Named {
        name: String,
        uid: String,
    }
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let Kubernetes { namespace, pod } = serde_json::from_slice::<Claims>(&payload).ok()?.kubernetes;
    Some(Bound { namespace, name: pod.name, uid: pod.uid })
}

fn bound(status: &TokenReviewStatus) -> Result<Bound, Error> {
    let unknown = |why: &str| Error::Unknown(why.to_owned());
    if status.authenticated != Some(true) {
        return Err(unknown(
            status.error.as_deref().unwrap_or("it is not valid, or not for the gate's audience"),
        ));
    }
    let for_the_gate = status.audiences.iter().flatten().any(|audience| audience == GATE_AUDIENCE);
    if !for_the_gate {
        return Err(unknown("it is for another audience"));
    }
    let user = status.user.as_ref().ok_or_else(|| unknown("it names no user"))?;
    let mut account = user.username.as_deref().unwrap_or_default().split(':');
    let (Some("system"), Some("serviceaccount"), Some(namespace)) =
        (account.next(), account.next(), account.next())
    else {
        return Err(unknown("it is not a service account's"));
    };
    let extra = |key: &str| {
        let values = user.extra.as_ref()?.get(&format!("authentication.kubernetes.io/{key}"))?;
        values.first().cloned()
    };
    match (extra("pod-name"), extra("pod-uid")) {
        (Some(name), Some(uid)) => Ok(Bound { namespace: namespace.to_owned(), name, uid }),
        _ => Err(unknown("it is not bound to a pod")),
    }
}

/// The caller, if the pod is the one that the token speaks of and a StatefulSet of its layout controls it.
fn caller(pod: &Listed<Pod>, bound: &Bound) -> Option<Caller> {
    let name = pod.name_any();
    let (bot, layout, ordinal) = parse_pod(&name)?;
    let set = stateful_set(bot, layout);
    let controlled = pod
        .owner_references()
        .iter()
        .any(|owner| owner.controller == Some(true) && owner.kind == "StatefulSet" && owner.name == set);
    let labelled = pod.labels().get(BOT_LABEL).map(String::as_str) == Some(bot)
        && pod.labels().get(LAYOUT_LABEL) == Some(&layout.to_string());
    (controlled && labelled && pod.uid().as_deref() == Some(&bound.uid)).then(|| Caller {
        namespace: bound.namespace.clone(),
        bot: bot.to_owned(),
        layout,
        ordinal,
        pod: name.clone(),
        uid: bound.uid.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http;
    use kube::client::Body;
    use serde_json::json;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn pod_of(namespace: &str, name: &str, uid: &str) -> Bound {
        Bound { namespace: namespace.into(), name: name.into(), uid: uid.into() }
    }

    /// A shard pod, controlled by a StatefulSet of this name.
    fn pod(owner: &str, uid: &str, layout: &str) -> Listed<Pod> {
        serde_json::from_value(json!({ "metadata": {
            "namespace": "bots", "name": "mybot-1-0", "uid": uid,
            "labels": { BOT_LABEL: "mybot", LAYOUT_LABEL: layout },
            "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "StatefulSet", "name": owner, "uid": "s", "controller": true }],
        } }))
        .unwrap()
    }

    fn status(extra: &serde_json::Value) -> TokenReviewStatus {
        serde_json::from_value(json!({
            "authenticated": true,
            "audiences": [GATE_AUDIENCE],
            "user": { "username": "system:serviceaccount:bots:mybot-shards", "extra": extra },
        }))
        .unwrap()
    }

    #[test]
    fn only_a_token_for_the_gate_that_is_bound_to_a_pod_is_accepted() {
        let extra = json!({
            "authentication.kubernetes.io/pod-name": ["mybot-1-0"],
            "authentication.kubernetes.io/pod-uid": ["u"],
        });
        let good = status(&extra);
        assert_eq!(bound(&good).unwrap(), pod_of("bots", "mybot-1-0", "u"));
        assert!(bound(&status(&json!({}))).unwrap_err().to_string().contains("not bound to a pod"));
        let other = TokenReviewStatus { audiences: Some(vec!["api".into()]), ..good.clone() };
        assert!(bound(&other).unwrap_err().to_string().contains("another audience"));
        let bad = TokenReviewStatus { authenticated: Some(false), ..good };
        assert!(bound(&bad).is_err());
    }

    #[test]
    fn a_pod_that_only_looks_like_ours_is_not_let_in() {
        let caller = |pod| caller(&pod, &pod_of("bots", "mybot-1-0", "u"));
        assert_eq!(caller(pod("mybot-1", "u", "1")).unwrap().ordinal, 0);
        assert_eq!(caller(pod("mybot-2", "u", "1")), None, "another set's");
        assert_eq!(caller(pod("mybot-1", "v", "1")), None, "an earlier pod of that name");
        assert_eq!(caller(pod("mybot-1", "u", "2")), None, "another layout's");
    }

    /// An API server that says of every token, or of the pod, what is given, and how often it was asked.
    fn callers(says: serde_json::Value) -> (Callers, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let counts = asked.clone();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            counts.fetch_add(1, Ordering::SeqCst);
            let pod = says.get("pod").filter(|_| request.method() == http::Method::GET);
            let answer = if let Some(pod) = pod {
                Ok(http::Response::new(Body::from(pod.to_string().into_bytes())))
            } else if says.is_null() {
                Err(std::io::Error::other("away"))
            } else {
                let review = json!({ "spec": {}, "metadata": {}, "status": says });
                Ok(http::Response::new(Body::from(review.to_string().into_bytes())))
            };
            async {
                // As long as a round trip.
                tokio::time::sleep(Duration::from_millis(5)).await;
                answer
            }
        });
        (Callers::new(Client::new(service, "ns"), Vec::new()), asked)
    }

    #[tokio::test(start_paused = true)]
    async fn an_unrecognised_caller_who_repeats_himself_costs_one_review_in_ten_seconds() {
        let (callers, asked) = callers(json!({ "authenticated": false }));
        for _ in 0..100 {
            assert!(matches!(callers.recognise("stranger").await, Err(Error::Unknown(_))));
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        tokio::time::sleep(REFUSED_FOR + Duration::from_millis(1)).await;
        assert!(callers.recognise("stranger").await.is_err());
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn unrecognised_callers_have_so_many_reviews_at_a_time_and_no_more() {
        let (callers, asked) = callers(json!({ "authenticated": false }));
        let tokens: Vec<_> = (0..100).map(|number| format!("stranger{number}")).collect();
        let all = futures::future::join_all(tokens.iter().map(|token| callers.recognise(token)));
        let some = tokio::time::timeout(Duration::from_millis(1), all).await;
        assert!(some.is_err());
        assert_eq!(asked.load(Ordering::SeqCst), FOR_OTHERS);
    }

    /// What a service account's token for this pod looks like.
    fn token(name: &str, uid: &str) -> String {
        let claims = json!({ "kubernetes.io": { "namespace": "bots", "pod": { "name": name, "uid": uid } } });
        format!("head.{}.signature", URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    /// The store of a watch that knows one pod.
    fn known() -> Store<Listed<Pod>> {
        let (known, mut writer) = kube::runtime::reflector::store();
        writer.apply_watcher_event(&kube::runtime::watcher::Event::Apply(pod("mybot-1", "u", "1")));
        known
    }

    /// Tokens that an unrecognised caller made who knows the pod's UID.
    fn forged() -> Vec<String> {
        (0..100).map(|number| format!("{}{number}", token("mybot-1-0", "u"))).collect()
    }

    /// The watch shows a pod that stays; what the API server says of it is what counts, and it is asked seldom.
    #[tokio::test(start_paused = true)]
    async fn of_a_token_that_is_refused_it_is_told_whether_its_pod_stays() {
        let mine = token("mybot-1-0", "u");
        let asked_of = |uid: &str, ends: Option<&str>| {
            let pod = json!({ "metadata": { "name": "mybot-1-0", "uid": uid, "deletionTimestamp": ends } });
            let (mut callers, asked) = callers(json!({ "pod": pod }));
            callers.pods.push(known());
            (callers, asked)
        };
        let stays =
            async |callers: &Callers, token: &str| callers.is_of_a_pod_that_stays(token).await.unwrap();
        let (callers, asked) = asked_of("u", None);
        assert_eq!(stays(&callers, "no token").await, None);
        assert_eq!(asked.load(Ordering::SeqCst), 0);
        for forged in forged().iter().chain([&mine]) {
            assert_eq!(stays(&callers, forged).await, Some(true));
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        tokio::time::sleep(REFUSED_FOR + Duration::from_millis(1)).await;
        assert_eq!(stays(&callers, &mine).await, Some(true));
        assert_eq!(stays(&callers, &token("mybot-1-0", "another")).await, Some(false));
        assert_eq!(stays(&callers, &token("../../secrets/a?x", "u")).await, Some(false));
        assert_eq!(asked.load(Ordering::SeqCst), 2, "what no watch knows is not asked for");
        for (uid, ends) in [("u", Some("2026-11-29T00:00:00Z")), ("next", None)] {
            assert_eq!(stays(&asked_of(uid, ends).0, &mine).await, Some(false), "{uid}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn where_the_api_server_does_not_say_whether_a_pod_stays_it_is_asked_again_after_ten_seconds() {
        let (mut callers, asked) = callers(json!(null));
        callers.pods.push(known());
        for forged in forged() {
            assert!(matches!(callers.is_of_a_pod_that_stays(&forged).await, Err(Error::Review(_))));
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_only_says_that_he_is_a_known_pod_takes_few_places_of_known_pods() {
        let (mut callers, asked) = callers(json!({ "authenticated": false }));
        callers.pods.push(known());
        let forged = forged();
        let all = futures::future::join_all(forged.iter().map(|token| callers.recognise(token)));
        assert!(tokio::time::timeout(Duration::from_millis(1), all).await.is_err());
        assert_eq!(asked.load(Ordering::SeqCst), OF_A_POD + FOR_OTHERS);
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_was_accepted_is_reviewed_anew_before_all_forged_ones() {
        let extra = json!({
            "authentication.kubernetes.io/pod-name": ["mybot-1-0"],
            "authentication.kubernetes.io/pod-uid": ["u"],
        });
        let (mut callers, asked) = callers(serde_json::to_value(status(&extra)).unwrap());
        callers.pods.push(known());
        let mine = token("mybot-1-0", "u");
        callers.recognise(&mine).await.unwrap();
        tokio::time::sleep(KEPT + Duration::from_millis(1)).await;
        let forged = forged();
        let strangers = futures::future::join_all(forged.iter().map(|token| callers.recognise(token)));
        tokio::select! {
            biased;
            _ = strangers => panic!("all forged tokens were reviewed first"),
            said = callers.recognise(&mine) => assert!(said.is_ok()),
        }
        assert!(asked.load(Ordering::SeqCst) <= 2 * (OF_A_POD + FOR_OTHERS + 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_known_pod_does_not_wait_for_unrecognised_callers() {
        let (mut callers, asked) = callers(json!({ "authenticated": false }));
        callers.pods.push(known());
        let tokens: Vec<_> = (0..100).map(|number| token("mybot-1-0", &format!("forged{number}"))).collect();
        let strangers = futures::future::join_all(tokens.iter().map(|token| callers.recognise(token)));
        let mine = token("mybot-1-0", "u");
        tokio::select! {
            biased;
            _ = strangers => panic!("all strangers were served first"),
            said = callers.recognise(&mine) => assert!(matches!(said, Err(Error::Unknown(_))), "reviewed all the same"),
        }
        assert!(asked.load(Ordering::SeqCst) <= 2 * FOR_OTHERS + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_unrecognised_caller_with_a_pod_of_his_own_costs_no_more_than_one_without() {
        let extra = json!({
            "authentication.kubernetes.io/pod-name": ["stranger"],
            "authentication.kubernetes.io/pod-uid": ["u"],
        });
        let (callers, asked) = callers(serde_json::to_value(status(&extra)).unwrap());
        for _ in 0..100 {
            assert!(matches!(callers.recognise("stranger").await, Err(Error::NotAShardPod(_))));
        }
        assert_eq!(asked.load(Ordering::SeqCst), 2, "one review, and one look at the pod");
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_reviews_are_kept_and_those_of_who_calls_again_stay() {
        let (callers, _) = callers(json!(null));
        let key = |number: usize| Sha256::digest(number.to_string()).into();
        let first = callers.slot(key(0));
        for number in 1..MOST.get() {
            callers.slot(key(number));
        }
        assert!(Arc::ptr_eq(&first, &callers.slot(key(0))));
        callers.slot(key(MOST.get()));
        assert_eq!(callers.reviews.lock().unwrap().len(), MOST.get());
        assert!(Arc::ptr_eq(&first, &callers.slot(key(0))));
    }

    #[tokio::test(start_paused = true)]
    async fn who_could_not_be_reviewed_is_reviewed_when_he_asks_again() {
        let (callers, asked) = callers(json!(null));
        for times in 1..4 {
            assert!(matches!(callers.recognise("pod").await, Err(Error::Review(_))));
            assert_eq!(asked.load(Ordering::SeqCst), times);
        }
    }
}
