//! The layouts document: read from the ConfigMap `<bot>-layouts` before anything else, then watched.
//!
//! From the API server to a `watch` channel of [`Layouts`] for the gate's address, Discord's and this layout's role.
//! The rights cover that one ConfigMap, so lists and watches carry `fieldSelector metadata.name`. A document of a
//! lower generation than one seen is ignored; a missing one, a broken one and an API server that is away are waited
//! for, and said once per change. The newest is kept in a file that outlives the container ([`Kept`]): one that restarts while
//! the API server is away goes by that after a moment. Deliberately absent: writing the ConfigMap, and anything secret.

use std::{path::Path, time::Duration};

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    runtime::{WatchStreamExt as _, watcher},
};
use shard_contract::{layouts::Layouts, names, whose::Duty};
use shard_machine::Machine;
use tokio::{sync::watch, time::Instant};

use crate::edges::{backoff::Backoff, config::Pod, kept::Kept, kubernetes::within, trouble::Trouble};

/// The API server is tried for this long before the file is believed.
const FILE_AFTER: Duration = Duration::from_secs(10);
/// The longest that one watch lasts, in seconds: a connection that died in silence is noticed a little later.
const WATCH_FOR: u32 = 60;

/// The document could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LayoutsError {
    #[error("could not read the ConfigMap {name}")]
    Get { name: String, source: kube::Error },
    #[error("there is no ConfigMap {name} yet; shard-operator makes it")]
    Missing { name: String },
    #[error("the ConfigMap {name} has no key {}", names::LAYOUTS_KEY)]
    NoKey { name: String },
    #[error("could not read {} of the ConfigMap {name}", names::LAYOUTS_KEY)]
    Garbled { name: String, source: serde_json::Error },
    #[error("could not watch the ConfigMap")]
    Watch(#[source] Box<watcher::Error>),
}

/// Reads the document, waiting for it as long as it takes, and goes on watching it for as long as the process lives.
pub(crate) async fn follow(
    client: Client,
    pod: &Pod,
    folder: &Path,
    machine: &Machine,
) -> watch::Receiver<Layouts> {
    let name = names::layouts_config_map(&pod.bot);
    let api: Api<ConfigMap> = Api::namespaced(client, &pod.namespace);
    let mut trouble = Trouble::new("read the layouts document");
    let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(10));
    let kept = Kept::new(folder, names::LAYOUTS_KEY);
    let file_at = Instant::now() + FILE_AFTER;
    let first = loop {
        match get(&api, &name).await {
            Ok(layouts) => {
                trouble.over();
                tracing::info!(
                    config_map = name,
                    generation = layouts.generation,
                    gate = layouts.gate.url,
                    "read the layouts document"
                );
                kept.write(&layouts);
                break layouts;
            }
            Err(error) => drop(trouble.failed(&error)),
        }
        if Instant::now() >= file_at
            && let Some(layouts) = kept.read()
        {
            let generation = layouts.generation;
            tracing::warn!(generation, "the API server is away, going by the layouts document kept last");
            break layouts;
        }
        tokio::time::sleep(backoff.next(&machine.random)).await;
    };
    let (changed, layouts) = watch::channel(first);
    machine.tasks.spawn(keep(api, name, changed, trouble, kept));
    layouts
}

/// A default GET, which is answered from etcd and never from a stale cache.
async fn get(api: &Api<ConfigMap>, name: &str) -> Result<Layouts, LayoutsError> {
    match within(api.get_opt(name)).await {
        Ok(Some(config_map)) => parse(name, &config_map),
        Ok(None) => Err(LayoutsError::Missing { name: name.to_owned() }),
        Err(source) => Err(LayoutsError::Get { name: name.to_owned(), source }),
    }
}

/// Watches until nobody listens any more.
async fn keep(
    api: Api<ConfigMap>,
    name: String,
    changed: watch::Sender<Layouts>,
    mut trouble: Trouble,
    kept: Kept<Layouts>,
) {
    let only = watcher::Config::default().fields(&format!("metadata.name={name}")).timeout(WATCH_FOR);
    let events = watcher(api, only).default_backoff().map_err(|error| LayoutsError::Watch(Box::new(error)));
    let mut events = std::pin::pin!(events);
    while !changed.is_closed()
        && let Some(event) = events.next().await
    {
        let seen = match event {
            Ok(watcher::Event::Apply(config_map) | watcher::Event::InitApply(config_map)) => {
                parse(&name, &config_map)
            }
            Ok(watcher::Event::Delete(_)) => Err(LayoutsError::Missing { name: name.clone() }),
            Ok(watcher::Event::Init | watcher::Event::InitDone) => continue,
            Err(error) => Err(error),
        };
        match seen {
            Ok(layouts) => {
                trouble.over();
                if take(&changed, &layouts) {
                    kept.write(&layouts);
                }
            }
            Err(error) => drop(trouble.failed(&error)),
        }
    }
}

/// The document in the ConfigMap.
pub(crate) fn parse(name: &str, config_map: &ConfigMap) -> Result<Layouts, LayoutsError> {
    let data = config_map.data.as_ref().and_then(|data| data.get(names::LAYOUTS_KEY));
    let text = data.ok_or_else(|| LayoutsError::NoKey { name: name.to_owned() })?;
    serde_json::from_str(text).map_err(|source| LayoutsError::Garbled { name: name.to_owned(), source })
}

/// Takes a document, unless it is older than the one known. Whether it was news.
fn take(changed: &watch::Sender<Layouts>, layouts: &Layouts) -> bool {
    let news = changed.send_if_modified(|known| {
        let newer = layouts.generation >= known.generation && *layouts != *known;
        if newer {
            known.clone_from(layouts);
        }
        newer
    });
    if news {
        tracing::info!(
            generation = layouts.generation,
            gate = layouts.gate.url,
            "the layouts document changed"
        );
    }
    news
}

/// Follows what is said of one layout.
pub(crate) fn follow_duty(mut layouts: watch::Receiver<Layouts>, number: u32) -> watch::Receiver<Duty> {
    let (changed, duty) = watch::channel(Duty::of(&layouts.borrow_and_update(), number));
    tokio::spawn(async move {
        while layouts.changed().await.is_ok() {
            let now = Duty::of(&layouts.borrow_and_update(), number);
            changed.send_if_modified(|duty| {
                if duty.role != now.role {
                    tracing::info!(layout = number, role = ?now.role, "this layout's role changed");
                }
                let news = *duty != now;
                *duty = now;
                news
            });
        }
        // The sender stays, so that what is known last stays too.
        changed.closed().await;
    });
    duty
}

#[cfg(test)]
mod following;

#[cfg(test)]
mod tests {
    use shard_contract::layouts::{Layout, Role};

    use super::*;

    fn document(generation: u64, role: Role) -> Layouts {
        let layouts = vec![Layout { number: 2, total: 4, pods: 1, role, session_group: 0, fallback_slot: 2 }];
        Layouts { generation, layouts, ..Layouts::default() }
    }

    #[test]
    fn a_lower_generation_is_ignored() {
        let (changed, layouts) = watch::channel(document(3, Role::Active));
        take(&changed, &document(2, Role::Retiring));
        assert_eq!(layouts.borrow().generation, 3);
        take(&changed, &document(4, Role::Retiring));
        assert_eq!(Duty::of(&layouts.borrow(), 2).role, Some(Role::Retiring));
        assert_eq!(Duty::of(&layouts.borrow(), 1).role, None);
    }

    #[test]
    fn a_document_is_found_under_its_key_or_the_error_names_it() {
        let mut config_map = ConfigMap::default();
        assert!(parse("b-layouts", &config_map).unwrap_err().to_string().contains("layouts.json"));
        config_map.data = Some([("layouts.json".to_owned(), r#"{"generation":5}"#.to_owned())].into());
        assert_eq!(parse("b-layouts", &config_map).unwrap().generation, 5);
    }

    #[tokio::test]
    async fn a_role_is_followed() {
        let (changed, layouts) = watch::channel(document(1, Role::Standby));
        let mut duty = follow_duty(layouts, 2);
        assert_eq!(duty.borrow_and_update().role, Some(Role::Standby));
        take(&changed, &document(2, Role::Active));
        duty.changed().await.unwrap();
        assert_eq!(duty.borrow().role, Some(Role::Active));
    }
}
