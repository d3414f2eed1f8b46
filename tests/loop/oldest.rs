//! The same on the oldest Kubernetes that is supported: its API server, our operators and pods.
//!
//! All of `main.rs` but what this release has not: policies that mutate. Deliberately absent: kubelets and controllers of its own, which
//! nothing of ours speaks to.

mod away;
mod hands;
mod lists;
mod refusals;
mod templates;
mod tenants;

use shard_tests::fleet::stage::{Test, run};
use std::process::ExitCode;
use test_cluster::Release;

/// The one that takes longest first.
const TESTS: [Test; 13] = [
    ("conflicts_and_a_storm_of_them_are_tried_again_and_not_hot", refusals::conflicts),
    ("watches_that_are_expired_410_are_begun_anew", refusals::expired_watches),
    ("watches_that_are_cut_are_begun_anew", refusals::cut_watches),
    ("too_many_requests_429_are_waited_for", refusals::too_many),
    ("errors_5xx_slow_answers_and_lost_answers_change_nothing_in_the_end", refusals::errors),
    ("a_template_that_is_written_otherwise_is_no_new_layout", templates::written_otherwise),
    ("pods_that_would_not_be_admitted_stop_no_fleet", templates::not_admitted),
    ("what_is_there_when_an_operator_begins_is_streamed_to_it", lists::streamed),
    ("what_is_null_is_absent", templates::null_is_absent),
    ("bots_that_cannot_be_read_have_a_status_of_their_own_and_hold_up_nobody", tenants::unreadable),
    (
        "an_operator_whose_list_of_bots_fails_ends_in_time_and_gives_the_lease_back",
        tenants::ends_while_the_list_fails,
    ),
    ("a_set_that_is_edited_or_loses_its_marks_is_put_back_on_the_real_api_server", hands::edited),
    ("the_api_server_stopped_and_started_again_replaces_nothing", away::server_stopped),
];

fn main() -> ExitCode {
    run("oldest-tests", Release::Oldest, &TESTS, || Ok(()))
}
