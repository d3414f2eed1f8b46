//! The loop around the rounds: what is watched, what wakes which bot, when it ends.
//!
//! One controller per watched namespace, or one over all. ShardedBots, their StatefulSets and ConfigMaps, and pods by
//! label wake a round; so does a pod's report. The rest is looked at again within a minute, objects in a few (`context/known.rs`).
//! Deliberately absent: who leads; it runs only where the lease is held.

use crate::context::{Context, Known};
use crate::crd::{Listed, ShardedBot};
use crate::metrics::Metrics;
use crate::reconcile::{reconcile, retry};
use crate::watches::watch;
use futures::{Stream, StreamExt, future};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::Api;
use kube::runtime::controller::{Config, Controller, Error};
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::{PredicateConfig, WatchStreamExt, predicates, reflector, watcher};
use kube::{Client, Resource, ResourceExt};
use shard_contract::names::BOT_LABEL;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// One controller, not yet running.
pub struct Scope {
    controller: Controller<Listed<ShardedBot>>,
    watches: [Watched; 2],
    /// The bots that it sees.
    pub bots: Store<Listed<ShardedBot>>,
    /// The pods that it sees.
    pub pods: Store<Listed<Pod>>,
}

/// How far a watch is that has to be filled: that of bots or of pods.
#[derive(Clone, Default)]
struct Watched(Arc<AtomicU8>);

/// How far the watches of a scope are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Filling {
    /// Not all have been answered.
    Waits = 0,
    /// All have been filled once.
    Filled = 1,
    /// One fails that was never filled, as where its namespace is gone.
    Fails = 2,
}

impl Watched {
    fn set(&self, filling: Filling) {
        self.0.store(filling as u8, Ordering::Release);
    }

    fn is(&self, filling: Filling) -> bool {
        self.0.load(Ordering::Acquire) == filling as u8
    }
}

impl Scope {
    /// Watches a namespace, or all.
    #[must_use]
    pub fn new(
        client: &Client,
        namespace: Option<&str>,
        concurrency: u16,
        reports: impl Stream<Item = ObjectRef<Listed<ShardedBot>>> + Send + 'static,
        metrics: &Arc<Metrics>,
        known: &Arc<Known>,
    ) -> Self {
        let all = watcher::Config::default();
        let labelled = all.clone().labels(BOT_LABEL);
        let watches = [Watched::default(), Watched::default()];
        let told = |what| Told {
            namespace: namespace.unwrap_or_default().to_owned(),
            what,
            metrics: Arc::clone(metrics),
        };
        let (pods, pod_writer) = store();
        let pod_watch = watch(api::<Pod>(client, namespace), labelled.clone());
        let pod_watch = reflector(pod_writer, pod_watch.default_backoff());
        let pod_events = seen(pod_watch, watches[0].clone(), told("pods")).touched_objects();
        let (bots, bot_writer) = store();
        let bot_watch = watch(api::<ShardedBot>(client, namespace), all);
        // The status is ours: a round for each of our own writes would only find that nothing is to be done.
        let bot_watch = reflector(bot_writer, bot_watch.default_backoff());
        let bot_events = seen(bot_watch, watches[1].clone(), told("shardedbots"))
            .applied_objects()
            .predicate_filter(predicates::generation, PredicateConfig::default());
        // Not kube's debounce, which starts anew with each trigger and has no end: rounds keep their own pace.
        let settings = Config::default().concurrency(concurrency);
        let sets = watch(api::<StatefulSet>(client, namespace), labelled.clone());
        let maps = watch(api::<ConfigMap>(client, namespace), labelled);
        let controller = Controller::for_stream(bot_events, bots.clone())
            .with_config(settings)
            .owns_stream(touching(sets.default_backoff(), known).touched_objects())
            .owns_stream(touching(maps.default_backoff(), known).touched_objects())
            .watches_stream(pod_events, |pod| bot_of(&pod))
            .reconcile_on(reports);
        Self { controller, watches, bots, pods }
    }

    /// Tells how far its watches are.
    pub fn filling(&self) -> impl Fn() -> Filling + Send + Sync + use<> {
        let watches = self.watches.clone();
        move || {
            if watches.iter().any(|watch| watch.is(Filling::Fails)) {
                Filling::Fails
            } else if watches.iter().all(|watch| watch.is(Filling::Filled)) {
                Filling::Filled
            } else {
                Filling::Waits
            }
        }
    }

    /// Runs until `stop`, then finishes the rounds that have begun. A bot that is gone is forgotten when what was due for it, or
    /// what it leaves behind, does not find it any more: within a minute, since each bot is looked at again as often.
    pub async fn run(self, ctx: Arc<Context>, stop: impl Future<Output = ()> + Send + Sync + 'static) {
        self.controller
            .graceful_shutdown_on(stop)
            .run(reconcile, retry, ctx.clone())
            .for_each(|outcome| {
                if let Err(error) = outcome {
                    tracing::debug!(%error, "the queue says");
                    if let Error::ObjectNotFound(bot) = error {
                        ctx.forget(&(bot.namespace.unwrap_or_default(), bot.name));
                    }
                }
                future::ready(())
            })
            .await;
    }
}

/// What a watch is told by.
struct Told {
    /// Empty: all of them.
    namespace: String,
    what: &'static str,
    metrics: Arc<Metrics>,
}

/// Sees whether a watch has been filled, and whether it fails. The stores' own `wait_until_ready` wakes only one of its waiters, and that
/// must be the controller.
fn seen<K>(
    events: impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send + 'static,
    watched: Watched,
    told: Told,
) -> impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send + 'static {
    events.inspect(move |event| {
        let Told { namespace, what, metrics } = &told;
        match event {
            Ok(watcher::Event::InitDone) => watched.set(Filling::Filled),
            Err(error) => {
                metrics.watch_failed(namespace, what);
                if !watched.is(Filling::Filled) {
                    watched.set(Filling::Fails);
                }
                tracing::warn!(namespace, what, %error, "a watch failed; it is started again");
            }
            Ok(_) => {}
        }
    })
}

/// Ends what is known of the bots to whose objects something happens, before rounds are woken by it.
fn touching<K: Resource>(
    events: impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send + 'static,
    known: &Arc<Known>,
) -> impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send + 'static {
    let known = Arc::clone(known);
    events.inspect(move |event| {
        use watcher::Event::{Apply, Delete, Init, InitApply, InitDone};
        match event {
            Ok(Apply(object) | InitApply(object) | Delete(object)) => {
                let owners = object.owner_references().iter().map(|owner| &owner.name);
                for bot in owners.chain(object.labels().get(BOT_LABEL)) {
                    known.touch(&(object.namespace().unwrap_or_default(), bot.clone()));
                }
            }
            Ok(Init | InitDone) | Err(_) => known.touch_all(),
        }
    })
}

fn api<K>(client: &Client, namespace: Option<&str>) -> Api<Listed<K>>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

fn bot_of(pod: &Listed<Pod>) -> Option<ObjectRef<Listed<ShardedBot>>> {
    Some(ObjectRef::new(pod.labels().get(BOT_LABEL)?).within(&pod.namespace()?))
}
