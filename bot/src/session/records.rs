//! The records of this pod's shards: who owns a session, kept at the API server so that it has one owner.
//!
//! From a shard that wants to run, has a new session or goes, to writes that each test the value they replace. One task a
//! Secret gathers what its shards want into one patch. Flow: [`Records::claim`] -> held -> READY: [`Records::ready`] (written
//! a moment later, with others') -> [`Records::park`]. A claim is answered when the record names this pod; while the API
//! server is away a restarted container goes by its progress file, and a new pod waits. Guarantees: never two owners; a
//! write whose outcome is not known is read back before anything follows from it; nothing loops hot. [`Records::owned`] says
//! when a shard was found to be another's. Deliberately absent: when the fleet changes layouts.

mod claim;
mod keeper;
mod row;
mod store;

use std::{collections::BTreeMap, sync::Arc};

use shard_contract::{layouts::Layouts, names};
use shard_machine::Machine;
use tokio::sync::{mpsc, oneshot, watch};

pub(crate) use self::claim::Me;
use self::{
    keeper::{Ask, Keeper},
    row::Row,
    store::Store,
};
use crate::{
    seen::{metrics::Counters, status::Status},
    session::progress::Progress,
};

/// A shard may run: with the session that its progress names, if it names one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claimed {
    /// Whether users were served by the shard before, as far as the record knows.
    pub(crate) live: bool,
}

/// What the pod's records are made from.
pub(crate) struct Source {
    pub(crate) client: kube::Client,
    pub(crate) namespace: String,
    pub(crate) bot: String,
    pub(crate) session_group: u32,
    pub(crate) me: Me,
    pub(crate) layouts: watch::Receiver<Layouts>,
    pub(crate) counters: Counters,
    pub(crate) status: Arc<Status>,
    pub(crate) machine: Machine,
}

/// The records of this pod's shards.
#[derive(Clone, Debug)]
pub(crate) struct Records(Arc<BTreeMap<u32, Shard>>);

#[derive(Debug)]
struct Shard {
    keeper: mpsc::UnboundedSender<Ask>,
    owned: watch::Receiver<bool>,
}

impl Records {
    /// Begins one task for each Secret.
    pub(crate) fn begin(source: &Source, progress: &BTreeMap<u32, Arc<Progress>>) -> Self {
        let mut secrets: BTreeMap<String, BTreeMap<u32, Row>> = BTreeMap::new();
        let mut owned = BTreeMap::new();
        for (shard, progress) in progress {
            let (row, owns) = Row::new(Arc::clone(progress));
            owned.insert(*shard, owns);
            secrets.entry(names::sessions_secret(&source.bot, *shard)).or_default().insert(*shard, row);
        }
        let mut shards = BTreeMap::new();
        for (name, rows) in secrets {
            let (keeper, asks) = mpsc::unbounded_channel();
            for shard in rows.keys() {
                if let Some(owned) = owned.remove(shard) {
                    shards.insert(*shard, Shard { keeper: keeper.clone(), owned });
                }
            }
            let store =
                Store::new(source.client.clone(), &source.namespace, &source.bot, name, source.session_group);
            let keeping = Keeper::new(store, source, rows);
            source.machine.tasks.spawn(keeping.run(asks));
        }
        Self(Arc::new(shards))
    }

    /// Waits until this pod may run the shard. `by_file`: the progress file may answer while the API server is away.
    pub(crate) async fn claim(&self, shard: u32, by_file: bool) -> Claimed {
        let (reply, claimed) = oneshot::channel();
        self.ask(shard, Ask::Claim { shard, by_file, reply });
        match claimed.await {
            Ok(claimed) => claimed,
            // The pod is stopping.
            Err(_) => std::future::pending().await,
        }
    }

    /// The shard's progress has a new session.
    pub(crate) fn ready(&self, shard: u32) {
        self.ask(shard, Ask::Ready(shard));
    }

    /// Whether the record still names this pod; none: the API server does not answer.
    pub(crate) async fn names_me(&self, shard: u32) -> Option<bool> {
        let (reply, confirmed) = oneshot::channel();
        self.ask(shard, Ask::Confirm { shard, reply });
        confirmed.await.ok().flatten()
    }

    /// Says whether the shard is this pod's; once it was, `false` means that another pod has it.
    pub(crate) fn owned(&self, shard: u32) -> Option<watch::Receiver<bool>> {
        self.0.get(&shard).map(|shard| shard.owned.clone())
    }

    /// Parks all records of the pod; returns when that is done, however long it takes.
    pub(crate) async fn park(&self) {
        let mut keepers: Vec<&mpsc::UnboundedSender<Ask>> = Vec::new();
        for Shard { keeper, .. } in self.0.values() {
            if !keepers.iter().any(|known| known.same_channel(keeper)) {
                keepers.push(keeper);
            }
        }
        let parked: Vec<_> = keepers
            .into_iter()
            .map(|keeper| {
                let (reply, parked) = oneshot::channel();
                _ = keeper.send(Ask::Park(reply));
                parked
            })
            .collect();
        futures::future::join_all(parked).await;
    }

    fn ask(&self, shard: u32, ask: Ask) {
        if let Some(shard) = self.0.get(&shard) {
            // Fails only when the process is ending.
            _ = shard.keeper.send(ask);
        }
    }
}

#[cfg(test)]
mod tests;
