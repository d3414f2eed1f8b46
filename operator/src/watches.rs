//! A watch that begins with all that is there: as a stream where the API server can do that, in pages where it refuses.
//!
//! From an API and a selector to kube's events. Streamed, each object comes by itself, and no page of them is held; but an API
//! server whose feature gate `WatchList` is off, or whose etcd is too old for it, refuses, and kube's watcher would ask it the same for
//! ever. A list in pages is of the newest state; for a stream kube asks for any state that the API server has at hand, which may be an older
//! one where one of several lags behind: a round reads by itself what it acts upon. Deliberately absent: waits between tries, which are the
//! caller's.

use futures::stream::BoxStream;
use futures::{Stream, StreamExt, stream};
use kube::api::Api;
use kube::core::Status;
use kube::runtime::watcher;
use kube::runtime::watcher::{Config, Event};
use kube::{Error, Resource};
use serde::de::DeserializeOwned;
use std::fmt::Debug;

/// Objects on a page of a list. Of each only metadata comes, of which managed fields and annotations may take up to etcd's limit of
/// 1.5 MiB: 12 MiB on a page at the very most, and four watches may be filled at once.
const PAGE: u32 = 8;

/// Watches what the configuration selects.
pub fn watch<K>(
    api: Api<K>,
    selected: Config,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let events = watcher(api.clone(), selected.clone().streaming_lists()).boxed();
    let begun = Watch { events, pages: Some((api, selected.page_size(PAGE))), told: Told::Nothing };
    stream::unfold(begun, |mut watch| async move {
        loop {
            let event = watch.events.next().await?;
            let refused = match &event {
                // One that began and never came to its end, twice: what ends it is not passed on.
                Ok(Event::Init) => std::mem::replace(&mut watch.told, Told::Some) == Told::Some,
                Ok(Event::InitDone) => {
                    watch.told = Told::All;
                    false
                }
                Err(error) if is_begun_anew(error) => {
                    watch.told = Told::Nothing;
                    false
                }
                Err(error) => {
                    let refused = watch.told != Told::All && is_refused(error);
                    // What ended it is known, as where a connection broke.
                    if watch.told == Told::Some {
                        watch.told = Told::Nothing;
                    }
                    refused
                }
                Ok(_) => false,
            };
            if let Some((api, paged)) = watch.pages.take_if(|_| refused) {
                let what = K::plural(&());
                tracing::info!(%what, "the API server does not stream this list; it is read in pages");
                watch.events = watcher(api, paged).boxed();
                continue;
            }
            return Some((event, watch));
        }
    })
}

struct Watch<K: Resource + Clone + DeserializeOwned + Debug + Send + 'static> {
    events: BoxStream<'static, watcher::Result<Event<K>>>,
    /// How it goes on where lists are not streamed; none: so it goes on.
    pages: Option<(Api<K>, Config)>,
    told: Told,
}

/// How much has been told of what was there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    /// Nothing: nobody was asked, or it is about to be asked anew.
    Nothing,
    /// It has begun.
    Some,
    /// All.
    All,
}

/// Whether kube's watcher asks for all that is there after this, instead of going on.
fn is_begun_anew(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::WatchError(status) => status.code == 410,
        watcher::Error::NoResourceVersion => true,
        _ => false,
    }
}

/// Whether this says that lists are not streamed, rather than that something else is wrong: a switched-off gate is a query that is not
/// valid, an etcd that is too old an internal error.
fn is_refused(error: &watcher::Error) -> bool {
    let refuses = |status: &Status| matches!(status.code, 400 | 422 | 500 | 501);
    match error {
        watcher::Error::WatchStartFailed(Error::Api(status)) | watcher::Error::WatchError(status) => {
            refuses(status)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{Request, Response};
    use futures::TryStreamExt as _;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::client::{Body, Client};
    use serde_json::{Value, json};
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// An API server with one object on a list. Whoever wants the list as a stream is answered so.
    fn server(code: u16, lines: &[Value]) -> Api<ConfigMap> {
        server_that_changes([(code, lines); 2])
    }

    /// Whoever wants the list as a stream is answered so at first, and so from then on.
    fn server_that_changes(answers: [(u16, &[Value]); 2]) -> Api<ConfigMap> {
        let answers = answers.map(|(code, lines)| {
            (code, lines.iter().map(Value::to_string).collect::<Vec<_>>().join("\n") + "\n")
        });
        let asked = AtomicUsize::new(0);
        let service = tower::service_fn(move |request: Request<Body>| {
            let query = request.uri().query().unwrap_or_default();
            let (code, body) = if query.contains("sendInitialEvents=true") {
                let (code, lines) = &answers[asked.fetch_add(1, Ordering::Relaxed).min(1)];
                (*code, axum::body::Body::from(lines.clone()))
            } else if query.contains("watch=true") {
                (200, axum::body::Body::from_stream(stream::pending::<std::io::Result<Vec<u8>>>()))
            } else {
                let item = json!({ "metadata": { "name": "listed" } });
                let list = json!({ "metadata": { "resourceVersion": "7" }, "items": [item] });
                (200, axum::body::Body::from(list.to_string()))
            };
            std::future::ready(Response::builder().status(code).body(body))
        });
        Api::namespaced(Client::new(service, "bots"), "bots")
    }

    fn status(code: u16, message: &str) -> Value {
        json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": "x", "message": message })
    }

    /// What is told until all is.
    async fn told(api: Api<ConfigMap>) -> watcher::Result<Vec<String>> {
        let mut events = std::pin::pin!(watch(api, Config::default()));
        let mut names = Vec::new();
        while let Some(event) = events.try_next().await? {
            match event {
                Event::InitApply(map) => names.extend(map.metadata.name),
                Event::InitDone => break,
                _ => {}
            }
        }
        Ok(names)
    }

    /// A list as a stream: one object, and the bookmark that ends it.
    fn streamed() -> [Value; 2] {
        [
            json!({ "type": "ADDED", "object": { "metadata": { "name": "streamed", "resourceVersion": "5" } } }),
            json!({ "type": "BOOKMARK", "object": { "kind": "ConfigMap", "apiVersion": "v1", "metadata": {
                "resourceVersion": "6", "annotations": { "k8s.io/initial-events-end": "true" },
            } } }),
        ]
    }

    #[tokio::test]
    async fn a_list_that_is_streamed_is_read_in_no_other_way() {
        assert_eq!(told(server(200, &streamed())).await.unwrap(), ["streamed"]);
    }

    /// As when an API server is started again without the feature.
    #[tokio::test]
    async fn a_watch_that_was_filled_goes_on_in_pages_where_it_is_refused_later() {
        let [object, end] = streamed();
        let gone = json!({ "type": "ERROR", "object": status(410, "too old") });
        let first = [object, end, gone];
        let refused = [status(422, "sendInitialEvents is forbidden")];
        let events = watch(server_that_changes([(200, &first), (422, &refused)]), Config::default());
        let mut events = std::pin::pin!(events.take(8));
        let (mut names, mut errors) = (Vec::new(), 0);
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::InitApply(map)) => names.extend(map.metadata.name),
                Ok(Event::InitDone) if names.len() == 2 => break,
                Ok(_) => {}
                Err(_) => errors += 1,
            }
        }
        assert_eq!((names.join(" ").as_str(), errors), ("streamed listed", 1));
    }

    #[tokio::test]
    async fn a_stream_that_breaks_off_is_asked_for_again() {
        let [object, end] = streamed();
        let late = json!({ "type": "ERROR", "object": status(504, "timeout") });
        let broken = [object.clone(), late];
        let api = server_that_changes([(200, &broken), (200, &[object, end])]);
        let events: Vec<_> = watch(api, Config::default()).take(6).collect().await;
        let done = events.iter().filter(|event| matches!(event, Ok(Event::InitDone))).count();
        let name_of = |event: &watcher::Result<Event<ConfigMap>>| match event {
            Ok(Event::InitApply(map)) => map.metadata.name.clone(),
            _ => None,
        };
        let names: Vec<_> = events.iter().filter_map(name_of).collect();
        assert_eq!((names, done), (vec!["streamed".to_owned(); 2], 1));
    }

    #[tokio::test]
    async fn a_stream_that_never_says_that_all_was_told_is_given_up_for_pages() {
        let [object, _] = streamed();
        assert_eq!(told(server(200, &[object])).await.unwrap().last().unwrap(), "listed");
    }

    #[tokio::test]
    async fn where_lists_are_not_streamed_they_come_in_pages() {
        let gate = "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled";
        assert_eq!(told(server(422, &[status(422, gate)])).await.unwrap(), ["listed"]);
        let etcd = "the required storage feature RequestWatchProgress is disabled";
        let event = json!({ "type": "ERROR", "object": status(500, etcd) });
        assert_eq!(told(server(200, &[event])).await.unwrap(), ["listed"]);
    }

    #[tokio::test]
    async fn other_refusals_are_told() {
        for code in [403, 429, 503] {
            let error = told(server(code, &[status(code, "no")])).await.unwrap_err();
            assert!(matches!(&error, watcher::Error::WatchStartFailed(_)), "{error:?}");
        }
        let gone = json!({ "type": "ERROR", "object": status(410, "too old") });
        let error = told(server(200, &[gone])).await.unwrap_err();
        assert!(matches!(&error, watcher::Error::WatchError(status) if status.code == 410), "{error:?}");
    }
}
