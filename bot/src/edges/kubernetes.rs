//! The Kubernetes client of the pod: it never hangs, and never tries again by itself.
//!
//! From the pod's service account (or a kubeconfig, in tests) to a client whose connections are given up in time; those who use it put a
//! [`within`] around each call that is no watch, and try again their own way. (kube's own tries, up to 15 after 429, 503 and 504,
//! would be a wait that nobody sees.) Deliberately absent: a read timeout for all, which would cut idle watches.

use std::time::Duration;

use kube::Client;
use shard_machine::{ClientOptions, Cluster};

/// How long a connection to the API server may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// The client. An error: the pod's service account cannot be read.
pub(crate) async fn client(cluster: &Cluster) -> Result<Client, kube::Error> {
    let options = ClientOptions { connect_timeout: Some(CONNECT_TIMEOUT), io_timeout: None, retries: false };
    cluster.client(options).await
}

/// Why a pod's token is nobody's any more. Kubernetes 1.37.2 refused it 60 s after an orderly deletion, and within 10 s of one by force.
const DELETED: &str = "the API server takes this pod's token for nobody's, as it does once the pod was deleted: by force, or a minute ago";

/// One call, given up in time.
pub(crate) async fn within<T>(call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, kube::Error> {
    let late = |_| kube::Error::Service("the API server did not answer within 5 s".into());
    tokio::time::timeout(CALL_TIMEOUT, call).await.map_err(late)?.map_err(explained)
}

/// A refusal of the token, which the API server calls "Unauthorized" and no more.
fn explained(error: kube::Error) -> kube::Error {
    match error {
        kube::Error::Api(mut status) if status.code == 401 => {
            status.message = format!("{}: {DELETED}", status.message);
            kube::Error::Api(status)
        }
        other => other,
    }
}

/// What the API server says to a pod that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// It answered; a refusal is an answer too.
    Answer,
    /// It takes the pod's token for nobody's, as it does once the pod was deleted, whatever still runs of it.
    Denied,
    /// Nothing; a 5xx may be of what stands before it.
    Nothing,
}

/// What an error of a call says.
pub(crate) fn said(error: &kube::Error) -> Word {
    match error {
        kube::Error::Api(status) if status.code == 401 => Word::Denied,
        kube::Error::Api(status) if status.code < 500 => Word::Answer,
        _ => Word::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edges::trouble::chain;
    use kube::core::Status;

    #[tokio::test]
    async fn a_pod_that_was_deleted_and_runs_on_says_why_it_is_refused() {
        let refused = async |code: u16| {
            let status = Status::failure("Unauthorized", "Unauthorized").with_code(code);
            let error = within(async { Err::<(), _>(kube::Error::Api(status.boxed())) }).await.unwrap_err();
            (said(&error), chain(&error))
        };
        let (word, told) = refused(401).await;
        assert!(word == Word::Denied && told.contains("Unauthorized") && told.contains("deleted"), "{told}");
        assert!(!refused(403).await.1.contains("deleted"));
    }
}
