//! Who is calling: from a bearer token to a pod of a layout.
//!
//! The API server reviews the token for the gate's audience and names the pod it is bound to; the pod must exist with
//! that UID and be controlled by its layout's StatefulSet. Reviews are kept for a while and made once at a time for each
//! token. Deliberately absent: what the pod may ask for, which the gate knows.

use crate::gate::Caller;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Client, ResourceExt};
use sha2::{Digest, Sha256};
use shard_contract::names::{BOT_LABEL, GATE_AUDIENCE, LAYOUT_LABEL, parse_pod, stateful_set};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::Instant;

/// How long a review counts. The pod itself is looked up at every call.
const KEPT: Duration = Duration::from_secs(300);
/// Reviews kept at most; the oldest go first.
const MOST: usize = 50_000;
/// How long a refusal counts.
const REFUSED_FOR: Duration = Duration::from_secs(10);
/// Questions to the API server that are under way at a time; the others wait their turn. Strangers cost it no more.
const AT_A_TIME: usize = 16;
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

/// A review under way or done. What could not be asked stays open.
type Reviewed = Arc<OnceCell<Result<(String, String, String), Error>>>;

/// Recognises pods.
pub struct Callers {
    client: Client,
    pods: Vec<Store<Pod>>,
    reviews: Mutex<HashMap<[u8; 32], (Instant, Reviewed)>>,
    turns: Semaphore,
}

impl Callers {
    /// Recognises the pods in these stores, and those that are too new to be in them.
    #[must_use]
    pub fn new(client: Client, pods: Vec<Store<Pod>>) -> Self {
        Self { client, pods, reviews: Mutex::default(), turns: Semaphore::new(AT_A_TIME) }
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
        let (namespace, name, uid) =
            review.get_or_try_init(|| self.review(token)).await?.as_ref().map_err(Clone::clone)?;
        let pod = self.pod(namespace, name, uid).await?;
        caller(&pod, namespace, uid).ok_or_else(|| Error::NotAShardPod(format!("{namespace}/{name}")))
    }

    fn slot(&self, key: [u8; 32]) -> Reviewed {
        let mut reviews = self.reviews.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if reviews.len() >= MOST {
            let is_refused = |review: &Reviewed| !matches!(review.get(), Some(Ok(_)));
            reviews.retain(|_, (at, review)| {
                let kept = if is_refused(review) { REFUSED_FOR } else { KEPT / 2 };
                now.duration_since(*at) < kept
            });
        }
        let slot = reviews.entry(key).or_insert_with(|| (now, Reviewed::default()));
        let kept = if matches!(slot.1.get(), Some(Err(_))) { REFUSED_FOR } else { KEPT };
        if now.duration_since(slot.0) > kept {
            *slot = (now, Reviewed::default());
        }
        slot.1.clone()
    }

    /// What the API server says of a token: namespace, name and UID of the pod that it is bound to, or why there is none.
    async fn review(&self, token: &str) -> Result<Result<(String, String, String), Error>, Error> {
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
            let _turn = self.turns.acquire().await;
            api.create(&params, &review).await
        };
        let answer = tokio::time::timeout(PATIENCE, answer)
            .await
            .map_err(|_| Error::TimedOut)?
            .map_err(|error| Error::Review(Arc::new(error)))?;
        Ok(bound(&answer.status.unwrap_or_default()))
    }

    async fn pod(&self, namespace: &str, name: &str, uid: &str) -> Result<Arc<Pod>, Error> {
        let reference = ObjectRef::<Pod>::new(name).within(namespace);
        let seen = self.pods.iter().find_map(|store| store.get(&reference));
        if let Some(pod) = seen.filter(|pod| pod.uid().as_deref() == Some(uid)) {
            return Ok(pod);
        }
        // Newer than the watch: a set's next pod has the name of the one before.
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let found = async {
            // Never closed. A stranger's pod is in no store, so each of its calls comes here.
            let _turn = self.turns.acquire().await;
            api.get_opt(name).await
        };
        let pod = tokio::time::timeout(PATIENCE, found)
            .await
            .map_err(|_| Error::TimedOut)?
            .map_err(|error| Error::Review(Arc::new(error)))?;
        pod.map(Arc::new).ok_or_else(|| Error::NotAShardPod(format!("{namespace}/{name}")))
    }
}

fn bound(status: &TokenReviewStatus) -> Result<(String, String, String), Error> {
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
        (Some(name), Some(uid)) => Ok((namespace.to_owned(), name, uid)),
        _ => Err(unknown("it is not bound to a pod")),
    }
}

/// The caller, if the pod is the one that the token speaks of and a StatefulSet of its layout controls it.
fn caller(pod: &Pod, namespace: &str, uid: &str) -> Option<Caller> {
    let name = pod.name_any();
    let (bot, layout, ordinal) = parse_pod(&name)?;
    let set = stateful_set(bot, layout);
    let controlled = pod
        .owner_references()
        .iter()
        .any(|owner| owner.controller == Some(true) && owner.kind == "StatefulSet" && owner.name == set);
    let labelled = pod.labels().get(BOT_LABEL).map(String::as_str) == Some(bot)
        && pod.labels().get(LAYOUT_LABEL) == Some(&layout.to_string());
    (controlled && labelled && pod.uid().as_deref() == Some(uid)).then(|| Caller {
        namespace: namespace.to_owned(),
        bot: bot.to_owned(),
        layout,
        ordinal,
        pod: name.clone(),
        uid: uid.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http;
    use kube::client::Body;
    use serde_json::json;
    use std::sync::atomic::{AtomicUsize, Ordering};

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
        assert_eq!(bound(&good).unwrap(), ("bots".into(), "mybot-1-0".into(), "u".into()));
        assert!(bound(&status(&json!({}))).unwrap_err().to_string().contains("not bound to a pod"));
        let other = TokenReviewStatus { audiences: Some(vec!["api".into()]), ..good.clone() };
        assert!(bound(&other).unwrap_err().to_string().contains("another audience"));
        let bad = TokenReviewStatus { authenticated: Some(false), ..good };
        assert!(bound(&bad).is_err());
    }

    #[test]
    fn a_pod_that_only_looks_like_ours_is_not_let_in() {
        let pod = |owner: &str, uid: &str, layout: &str| -> Pod {
            serde_json::from_value(json!({ "metadata": {
                "name": "mybot-1-0", "uid": uid,
                "labels": { BOT_LABEL: "mybot", LAYOUT_LABEL: layout },
                "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "StatefulSet", "name": owner, "uid": "s", "controller": true }],
            } }))
            .unwrap()
        };
        assert_eq!(caller(&pod("mybot-1", "u", "1"), "bots", "u").unwrap().ordinal, 0);
        assert_eq!(caller(&pod("mybot-2", "u", "1"), "bots", "u"), None, "another set's");
        assert_eq!(caller(&pod("mybot-1", "v", "1"), "bots", "u"), None, "an earlier pod of that name");
        assert_eq!(caller(&pod("mybot-1", "u", "2"), "bots", "u"), None, "another layout's");
    }

    /// An API server that says of every token what is given, and how many it was asked about.
    fn callers(says: serde_json::Value) -> (Callers, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let counts = asked.clone();
        let service = tower::service_fn(move |_: http::Request<Body>| {
            counts.fetch_add(1, Ordering::SeqCst);
            let answer = if says.is_null() {
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
    async fn a_stranger_who_repeats_himself_costs_one_review_in_ten_seconds() {
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
    async fn strangers_have_so_many_reviews_at_a_time_and_no_more() {
        let (callers, asked) = callers(json!({ "authenticated": false }));
        let tokens: Vec<_> = (0..100).map(|number| format!("stranger{number}")).collect();
        let all = futures::future::join_all(tokens.iter().map(|token| callers.recognise(token)));
        let some = tokio::time::timeout(Duration::from_millis(1), all).await;
        assert!(some.is_err());
        assert_eq!(asked.load(Ordering::SeqCst), AT_A_TIME);
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
