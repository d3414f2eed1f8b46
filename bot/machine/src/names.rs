//! Names to addresses: by the system's resolver, or by what a test says.
//!
//! Deliberately absent: remembering, and how long it may take.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::lookup_host;

/// What a look-up comes to.
type Found = BoxFuture<'static, io::Result<Vec<SocketAddr>>>;

/// A resolver. Clones are the same one.
#[derive(Clone)]
pub struct Names(Arc<dyn Fn(String) -> Found + Send + Sync>);

impl Names {
    /// The system's.
    #[must_use]
    pub fn system() -> Self {
        Self(Arc::new(|name| {
            // The port is the caller's.
            async move { Ok(lookup_host((name, 0)).await?.collect()) }.boxed()
        }))
    }

    /// Any other.
    pub fn of(find: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(move |name| futures::future::ready(find(&name)).boxed()))
    }

    /// The addresses of this name; their port means nothing.
    ///
    /// # Errors
    /// When nobody knows the name, or the resolver does not answer.
    pub async fn find(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        (self.0)(name.to_owned()).await
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Names")
    }
}
