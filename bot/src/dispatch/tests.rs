//! Dispatch by its bounds: how many at a time, what happens to a panic, who has duty, what the stop leaves.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use shard_contract::layouts::Layouts;
use tokio::sync::Semaphore;

use super::*;
use crate::{
    discord::Discord,
    jobs::Jobs,
    status::Status,
    token::{Token, TokenSource},
};

fn dispatch<H, F>(at_a_time: usize, role: Option<Role>, handler: H) -> (Dispatch, watch::Sender<Option<Role>>)
where
    H: Fn(Event) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    drop(rustls::crypto::ring::default_provider().install_default());
    let (changed, role) = watch::channel(role);
    let (_, layouts) = watch::channel(Layouts::default());
    let token = TokenSource::Given(Token::new("token"));
    let context = Context {
        jobs: Jobs::new(1).unwrap(),
        discord: Arc::new(Discord::new(token, layouts).unwrap()),
        status: Arc::new(Status::new(0..1, 1)),
        shard: 0,
    };
    let on_event: Handler = Arc::new(move |event, _| handler(event).map(Ok).boxed());
    let handlers = Handlers { registry: Registry::default(), prefix: "!".into(), on_event: Some(on_event) };
    let brake = Arc::new(Brake::default());
    (Dispatch { handlers, context, role, counters: Counters::default(), at_a_time, brake }, changed)
}

const fn envelope(sequence: u64) -> Envelope {
    Envelope { shard: 0, sequence, event: Event::Resumed }
}

#[tokio::test]
async fn no_more_than_the_bound_run_at_a_time_and_the_stop_leaves_the_rest() {
    let (begun, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let (dispatch, _role) = dispatch(2, Some(Role::Active), {
        let (begun, go) = (Arc::clone(&begun), Arc::clone(&go));
        move |_| {
            let (begun, go) = (Arc::clone(&begun), Arc::clone(&go));
            async move {
                begun.fetch_add(1, Ordering::SeqCst);
                go.acquire().await.unwrap().forget();
            }
        }
    });
    let (to, events) = mpsc::channel(8);
    for sequence in 0..5 {
        to.send(envelope(sequence)).await.unwrap();
    }
    let stop = CancellationToken::new();
    let running = tokio::spawn(dispatch.run(events, stop.clone()));
    while begun.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(begun.load(Ordering::SeqCst), 2, "bounded");

    go.add_permits(1);
    while begun.load(Ordering::SeqCst) < 3 {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    let mut running = running.await.unwrap();
    assert_eq!(running.count(), 2);
    assert!(to.send(envelope(9)).await.is_err(), "nothing is taken any more");
    go.add_permits(2);
    running.finish().await;
    assert_eq!(begun.load(Ordering::SeqCst), 3, "the rest was not begun");
}

#[tokio::test]
async fn a_panic_in_a_handler_is_contained_and_counted() {
    let handled = Arc::new(AtomicUsize::new(0));
    let (dispatch, _role) = dispatch(8, Some(Role::Active), {
        let handled = Arc::clone(&handled);
        move |event| {
            let handled = Arc::clone(&handled);
            async move {
                assert!(event != Event::GatewayReconnect, "as planned");
                handled.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    let counters = dispatch.counters.clone();
    let (to, events) = mpsc::channel(8);
    to.send(Envelope { event: Event::GatewayReconnect, ..envelope(1) }).await.unwrap();
    to.send(envelope(2)).await.unwrap();
    drop(to);
    dispatch.run(events, CancellationToken::new()).await.finish().await;
    assert_eq!((handled.load(Ordering::SeqCst), counters.handler_panics.get()), (1, 1));
}

#[tokio::test]
async fn only_an_active_layout_handles_events() {
    for (role, expected) in
        [(None, 0), (Some(Role::Standby), 0), (Some(Role::Active), 1), (Some(Role::Retiring), 0)]
    {
        let handled = Arc::new(AtomicUsize::new(0));
        let (dispatch, _role) = dispatch(8, role, {
            let handled = Arc::clone(&handled);
            move |_| {
                handled.fetch_add(1, Ordering::SeqCst);
                async {}
            }
        });
        let counters = dispatch.counters.clone();
        let (to, events) = mpsc::channel(8);
        to.send(envelope(1)).await.unwrap();
        drop(to);
        let mut running = dispatch.run(events, CancellationToken::new()).await;
        tokio::time::timeout(Duration::from_secs(5), running.finish()).await.unwrap();
        assert_eq!(handled.load(Ordering::SeqCst), expected, "{role:?}");
        assert_eq!(counters.without_duty.get(), 1 - expected as u64, "{role:?}");
    }
}
