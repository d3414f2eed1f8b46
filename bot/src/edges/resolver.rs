//! Names to addresses, remembered for when DNS is away.
//!
//! For the calls to the operator and to the bot's other pods: where the cluster's DNS goes down together with its API server, as
//! on a single node that has both, a pod that could ask nobody by name would find itself cut off ([`crate::session::fence`]). From a name
//! to what the system's resolver says, else to what it said last. Bounded: [`MOST`] names, each look-up in time. Deliberately
//! absent: believing what is remembered while DNS answers.

use std::{
    io,
    net::SocketAddr,
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lru::LruCache;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use shard_machine::Names;
use tokio::time::timeout;

/// Names that are remembered.
const MOST: NonZeroUsize = NonZeroUsize::new(1_024).unwrap();
/// How long one look-up may take,
const WITHIN: Duration = Duration::from_secs(4);
/// and how long where something is remembered.
const WITHIN_OF_KNOWN: Duration = Duration::from_secs(1);

/// Remembers. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Resolver {
    names: Names,
    known: Arc<Mutex<LruCache<String, Vec<SocketAddr>>>>,
}

impl Resolver {
    pub(crate) fn new(names: Names) -> Self {
        Self { names, known: Arc::new(Mutex::new(LruCache::new(MOST))) }
    }

    fn knows(&self, name: &str) -> bool {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(name)
    }

    /// What a look-up comes to.
    fn settle(&self, name: &str, found: io::Result<Vec<SocketAddr>>) -> io::Result<Vec<SocketAddr>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match found {
            Ok(addresses) if !addresses.is_empty() => {
                known.put(name.to_owned(), addresses.clone());
                Ok(addresses)
            }
            found => known.get(name).cloned().map_or(found, Ok),
        }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let name = name.as_str();
            let within = if resolver.knows(name) { WITHIN_OF_KNOWN } else { WITHIN };
            let found = match timeout(within, resolver.names.find(name)).await {
                Ok(found) => found,
                Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "DNS did not answer")),
            };
            let addresses = resolver.settle(name, found)?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 0))
    }

    #[test]
    fn what_dns_said_last_counts_while_it_says_nothing_and_no_longer() {
        let resolver = Resolver::new(Names::system());
        let away = || Err(io::Error::other("away"));
        assert!(resolver.settle("gate", away()).is_err());
        for last in [1, 2] {
            assert_eq!(resolver.settle("gate", Ok(vec![address(last)])).unwrap(), [address(last)]);
            assert_eq!(resolver.settle("gate", away()).unwrap(), [address(last)]);
            assert_eq!(resolver.settle("gate", Ok(Vec::new())).unwrap(), [address(last)]);
        }
        assert!(resolver.settle("other", away()).is_err());
    }

    #[tokio::test]
    async fn a_call_by_name_goes_where_the_name_led_last() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let pages = axum::Router::new().route("/", axum::routing::get(async || "here"));
        tokio::spawn(async move { axum::serve(listener, pages).await });
        let resolver = Resolver::new(Names::system());
        resolver.settle("gate.invalid", Ok(vec![SocketAddr::from(([127, 0, 0, 1], 0))])).unwrap();
        let http = reqwest::Client::builder().no_proxy().dns_resolver(resolver).build().unwrap();
        let text =
            http.get(format!("http://gate.invalid:{port}/")).send().await.unwrap().text().await.unwrap();
        assert_eq!(text, "here");
    }
}
