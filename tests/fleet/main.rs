//! Operators and bots as processes, the simulated Discord as their judge, on one API server without nodes.
//!
//! What only processes show: signals, files, links that are down, threads of jobs, metrics as they are served, and a few runs by seed.
//! Discord's time passes ten times as fast; everything else is real. Each test has a fleet and a namespace of its own and can be had
//! alone (`cargo test --test fleet -- NAME`). Everything ends with this process, whatever ends it. Deliberately absent: the rest of the
//! fault table, which needs no process (`tests/virtual`).

mod handlers;
mod life;
mod metrics;
mod operators;
mod pods;
mod runs;

use shard_tests::fleet::stage::{Test, run};
use std::process::ExitCode;
use test_cluster::Release;

/// Those that take longest first, so that none of them is left alone at the end.
const TESTS: [Test; 12] = [
    ("twelve_runs_by_seed", runs::many),
    ("pod_partitioned_and_back_fences_itself_and_nothing_is_handled_twice", pods::partitioned),
    ("a_fleet_comes_online_answers_and_breaks_no_rule", life::comes_online),
    ("twelve_shards_come_online_within_their_windows", life::comes_online_in_time),
    ("two_operators_believe_they_lead_never_two_grants", operators::leader_hangs),
    ("pod_killed_its_container_resumes", pods::killed),
    ("pod_evicted_its_sessions_are_resumed_without_identifies", pods::evicted),
    ("handler_and_job_that_panic_are_answered_and_done_and_the_shard_lives_on", handlers::panic),
    ("more_jobs_than_the_pod_can_do_are_refused_visibly_and_the_gateway_is_unharmed", handlers::overload),
    ("more_events_than_the_pod_can_do_are_counted_and_the_gateway_is_unharmed", handlers::flood),
    ("a_job_that_never_ends_is_counted_and_holds_up_nobody", handlers::never_ends),
    ("promtools_linter_finds_nothing_in_what_operator_and_pods_serve", metrics::lint),
];

fn main() -> ExitCode {
    run("fleet-tests", Release::Newest, &TESTS, metrics::build_linter)
}
