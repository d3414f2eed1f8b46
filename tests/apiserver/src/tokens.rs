//! Tokens of accounts and their reviews.
//!
//! From a TokenRequest to a token in the shape of a JWT, bound to a pod where that is asked, and from a TokenReview to what the real
//! server would say of it: exactly what was issued is accepted, until it expires, its account is gone, or its pod is or should be.
//! Deliberately absent: signatures that anybody could check, secrets and nodes as bounds, and the ten seconds for which the real one remembers.

use crate::clock::stamp;
use crate::meta;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Who issues, and the audience that is meant where none is named.
pub(crate) const ISSUER: &str = "https://kubernetes.default.svc";

/// So long after the end that an object was to have its tokens are still good.
const GOOD_AFTER_END: SignedDuration = SignedDuration::from_secs(60);

/// Whether tokens bound to this pod or account, which is there, are good.
pub(crate) fn are_valid_of(object: &Value, now: Timestamp) -> bool {
    let end: Option<Timestamp> = meta::text(object, "deletionTimestamp").parse().ok();
    end.and_then(|end| end.checked_add(GOOD_AFTER_END).ok()).is_none_or(|end| now <= end)
}

/// A token that was issued.
#[derive(Clone, Debug)]
struct Issued {
    namespace: String,
    account: (String, String),
    pod: Option<(String, String)>,
    node: Option<String>,
    audiences: Vec<String>,
    expires: Timestamp,
    id: String,
}

/// What was issued and has not expired.
#[derive(Debug, Default)]
pub(crate) struct Tokens(BTreeMap<String, Issued>);

impl Tokens {
    /// Issues a token; answers what becomes of the request's status.
    pub(crate) fn issue(
        &mut self,
        spec: &Value,
        account: &Value,
        pod: Option<&Value>,
        id: &str,
        now: Timestamp,
    ) -> Value {
        self.0.retain(|_, issued| issued.expires > now);
        let audiences: Vec<String> = spec["audiences"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        let seconds = spec["expirationSeconds"].as_i64().unwrap_or(3_600);
        let expires = now.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX);
        let both = |object: &Value| (meta::name(object).to_owned(), meta::uid(object).to_owned());
        let issued = Issued {
            namespace: meta::namespace(account).to_owned(),
            account: both(account),
            pod: pod.map(both),
            node: pod.and_then(|pod| pod["spec"]["nodeName"].as_str()).map(str::to_owned),
            audiences,
            expires,
            id: id.to_owned(),
        };
        let token = written(&issued, now);
        self.0.insert(token.clone(), issued);
        json!({ "token": token, "expirationTimestamp": stamp(expires) })
    }

    /// What is said of a token. `uid_of` tells the UID of an object that is there, by its kind, namespace and name.
    pub(crate) fn review(
        &self,
        spec: &Value,
        uid_of: impl Fn(&str, &str, &str) -> Option<String>,
        now: Timestamp,
    ) -> Value {
        let refused = |why: &str| json!({ "user": {}, "error": why });
        let Some(issued) = self.0.get(spec["token"].as_str().unwrap_or_default()) else {
            return refused("invalid bearer token");
        };
        let asked: Vec<&str> =
            spec["audiences"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let asked = if asked.is_empty() { vec![ISSUER] } else { asked };
        let good: Vec<_> = issued.audiences.iter().filter(|one| asked.contains(&one.as_str())).collect();
        if good.is_empty() {
            let quoted =
                |all: &[String]| all.iter().map(|one| format!("{one:?}")).collect::<Vec<_>>().join(" ");
            let asked: Vec<String> = asked.into_iter().map(str::to_owned).collect();
            return refused(&format!(
                "[invalid bearer token, token audiences [{}] is invalid for the target audiences [{}]]",
                quoted(&issued.audiences),
                quoted(&asked)
            ));
        }
        if issued.expires <= now {
            return refused("[invalid bearer token, service account token has expired]");
        }
        let is = |kind: &str, (name, uid): &(String, String)| {
            uid_of(kind, &issued.namespace, name).is_some_and(|found| found == *uid)
        };
        if !is("serviceaccounts", &issued.account) || issued.pod.as_ref().is_some_and(|pod| !is("pods", pod))
        {
            return refused("[invalid bearer token, service account token has been invalidated]");
        }
        json!({ "authenticated": true, "user": user(issued), "audiences": good })
    }
}

fn user(issued: &Issued) -> Value {
    let (namespace, (name, uid)) = (&issued.namespace, &issued.account);
    let mut extra = json!({ "authentication.kubernetes.io/credential-id": [format!("JTI={}", issued.id)] });
    if let Some(node) = &issued.node {
        extra["authentication.kubernetes.io/node-name"] = json!([node]);
    }
    if let Some((name, uid)) = &issued.pod {
        extra["authentication.kubernetes.io/pod-name"] = json!([name]);
        extra["authentication.kubernetes.io/pod-uid"] = json!([uid]);
    }
    json!({
        "username": format!("system:serviceaccount:{namespace}:{name}"),
        "uid": uid,
        "groups": [
            "system:serviceaccounts",
            format!("system:serviceaccounts:{namespace}"),
            "system:authenticated",
        ],
        "extra": extra,
    })
}

/// Head, claims and something in the place of a signature.
fn written(issued: &Issued, now: Timestamp) -> String {
    let (name, uid) = &issued.account;
    let mut bound = json!({ "namespace": issued.namespace, "serviceaccount": { "name": name, "uid": uid } });
    if let Some((name, uid)) = &issued.pod {
        bound["pod"] = json!({ "name": name, "uid": uid });
    }
    if let Some(node) = &issued.node {
        bound["node"] = json!({ "name": node });
    }
    let claims = json!({
        "aud": issued.audiences,
        "exp": issued.expires.as_second(),
        "iat": now.as_second(),
        "nbf": now.as_second(),
        "iss": ISSUER,
        "jti": issued.id,
        "kubernetes.io": bound,
        "sub": format!("system:serviceaccount:{}:{name}", issued.namespace),
    });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = json!({ "alg": "RS256", "kid": "in-memory" });
    format!("{}.{}.{}", part(&head), part(&claims), URL_SAFE_NO_PAD.encode(&issued.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_what_is_being_deleted_are_good_for_a_minute_after_its_end() {
        let pod = json!({ "metadata": { "deletionTimestamp": "1970-01-01T00:01:00Z" } });
        let at = |second| are_valid_of(&pod, Timestamp::from_second(second).unwrap());
        assert!(at(0) && at(120) && !at(121));
        assert!(are_valid_of(&json!({ "metadata": {} }), Timestamp::MAX));
    }

    #[test]
    fn what_was_issued_is_accepted_for_its_audience_while_its_pod_and_its_account_are_there() {
        let account = json!({ "metadata": { "name": "s", "namespace": "n", "uid": "a" } });
        let pod = json!({ "metadata": { "name": "p", "uid": "u" }, "spec": { "nodeName": "node" } });
        let (now, mut tokens) = (Timestamp::UNIX_EPOCH, Tokens::default());
        let spec = json!({ "audiences": ["gate"], "expirationSeconds": 600 });
        let token = tokens.issue(&spec, &account, Some(&pod), "1", now)["token"].clone();
        let review_of = |account: &str, audience: &str, uid: Option<&str>, at: i64| {
            let spec = json!({ "token": token, "audiences": [audience] });
            let now = Timestamp::from_second(at).unwrap();
            let uid_of = |kind: &str, _: &str, _: &str| {
                if kind == "pods" { uid.map(str::to_owned) } else { Some(account.to_owned()) }
            };
            tokens.review(&spec, uid_of, now)["authenticated"] == true
        };
        let review = |audience: &str, uid: Option<&str>, at: i64| review_of("a", audience, uid, at);
        assert!(review("gate", Some("u"), 599));
        assert!(!review("gate", Some("u"), 600));
        assert!(!review_of("another", "gate", Some("u"), 0));
        assert!(
            !review("gate", Some("other"), 0) && !review("gate", None, 0) && !review("other", Some("u"), 0)
        );
    }
}
