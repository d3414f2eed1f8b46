//! Dispatch by its bounds: how many at a time, what happens to a panic, what the stop leaves.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use shard_contract::{layouts::Layouts, record::Session};
use shard_machine::{JobThreads, Random};
use tokio::sync::{Semaphore, watch};

use super::*;
use crate::{
    edges::{
        discord::Discord,
        token::{Token, TokenSource},
    },
    seen::status::Status,
    session::progress::{Checkpoint, Progress},
    work::jobs::Jobs,
};

fn dispatch<H, F>(at_a_time: usize, handler: H) -> Dispatch
where
    H: Fn(Event) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    drop(rustls::crypto::ring::default_provider().install_default());
    let (_, layouts) = watch::channel(Layouts::default());
    let token = TokenSource::Given(Token::new("token"));
    let context = Context {
        jobs: Jobs::new(1, JobThreads::Pool).unwrap(),
        discord: Arc::new(Discord::new(token, layouts, Random::seeded(1)).unwrap()),
        status: Arc::new(Status::new(0..1, 1)),
        shard: 0,
        redelivered: false,
        random: Random::system(),
    };
    let on_event: Handler = Arc::new(move |event, _| handler(event).map(Ok).boxed());
    let handlers = Handlers {
        registry: Registry::default(),
        prefix: "!".into(),
        on_event: Some(on_event),
        of_a_channel: OF_A_CHANNEL,
        most_begun: MOST_BEGUN,
    };
    let brake = Arc::new(Brake::default());
    Dispatch { handlers, context, counters: Counters::default(), at_a_time, brake }
}

fn envelope(sequence: u64) -> Envelope {
    let ticket = Progress::unkept(0).receive(sequence).unwrap();
    Envelope { shard: 0, event: Event::Resumed, redelivered: false, ticket }
}

#[tokio::test]
async fn no_more_than_the_bound_run_at_a_time_and_the_stop_leaves_the_rest() {
    let (begun, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let dispatch = dispatch(2, {
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
    for sequence in 1..=5 {
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

/// A message in this channel.
fn message(sequence: u64, channel: u64) -> Envelope {
    let json = format!(
        r#"{{"op":0,"s":{sequence},"t":"MESSAGE_CREATE","d":{{"id":"{sequence}","channel_id":"{channel}","content":"a","type":0,
        "author":{{"id":"9","username":"u","discriminator":"0","avatar":null}},"timestamp":"2026-11-29T12:00:00+00:00",
        "edited_timestamp":null,"tts":false,"mention_everyone":false,"mentions":[],"mention_roles":[],"attachments":[],
        "embeds":[],"pinned":false}}}}"#
    );
    let parsed = twilight_gateway::parse(json, twilight_gateway::EventTypeFlags::all()).unwrap();
    let Some(twilight_model::gateway::event::GatewayEvent::Dispatch(_, event)) = parsed else {
        panic!("no event")
    };
    Envelope { event: event.into(), ..envelope(sequence) }
}

#[tokio::test]
async fn of_a_busy_channel_eight_are_handled_at_a_time_and_other_channels_at_once() {
    let (handled, go) = (Arc::new(std::sync::Mutex::new(Vec::new())), Arc::new(Semaphore::new(0)));
    let dispatch = dispatch(AT_A_TIME, {
        let (handled, go) = (Arc::clone(&handled), Arc::clone(&go));
        move |event| {
            let (handled, go) = (Arc::clone(&handled), Arc::clone(&go));
            async move {
                let Event::MessageCreate(message) = event else { panic!("no message") };
                handled.lock().unwrap().push(message.channel_id.get());
                go.acquire().await.unwrap().forget();
            }
        }
    });
    let counters = dispatch.counters.clone();
    let (to, events) = mpsc::channel(8);
    let running = tokio::spawn(dispatch.run(events, CancellationToken::new()));
    for sequence in 1..=400 {
        to.send(message(sequence, 5)).await.unwrap();
    }
    to.send(message(401, 6)).await.unwrap();
    let are = async |count: usize| {
        while handled.lock().unwrap().len() < count {
            tokio::task::yield_now().await;
        }
        handled.lock().unwrap().clone()
    };
    assert_eq!(are(9).await, [5, 5, 5, 5, 5, 5, 5, 5, 6]);
    assert_eq!(counters.channel_busy.get(), 392);
    go.add_permits(3);
    while go.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    tokio::task::yield_now().await;
    to.send(message(402, 5)).await.unwrap();
    assert_eq!(are(10).await.last(), Some(&5), "there is room again");
    go.add_permits(100);
    drop(to);
    running.await.unwrap().finish().await;
}

#[tokio::test]
async fn a_panic_in_a_handler_is_contained_and_counted() {
    let handled = Arc::new(AtomicUsize::new(0));
    let dispatch = dispatch(8, {
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
async fn an_event_is_done_when_all_that_handles_it_ended_and_one_begun_before_a_crash_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let kept = || Progress::kept(folder.path(), 0, 0, "uid");
    let session = Session { id: "a".into(), resume_url: None, intents: 0, guilds: 0, guilds_at: 0 };
    let crashed = kept();
    crashed.begin_session(session);
    let mut ticket = crashed.receive(1).unwrap();
    assert!(ticket.begin());
    std::mem::forget(ticket);

    let progress = kept();
    progress.resume().unwrap();
    let ended = Arc::new(Semaphore::new(0));
    let mut dispatch = dispatch(8, async |_| ());
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    dispatch.handlers.on_event = Some({
        let (seen, ended) = (Arc::clone(&seen), Arc::clone(&ended));
        Arc::new(move |_, context: Context| {
            seen.lock().unwrap().push(context.redelivered());
            let ended = Arc::clone(&ended);
            async move {
                ended.acquire().await.unwrap().forget();
                Ok(())
            }
            .boxed()
        })
    });
    let status = Arc::clone(&dispatch.context.status);
    let (to, events) = mpsc::channel(8);
    for sequence in [1, 2] {
        let ticket = progress.receive(sequence).unwrap();
        let redelivered = ticket.begun_before() > 0;
        to.send(Envelope { shard: 0, event: Event::Resumed, redelivered, ticket }).await.unwrap();
    }
    drop(to);
    let mut running = dispatch.run(events, CancellationToken::new()).await;
    let begun = progress.checkpoint();
    assert_eq!((begun.after, kept().resume().unwrap().1), (2, 0), "begun and not done");
    ended.add_permits(2);
    running.finish().await;
    assert_eq!(kept().resume().unwrap().1, 2, "done");
    assert_eq!(*seen.lock().unwrap(), [true, false]);
    assert_eq!(status.of(0).unwrap().redelivered, 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_crash_cut_off_is_handled_one_at_a_time() {
    let (begun, go) = (Arc::new(std::sync::Mutex::new(Vec::new())), Arc::new(Semaphore::new(0)));
    let dispatch = dispatch(AT_A_TIME, {
        let (begun, go) = (Arc::clone(&begun), Arc::clone(&go));
        move |event| {
            let (begun, go) = (Arc::clone(&begun), Arc::clone(&go));
            async move {
                let Event::MessageCreate(message) = event else { panic!("no message") };
                begun.lock().unwrap().push(message.id.get());
                go.acquire().await.unwrap().forget();
            }
        }
    });
    let progress = Progress::unkept(0);
    let session = Some(Session { id: "s".into(), ..Session::default() });
    progress.take_over(&Checkpoint { session, after: 0, skip: vec![], redelivered: vec![1, 3, 5] });
    let (to, events) = mpsc::channel(8);
    let stop = CancellationToken::new();
    let running = tokio::spawn(dispatch.run(events, stop.clone()));
    for sequence in [1, 3, 4, 5] {
        let ticket = progress.receive(sequence).unwrap();
        to.send(Envelope { ticket, ..message(sequence, sequence) }).await.unwrap();
    }
    let are = async || {
        tokio::time::sleep(Duration::from_millis(1)).await;
        begun.lock().unwrap().clone()
    };
    assert_eq!(are().await, [1], "nothing beside it, and nothing before its turn");
    go.add_permits(1);
    assert_eq!(are().await, [1, 3]);
    tokio::time::sleep(ALONE).await;
    assert_eq!(
        are().await,
        [1, 3, 4, 5],
        "one that goes on for so long kills nobody, and the fresh one is not alone"
    );
    stop.cancel();
    go.add_permits(3);
    running.await.unwrap().finish().await;
    assert_eq!(progress.resume().unwrap().1, 5);
}

/// As long as one is alone that does not end.
const ALONE: Duration = Duration::from_secs(3);

#[tokio::test(start_paused = true)]
async fn whatever_a_crash_cut_off_nothing_overtakes_it_and_the_wait_for_it_is_bounded() {
    let begun = Arc::new(std::sync::Mutex::new(Vec::new()));
    let dispatch = dispatch(AT_A_TIME, {
        let begun = Arc::clone(&begun);
        move |event| {
            let begun = Arc::clone(&begun);
            async move {
                let Event::MessageCreate(message) = event else { panic!("no message") };
                begun.lock().unwrap().push(message.id.get());
                std::future::pending::<()>().await;
            }
        }
    });
    let progress = Progress::unkept(0);
    let session = Some(Session { id: "s".into(), ..Session::default() });
    let redelivered: Vec<_> = (1..=100).collect();
    progress.take_over(&Checkpoint { session, after: 0, skip: vec![], redelivered });
    let (to, events) = mpsc::channel(128);
    let stop = CancellationToken::new();
    let started = tokio::time::Instant::now();
    let running = tokio::spawn(dispatch.run(events, stop.clone()));
    for sequence in 1..=101 {
        let ticket = progress.receive(sequence).unwrap();
        to.send(Envelope { ticket, ..message(sequence, 5) }).await.unwrap();
    }
    tokio::time::sleep(ALONE / 2).await;
    assert!(progress.checkpoint().skip.is_empty(), "nothing above one that was not begun");
    while begun.lock().unwrap().len() < 100 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(started.elapsed().as_secs(), 12);
    assert!(
        begun.lock().unwrap().iter().copied().eq(1..=100),
        "in order, more than a channel's places among them"
    );
    stop.cancel();
    drop(running.await.unwrap());
    assert_eq!(progress.checkpoint().after, 101, "the fresh one found no place in its channel");
}
