//! Reports against a small operator on loopback.

use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use shard_contract::{
    layouts::{DiscordAddress, GateAddress, Layouts},
    pace::Pace,
    report::ShardState,
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};

use super::*;
use shard_machine::Names;

async fn report(State(seen): State<mpsc::UnboundedSender<Report>>, Json(report): Json<Report>) -> StatusCode {
    seen.send(report).unwrap();
    StatusCode::NO_CONTENT
}

#[tokio::test]
async fn a_report_says_it_all_on_change_and_every_fifteen_seconds_of_discords_time() {
    let (see, mut seen) = mpsc::unbounded_channel();
    let pages = Router::new().route(REPORT_PATH, post(report)).with_state(see);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gate = GateAddress { url: format!("http://{}", listener.local_addr().unwrap()) };
    tokio::spawn(async move { axum::serve(listener, pages).await });
    let discord = DiscordAddress { time_factor: Pace::from(50), ..DiscordAddress::default() };
    let (_keep, layouts) = watch::channel(Layouts { gate, discord, ..Layouts::default() });
    let bearer = tempfile::NamedTempFile::new().unwrap();
    let operator = Operator::new(layouts, bearer.path().to_owned(), Names::system()).unwrap();
    let status = Arc::new(Status::new(0..1, 1));
    let jobs = Arc::new(JobCounts::new());
    tokio::spawn(
        Reporter {
            operator,
            layout: 3,
            status: Arc::clone(&status),
            jobs,
            intents: 513,
            random: Random::system(),
        }
        .run(),
    );

    let first = seen.recv().await.unwrap();
    assert_eq!(
        (first.layout, first.intents, first.on_fallback_schedule, first.isolated),
        (3, 513, false, false)
    );
    // Without a change the next one comes all the same: 15 s are 300 ms here.
    assert_eq!(seen.recv().await.unwrap().shards[0].state, ShardState::Waiting);
    status.set_on_fallback_schedule(true);
    status.set_fenced(true);
    status.update(0, |shard| shard.enter(ShardState::Online));
    let told = loop {
        let report = seen.recv().await.unwrap();
        if report.shards[0].state == ShardState::Online {
            break report;
        }
    };
    assert!(told.on_fallback_schedule && told.isolated, "changes of one moment are in one report: {told:?}");
}
