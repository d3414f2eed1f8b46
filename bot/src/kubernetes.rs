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

/// One call, given up in time.
pub(crate) async fn within<T>(call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, kube::Error> {
    let late = |_| kube::Error::Service("the API server did not answer within 5 s".into());
    tokio::time::timeout(CALL_TIMEOUT, call).await.map_err(late)?
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
