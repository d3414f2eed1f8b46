//! Clients of the Kubernetes API server: of the one that this process belongs to, or of one that a test gives.
//!
//! From how patient a client is to the client. Who uses a client bounds each exchange as well, since one that a test gives has no
//! sockets to give up on. Deliberately absent: what is asked.

use futures::FutureExt as _;
use futures::future::{BoxFuture, ready};
use kube::{Client, Config, Error};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How patient a client is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Patience {
    /// How long a connection may take.
    pub connect: Option<Duration>,
    /// How long either side may be silent on it.
    pub silence: Option<Duration>,
    /// Whether the client tries again by itself what was refused for the moment.
    pub tries_again: bool,
}

type Made = BoxFuture<'static, Result<Client, Error>>;

/// Makes clients. Clones make the same.
#[derive(Clone)]
pub struct Cluster(Arc<dyn Fn(Patience) -> Made + Send + Sync>);

impl Cluster {
    /// The one that the pod's service account or a kubeconfig names.
    #[must_use]
    pub fn inferred() -> Self {
        Self(Arc::new(|patience| inferred(patience).boxed()))
    }

    /// The one that this client asks.
    #[must_use]
    pub fn of(client: Client) -> Self {
        Self(Arc::new(move |_| ready(Ok(client.clone())).boxed()))
    }

    /// A client.
    ///
    /// # Errors
    /// When there is no cluster to talk to.
    pub async fn client(&self, patience: Patience) -> Result<Client, Error> {
        (self.0)(patience).await
    }
}

async fn inferred(patience: Patience) -> Result<Client, Error> {
    let Patience { connect, silence, tries_again } = patience;
    let mut config = Config::infer().await.map_err(Error::InferConfig)?;
    config.default_retry = tries_again;
    if connect.is_some() {
        config.connect_timeout = connect;
    }
    if silence.is_some() {
        (config.read_timeout, config.write_timeout) = (silence, silence);
    }
    Client::try_from(config)
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cluster")
    }
}
