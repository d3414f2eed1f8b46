//! Everything on a real Kubernetes: install with Helm, apply, wait, scale, break, delete. One cluster for all of it.
//!
//! Each test brings about what it needs and leaves the rest alone, so that any of them runs by itself
//! (`cargo test --test kubernetes -- NAME`). The simulated Discord's ledger is the judge. The cluster ends with this
//! process, whatever ends it; that nothing is left is the last test. On a cluster of the user's own, what breaks machines is
//! ignored. A cluster mostly waits: runs by seed use the cores meanwhile (`beside.rs`). Deliberately absent: fakes.

mod beside;
mod broken;
mod faults;
mod fleet;
mod gate;
mod ground;
mod memory;
mod objects;
mod release;
mod trouble;

use ground::Ground;
use libtest_mimic::{Arguments, Failed, Trial};
use shard_tests::kube::Kube;
use std::process::ExitCode;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

type Test = fn(&Ground) -> anyhow::Result<()>;

/// Whose machines a test can do with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum On {
    /// Those of any cluster.
    Any,
    /// Its own: it breaks them.
    Own,
}

const TESTS: [(&str, On, Test); 34] = [
    ("the_chart_is_clean_and_refuses_values_that_make_no_sense", On::Any, release::the_chart_is_clean),
    ("the_chart_installs_where_only_restricted_pods_may_run", On::Any, release::the_chart_installs),
    ("an_autoscaler_on_a_bot_is_refused_with_its_remedy", On::Any, release::autoscalers_are_refused),
    ("the_readmes_example_comes_online_and_breaks_no_rule", On::Any, fleet::the_example_comes_online),
    ("users_of_every_shard_are_answered", On::Any, fleet::a_user_is_answered),
    ("kubectl_explains_prints_and_scales", On::Any, fleet::kubectl_knows_the_resource),
    ("a_scaled_number_meets_the_next_apply_as_the_readme_says", On::Any, fleet::a_scaled_number),
    ("a_spec_that_makes_no_sense_is_refused_by_name", On::Any, broken::bad_specs_are_refused),
    ("another_total_is_a_new_layout_and_breaks_no_rule", On::Any, fleet::another_total),
    ("a_new_template_is_a_new_layout_and_other_edits_are_none", On::Any, fleet::another_template),
    ("a_killed_pod_comes_back_by_the_gate", On::Any, fleet::a_killed_pod),
    ("a_killed_leader_is_followed_by_another_and_breaks_no_rule", On::Any, faults::the_leader_is_killed),
    ("a_fleet_resumes_while_its_operator_is_away", On::Any, faults::the_operator_is_deleted),
    ("a_killed_container_resumes", On::Any, faults::a_killed_container_resumes),
    ("a_bot_of_64_mib_comes_back_with_its_folder_in_memory_full", On::Own, memory::a_full_folder_in_memory),
    ("a_deleted_pod_hands_its_sessions_on", On::Any, faults::a_deleted_pod_hands_its_sessions_on),
    ("a_drained_node_costs_no_identify", On::Any, faults::a_drained_node),
    ("a_lost_nodes_pods_come_back_elsewhere", On::Own, faults::a_lost_node),
    ("a_restart_of_the_api_server_goes_unnoticed", On::Own, faults::the_api_server_restarts),
    ("secrets_that_are_deleted_are_written_again_or_waited_for", On::Any, faults::secrets_that_are_deleted),
    ("what_is_deleted_or_edited_by_hand_is_put_back", On::Any, objects::what_is_edited_is_put_back),
    ("a_name_that_is_taken_is_not_touched", On::Any, objects::a_taken_name),
    ("a_missing_secret_a_missing_key_and_a_wrong_token_are_named", On::Any, broken::tokens),
    ("a_token_that_discord_refuses_is_told_with_its_remedy", On::Any, trouble::a_refused_token),
    ("a_spent_budget_is_told_with_its_remedy_and_passed_by_nobody", On::Any, trouble::a_spent_budget),
    (
        "a_bot_that_burns_identifies_is_told_with_its_remedy_and_slowed_to_probes",
        On::Any,
        trouble::a_burning_bot,
    ),
    ("an_image_a_node_or_a_quota_that_keeps_pods_from_running_is_quoted", On::Any, trouble::blocked_pods),
    ("a_template_that_the_api_server_refuses_stops_nothing", On::Any, broken::a_refused_template),
    ("without_the_right_to_try_pods_the_next_set_is_made_first", On::Any, broken::without_the_right_to_try),
    ("the_gate_lets_in_nobody_but_pods_of_a_layout", On::Any, gate::strangers_are_turned_away),
    ("deleting_the_bot_removes_everything", On::Any, objects::deleting_the_bot),
    ("upgrade_and_uninstall_replace_no_pod", On::Any, release::upgrade_and_uninstall),
    // Few people have both Helms on their search path.
    ("a_release_of_one_helm_goes_on_with_the_other", On::Own, release::one_helm_after_the_other),
    (RUNS_BY_SEED, On::Any, beside::runs_end_well),
];

/// It is begun with the first test that needs the cluster, and ends behind all others.
const RUNS_BY_SEED: &str = "two_thousand_runs_by_seed_beside_all_this_end_well";

/// The ground, or why there is none, which is found out once and not by each test after minutes of its own.
type Found = Option<Result<Ground, Failed>>;

static GROUND: OnceLock<Mutex<Found>> = OnceLock::new();

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // One cluster, one Discord: they take turns.
    arguments.test_threads = Some(1);
    let users = Kube::is_users();
    let has_runs = is_wanted(&arguments, RUNS_BY_SEED);
    let tests = TESTS.map(|(name, on, test)| {
        Trial::test(name, move || on_the_ground(test, has_runs)).with_ignored_flag(users && on == On::Own)
    });
    let last = Trial::test("nothing_is_left_on_the_machine", || {
        match ground().lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(Ok(ground)) => ground.down().map_err(failed),
            Some(Err(failed)) => Err(failed),
            None => Ok(()),
        }
    });
    let conclusion = libtest_mimic::run(&arguments, tests.into_iter().chain([last]).collect());
    // With a filter the last test may not have run; the cluster still goes.
    drop(ground().lock().unwrap_or_else(PoisonError::into_inner).take());
    conclusion.exit_code()
}

fn on_the_ground(test: Test, has_runs: bool) -> Result<(), Failed> {
    let mut ground = ground().lock().unwrap_or_else(PoisonError::into_inner);
    let ground =
        ground.get_or_insert_with(|| Ground::up(has_runs).map_err(failed)).as_ref().map_err(Clone::clone)?;
    let began = Instant::now();
    let outcome = test(ground);
    eprintln!("  it took {:.0} s", began.elapsed().as_secs_f64());
    outcome.map_err(|error| {
        ground.show_state();
        failed(error)
    })
}

/// Whether the command line asks for this test.
fn is_wanted(arguments: &Arguments, test: &str) -> bool {
    let is_meant =
        |filter: &String| if arguments.exact { test == filter } else { test.contains(filter.as_str()) };
    !arguments.list && arguments.filter.as_ref().is_none_or(is_meant) && !arguments.skip.iter().any(is_meant)
}

fn ground() -> &'static Mutex<Found> {
    GROUND.get_or_init(Mutex::default)
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err hands over")]
fn failed(error: anyhow::Error) -> Failed {
    let causes: Vec<_> = error.chain().map(ToString::to_string).collect();
    causes.join(":\n  ").into()
}
