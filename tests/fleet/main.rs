//! Operators and bots as processes, the simulated Discord as their judge, on one API server without nodes.
//!
//! A test by name for each row of the fault table that needs no hand-over, and forty runs by seed. Discord's time passes
//! ten times as fast; everything else is real. Each test has a fleet and a namespace of its own and can be had alone
//! (`cargo test --test fleet -- NAME`). Everything ends with this process, whatever ends it. Deliberately absent: fakes.

mod discord;
mod handlers;
mod life;
mod metrics;
mod objects;
mod operators;
mod pods;
mod records;
mod runs;

use shard_tests::fleet::stage::{Test, run};
use std::process::ExitCode;

/// Those that take longest first, so that none of them is left alone at the end.
const TESTS: [Test; 39] = [
    ("forty_runs_by_seed", runs::many),
    ("pod_partitioned_and_back_fences_itself_and_nothing_is_handled_twice", pods::partitioned),
    (
        "two_pods_cut_off_from_all_but_each_other_fence_themselves_and_nothing_is_handled_twice",
        pods::two_partitioned,
    ),
    ("node_lost_its_pod_is_replaced_and_online_again", pods::node_lost),
    ("two_pods_on_lost_nodes_at_once_are_both_replaced", pods::two_nodes_lost),
    ("token_shared_with_somebody_else_is_told_with_its_remedy", discord::token_shared),
    ("operator_down_for_ten_minutes_new_identifies_go_by_turns", operators::ten_minutes),
    ("a_fleet_comes_online_answers_and_breaks_no_rule", life::comes_online),
    ("twelve_shards_come_online_within_their_windows", life::comes_online_in_time),
    ("operator_down_both_replicas_shards_run_and_restarts_resume", operators::both_down),
    ("leader_killed_in_a_cold_start_no_second_grant_in_a_window", operators::leader_killed),
    ("two_operators_believe_they_lead_never_two_grants", operators::leader_hangs),
    ("operator_reinstalled_elsewhere_replaces_no_pod_and_pods_find_the_new_gate", operators::elsewhere),
    ("pod_killed_its_container_resumes", pods::killed),
    ("every_container_killed_at_once_all_resume", pods::all_killed),
    ("pod_evicted_its_sessions_are_resumed_without_identifies", pods::evicted),
    ("node_drained_one_pod_at_a_time_costs_no_identify", pods::drained),
    ("container_restarts_while_the_api_server_is_away_and_goes_by_its_file", pods::restarts_without_api),
    ("api_server_away_shards_run_on", pods::api_away),
    ("connection_drop_and_op_7_resume_without_identifies", discord::drops),
    ("op_9_true_resumes_and_op_9_false_identifies", discord::invalid_sessions),
    ("zombie_connection_is_noticed_and_resumed", discord::zombie),
    ("close_codes_that_forbid_a_new_try_make_no_storm_and_are_named", discord::fatal_closes),
    ("discord_rest_faults_make_no_storm_of_invalid_requests", discord::rest_faults),
    ("discord_gone_for_a_while_everything_resumes", discord::outage),
    ("budget_spent_waits_and_says_so", discord::budget_spent),
    ("budget_nearly_spent_live_shards_may_use_the_reserve", discord::reserve),
    ("token_rotated_is_picked_up_without_replacing_pods", discord::token_rotated),
    ("session_secrets_deleted_by_hand_are_put_back", objects::secrets_deleted),
    ("config_map_and_stateful_set_deleted_by_hand_are_put_back", objects::objects_deleted),
    ("secret_write_that_lands_after_a_newer_owners_is_refused", records::park_late),
    ("secret_write_that_lands_after_the_pods_own_next_one_is_refused", records::claim_late),
    ("secret_write_that_lands_twice_or_whose_answer_is_lost_is_read_back", records::unsure),
    ("one_record_that_is_refused_in_a_batch_holds_up_no_other", records::one_refused),
    ("handler_and_job_that_panic_are_answered_and_done_and_the_shard_lives_on", handlers::panic),
    ("more_jobs_than_the_pod_can_do_are_refused_visibly_and_the_gateway_is_unharmed", handlers::overload),
    ("more_events_than_the_pod_can_do_are_counted_and_the_gateway_is_unharmed", handlers::flood),
    ("a_job_that_never_ends_is_counted_and_holds_up_nobody", handlers::never_ends),
    ("promtools_linter_finds_nothing_in_what_operator_and_pods_serve", metrics::lint),
];

fn main() -> ExitCode {
    run("fleet-tests", &TESTS)
}
