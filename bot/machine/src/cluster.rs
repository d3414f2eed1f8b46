//! Clients of the Kubernetes API server: of the one that this process belongs to, or of one that a test gives.
//!
//! From a client's options to the client. Who uses a client bounds each exchange as well, since one that a test gives has no
//! sockets to give up on. Deliberately absent: what is asked.

use futures::FutureExt as _;
use futures::future::{BoxFuture, ready};
use kube::{Client, Config, Error};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What a client is made with.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClientOptions {
    /// How long a connection may take.
    pub connect_timeout: Option<Duration>,
    /// How long either side may be silent on it.
    pub io_timeout: Option<Duration>,
    /// Whether the client tries again by itself what was refused for the moment.
    pub retries: bool,
}

type Made = BoxFuture<'static, Result<Client, Error>>;

/// Makes clients. Clones make the same.
#[derive(Clone)]
pub struct Cluster(Arc<dyn Fn(ClientOptions) -> Made + Send + Sync>);

impl Cluster {
    /// The one that the pod's service account or a kubeconfig names.
    #[must_use]
    pub fn inferred() -> Self {
        Self(Arc::new(|options| inferred(options).boxed()))
    }

    /// The one that this client asks.
    #[must_use]
    pub fn of(client: Client) -> Self {
        Self::by(move |_| client.clone())
    }

    /// The one that the clients ask which this makes.
    pub fn by(make: impl Fn(ClientOptions) -> Client + Send + Sync + 'static) -> Self {
        Self(Arc::new(move |options| ready(Ok(make(options))).boxed()))
    }

    /// A client.
    ///
    /// # Errors
    /// When there is no cluster to talk to.
    pub async fn client(&self, options: ClientOptions) -> Result<Client, Error> {
        (self.0)(options).await
    }
}

async fn inferred(options: ClientOptions) -> Result<Client, Error> {
    let ClientOptions { connect_timeout, io_timeout, retries } = options;
    let mut config = Config::infer().await.map_err(Error::InferConfig)?;
    config.default_retry = retries;
    if connect_timeout.is_some() {
        config.connect_timeout = connect_timeout;
    }
    if io_timeout.is_some() {
        (config.read_timeout, config.write_timeout) = (io_timeout, io_timeout);
    }
    Client::try_from(config)
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cluster")
    }
}
