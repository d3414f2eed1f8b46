//! Which requests a fault hits.
//!
//! From a request's method, path, query and body to yes or no, for [`super::Fault`]. Records of sessions are told apart by what
//! they are written as, since their writes are otherwise alike. Deliberately absent: who asks; the proxy's place says that.

use super::Asking;
use axum::http::Method;
use k8s_openapi::ByteString;
use serde::Deserialize;
use serde_json::Value;
use shard_contract::names::parse_record_key;
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
    /// Writes among them.
    WritesTo(&'static str),
    /// Watches.
    Watches,
    /// Patches that write a record of a session as this.
    Records(State),
    /// Those among them that write this shard's.
    Record(u32, State),
}

impl Hits {
    pub(super) fn has(self, request: &Asking) -> bool {
        let query = request.uri().query().unwrap_or_default();
        let writes = |shard: Option<u32>, state| {
            request.method() == Method::PATCH
                && request.uri().path().contains("/secrets/")
                && written(request.body())
                    .any(|(of, record)| record.state == state && shard.is_none_or(|shard| of == shard))
        };
        match self {
            Self::All => true,
            Self::Writes => !request.method().is_safe(),
            Self::WritesTo(word) => Self::Writes.has(request) && Self::Path(word).has(request),
            Self::Path(word) => request.uri().path().contains(word),
            Self::Watches => query.contains("watch=true") || query.contains("watch=1"),
            Self::Records(state) => writes(None, state),
            Self::Record(shard, state) => writes(Some(shard), state),
        }
    }
}

/// The records that a JSON Patch writes, each with its shard; none where it is no such patch.
fn written(body: &[u8]) -> impl Iterator<Item = (u32, Record)> {
    let operations: Vec<Value> = serde_json::from_slice(body).unwrap_or_default();
    operations.into_iter().filter(|one| one["op"] == "add").filter_map(|one| {
        let (_, shard) = parse_record_key(one["path"].as_str()?.strip_prefix("/data/")?)?;
        let value = ByteString::deserialize(&one["value"]).ok()?;
        Some((shard, serde_json::from_slice(&value.0).ok()?))
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
        for (request, hits, expected) in [
            (patch(secret, State::Parked), Hits::Records(State::Parked), true),
            (patch(secret, State::Held), Hits::Records(State::Parked), false),
            (patch("/api/v1/namespaces/n/configmaps/b", State::Held), Hits::Records(State::Held), false),
            (patch(secret, State::Held), Hits::Record(1, State::Held), true),
            (patch(secret, State::Held), Hits::Record(0, State::Held), false),
        ] {
            assert_eq!(hits.has(&request), expected, "{hits:?} {request:?}");
        }
    }
}
