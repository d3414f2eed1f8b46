//! The loop around the rounds: what is watched, what wakes which bot, when it ends.
//!
//! One controller per watched namespace, or one over all. ShardedBots, their StatefulSets and ConfigMaps, and pods by
//! label wake a round; so does a pod's report. The rest is looked at again within a minute. Deliberately absent: who
//! leads; it runs only where the lease is held.

use crate::context::Context;
use crate::crd::{Listed, ShardedBot};
use crate::reconcile::{reconcile, retry};
use futures::{Stream, StreamExt, future};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::Api;
use kube::runtime::controller::{Config, Controller, Error};
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::{PredicateConfig, WatchStreamExt, predicates, reflector, watcher};
use kube::{Client, ResourceExt};
use shard_contract::names::BOT_LABEL;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// One controller, not yet running.
pub struct Scope {
    controller: Controller<Listed<ShardedBot>>,
    filled: Arc<AtomicU8>,
    /// The bots that it sees.
    pub bots: Store<Listed<ShardedBot>>,
    /// The pods that it sees.
    pub pods: Store<Listed<Pod>>,
}

/// Objects on a page of a list. Of each only metadata comes, of which managed fields and annotations may take up to etcd's limit of
/// 1.5 MiB: 12 MiB on a page at the very most, and four watches may be filled at once.
const PAGE: u32 = 8;
/// How many watches a controller fills before it is ready: bots and pods.
const WATCHES: u8 = 2;

impl Scope {
    /// Watches a namespace, or all.
    #[must_use]
    pub fn new(
        client: &Client,
        namespace: Option<&str>,
        concurrency: u16,
        reports: impl Stream<Item = ObjectRef<Listed<ShardedBot>>> + Send + 'static,
    ) -> Self {
        let all = watcher::Config::default().page_size(PAGE);
        let labelled = all.clone().labels(BOT_LABEL);
        let filled = Arc::new(AtomicU8::new(0));
        let (pods, pod_writer) = store();
        let pod_watch = watcher(api::<Pod>(client, namespace), labelled.clone());
        let pod_events =
            count(reflector(pod_writer, pod_watch.default_backoff()), filled.clone()).touched_objects();
        let (bots, bot_writer) = store();
        let bot_watch = watcher(api::<ShardedBot>(client, namespace), all);
        // The status is ours: a round for each of our own writes would only find that nothing is to be done.
        let bot_events = count(reflector(bot_writer, bot_watch.default_backoff()), filled.clone())
            .applied_objects()
            .predicate_filter(predicates::generation, PredicateConfig::default());
        // Not kube's debounce, which starts anew with each trigger and has no end: rounds keep their own pace.
        let settings = Config::default().concurrency(concurrency);
        let sets = watcher(api::<StatefulSet>(client, namespace), labelled.clone());
        let maps = watcher(api::<ConfigMap>(client, namespace), labelled);
        let controller = Controller::for_stream(bot_events, bots.clone())
            .with_config(settings)
            .owns_stream(sets.default_backoff().touched_objects())
            .owns_stream(maps.default_backoff().touched_objects())
            .watches_stream(pod_events, |pod| bot_of(&pod))
            .reconcile_on(reports);
        Self { controller, filled, bots, pods }
    }

    /// Tells whether its watches have been filled once.
    pub fn readiness(&self) -> impl Fn() -> bool + Send + Sync + use<> {
        let filled = self.filled.clone();
        move || filled.load(Ordering::Acquire) >= WATCHES
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

/// Counts a watch once, when it has been filled. The stores' own `wait_until_ready` wakes only one of its waiters, and that
/// must be the controller.
fn count<K>(
    watch: impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send + 'static,
    filled: Arc<AtomicU8>,
) -> impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send + 'static {
    let mut first = true;
    watch.inspect(move |event| match event {
        Ok(watcher::Event::InitDone) if std::mem::take(&mut first) => {
            filled.fetch_add(1, Ordering::AcqRel);
        }
        Err(error) => tracing::warn!(%error, "a watch failed; it is started again"),
        Ok(_) => {}
    })
}

fn api<K>(client: &Client, namespace: Option<&str>) -> Api<Listed<K>>
where
    K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

fn bot_of(pod: &Listed<Pod>) -> Option<ObjectRef<Listed<ShardedBot>>> {
    Some(ObjectRef::new(pod.labels().get(BOT_LABEL)?).within(&pod.namespace()?))
}
