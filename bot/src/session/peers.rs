//! Asks the other pods of the bot whether they are there, for [`crate::session::fence`].
//!
//! From the layouts document, which names every layout and its number of pods, to a [`Census`]: how many of the others answered,
//! on this pod's node or elsewhere, and whether one of them knows that this pod is taken for gone. One that does not answer counts as one on another node. Of a large fleet [`MOST`] are drawn
//! by lot each time. Bounded: [`AT_A_TIME`] calls, each 2 s. Deliberately absent: what follows from it, and any
//! other conversation between pods.

use std::time::Duration;

use futures::StreamExt as _;
use rand::seq::IteratorRandom as _;
use reqwest::Client;
use shard_contract::{
    env::{HEALTH_PORT, PEER_PATH, Peer},
    layouts::Layouts,
    names,
};
use shard_machine::{Machine, Random};
use tokio::sync::watch;

use crate::edges::{config::Pod, resolver::Resolver};

/// The most peers that are asked in one round.
const MOST: usize = 64;
/// So many are asked at a time.
const AT_A_TIME: usize = 16;
/// The longest answer that is read: a thousand UIDs and more.
const MOST_BYTES: usize = 64 * 1024;
/// How long one may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Who answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    /// So many were asked, this pod not among them.
    pub(crate) asked: u32,
    /// So many answered on this pod's node.
    pub(crate) on_my_node: u32,
    /// So many answered elsewhere.
    pub(crate) elsewhere: u32,
    /// Whether one of them knows that this pod is taken for gone.
    pub(crate) gone: bool,
}

/// The other pods of the bot.
pub(crate) struct Peers {
    http: Client,
    layouts: watch::Receiver<Layouts>,
    me: Pod,
    random: Random,
}

impl Peers {
    pub(crate) fn new(
        layouts: watch::Receiver<Layouts>,
        me: Pod,
        machine: &Machine,
    ) -> Result<Self, reqwest::Error> {
        let http = Client::builder()
            .timeout(ANSWER_WITHIN)
            .pool_max_idle_per_host(0)
            .dns_resolver(Resolver::new(machine.names.clone()))
            .no_proxy()
            .build()?;
        Ok(Self { http, layouts, me, random: machine.random.clone() })
    }

    /// Asks them once.
    pub(crate) async fn ask(&self) -> Census {
        let bases = drawn(&self.random, addresses(&self.layouts.borrow(), &self.me));
        self.count(bases).await
    }

    async fn count(&self, bases: Vec<String>) -> Census {
        let mut census =
            Census { asked: u32::try_from(bases.len()).unwrap_or(u32::MAX), ..Census::default() };
        let asking = bases.into_iter().map(|base| self.peer_at(base));
        let mut answers = futures::stream::iter(asking).buffer_unordered(AT_A_TIME);
        while let Some(answer) = answers.next().await {
            let Some(Peer { node, gone, .. }) = answer else { continue };
            census.gone |= gone.contains(&self.me.uid);
            // Without a node's name nobody knows, and then it helps nobody.
            if node.is_empty() || node == self.me.node {
                census.on_my_node += 1;
            } else {
                census.elsewhere += 1;
            }
        }
        census
    }

    /// The pod there, if one answers that is not this one.
    async fn peer_at(&self, base: String) -> Option<Peer> {
        let mut answer = self.http.get(base + PEER_PATH).send().await.ok()?.error_for_status().ok()?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.ok()? {
            body.extend_from_slice(&chunk);
            if body.len() > MOST_BYTES {
                return None;
            }
        }
        let peer: Peer = serde_json::from_slice(&body).ok()?;
        (peer.pod_uid != self.me.uid).then_some(peer)
    }
}

/// Base URLs of all pods of the bot that are asked.
fn addresses(layouts: &Layouts, me: &Pod) -> Vec<String> {
    let Pod { bot, namespace, layout: mine, ordinal, .. } = me;
    let asked = layouts.layouts.iter().filter(|layout| layouts.asks(*mine, layout.number));
    let pods = asked.flat_map(|layout| (0..layout.pods).map(|pod| (layout.number, pod)));
    pods.filter(|pod| *pod != (*mine, *ordinal))
        .map(|(layout, pod)| {
            let (set, service) = (names::stateful_set(bot, layout), names::shards(bot));
            format!("http://{set}-{pod}.{service}.{namespace}.svc:{HEALTH_PORT}")
        })
        .collect()
}

fn drawn(random: &Random, all: Vec<String>) -> Vec<String> {
    if all.len() <= MOST { all } else { all.into_iter().choose_multiple(&mut random.rng(), MOST) }
}

#[cfg(test)]
mod tests {
    use axum::{Json, Router, routing::get};
    use shard_contract::layouts::{Layout, Role};
    use tokio::net::TcpListener;

    use super::*;

    fn me() -> Pod {
        Pod {
            bot: "b".into(),
            namespace: "bots".into(),
            layout: 2,
            ordinal: 1,
            uid: "me".into(),
            node: "here".into(),
        }
    }

    const fn layout(number: u32, pods: u32) -> Layout {
        Layout { number, total: 64, pods, role: Role::Active, session_group: 0, fallback_slot: 0 }
    }

    async fn pod(uid: &str, node: &str) -> String {
        let gone = if uid == "b" { vec!["somebody".to_owned(), "me".to_owned()] } else { Vec::new() };
        let peer = Peer { pod_uid: uid.to_owned(), node: node.to_owned(), gone };
        let pages = Router::new().route(PEER_PATH, get(async move || Json(peer)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, pages).await });
        base
    }

    #[tokio::test]
    async fn who_answers_is_counted_by_node_and_who_does_not_is_elsewhere() {
        let (_keep, layouts) = watch::channel(Layouts::default());
        let peers = Peers::new(layouts, me(), &Machine::this()).unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let bases = vec![
            pod("a", "here").await,
            pod("b", "there").await,
            pod("c", "elsewhere").await,
            pod("me", "there").await,
            format!("http://{closed}"),
        ];
        assert_eq!(peers.count(bases).await, Census { asked: 5, on_my_node: 1, elsewhere: 2, gone: true });
    }

    #[test]
    fn all_pods_of_the_bot_but_this_one_are_peers_and_few_of_many_are_asked() {
        let layouts = Layouts { layouts: vec![layout(1, 1), layout(2, 2)], ..Layouts::default() };
        assert_eq!(
            addresses(&layouts, &me()),
            ["http://b-1-0.b-shards.bots.svc:8081", "http://b-2-0.b-shards.bots.svc:8081"]
        );
        assert!(addresses(&Layouts { layouts: vec![layout(2, 2)], ..Layouts::default() }, &me()).len() == 1);
        let standby = Layout { role: Role::Standby, ..layout(3, 2) };
        let beside = Layouts { layouts: vec![layout(2, 2), standby], ..Layouts::default() };
        assert_eq!(addresses(&beside, &me()).len(), 1, "who is only to take over may not be there");
        let many = Layouts { layouts: vec![layout(1, 1_000)], ..Layouts::default() };
        assert_eq!(drawn(&Random::system(), addresses(&many, &me())).len(), MOST);
    }
}
