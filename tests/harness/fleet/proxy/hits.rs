//! Which requests a fault hits.
//!
//! From a request's method, path, query and body to yes or no, for [`super::Fault`]. Records of sessions are told apart by what
//! they are written as, since their writes are otherwise alike. Deliberately absent: who asks; the proxy's place says that.

use super::Asking;
use axum::http::Method;
use k8s_openapi::ByteString;
use serde::Deserialize;
use serde_json::Value;
use shard_contract::record::{Record, State};

/// Which requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hits {
    /// Every one.
    All,
    /// POST, PUT, PATCH and DELETE.
    Writes,
    /// Those of this word in their path.
    Path(&'static str),
    /// Watches.
    Watches,
    /// Patches that write a record of a session as this.
    Records(State),
}

impl Hits {
    pub(super) fn has(self, request: &Asking) -> bool {
        let query = request.uri().query().unwrap_or_default();
        match self {
            Self::All => true,
            Self::Writes => !request.method().is_safe(),
            Self::Path(word) => request.uri().path().contains(word),
            Self::Watches => query.contains("watch=true") || query.contains("watch=1"),
            Self::Records(state) => {
                request.method() == Method::PATCH
                    && request.uri().path().contains("/secrets/")
                    && written(request.body()).any(|record| record.state == state)
            }
        }
    }
}

/// The records that a JSON Patch writes; none where it is no such patch.
fn written(body: &[u8]) -> impl Iterator<Item = Record> {
    let operations: Vec<Value> = serde_json::from_slice(body).unwrap_or_default();
    operations.into_iter().filter(|one| one["op"] == "add").filter_map(|one| {
        let value = ByteString::deserialize(&one["value"]).ok()?;
        serde_json::from_slice(&value.0).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn patch(path: &str, state: State) -> Asking {
        let record = ByteString(serde_json::to_vec(&Record { state, ..Record::default() }).unwrap());
        let operations = json!([
            { "op": "test", "path": "/data/0.1", "value": ByteString(b"{}".to_vec()) },
            { "op": "add", "path": "/data/0.1", "value": record },
        ]);
        let body = serde_json::to_vec(&operations).unwrap();
        axum::http::Request::builder().method(Method::PATCH).uri(path).body(body).unwrap()
    }

    #[test]
    fn a_write_of_a_record_is_known_by_what_it_writes() {
        let secret = "/api/v1/namespaces/n/secrets/b-sessions-0";
        for (request, state, expected) in [
            (patch(secret, State::Parked), State::Parked, true),
            (patch(secret, State::Held), State::Parked, false),
            (patch("/api/v1/namespaces/n/configmaps/b", State::Held), State::Held, false),
        ] {
            assert_eq!(Hits::Records(state).has(&request), expected, "{request:?}");
        }
    }
}
