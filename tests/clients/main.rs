//! Strangers: bots of seven libraries in four languages, unmodified, on the simulated Discord.
//!
//! Nobody here wrote these libraries, and none of them knows that this is not Discord: what they can do here, they can do
//! there, and what the simulator gets wrong, they stumble over. Each test has a simulator and bots of its own, in processes
//! of their own; the ledger and the replies are the judge. What differs between the seven is written down in
//! `tests/discord/src/clients.rs`.
//! Deliberately absent: our own bot and twilight, which have tests of their own, and sleeps.

mod bot;
mod breaches;
mod connect;
mod hidden;
mod install;
mod library;
mod limits;
mod machine;
mod resume;
mod stage;
mod talk;

use std::process::ExitCode;
use std::thread;

use anyhow::{Context, Result};
use library::Library;
use libtest_mimic::{Arguments, Failed, Trial};

/// Tests that run at once, however few the cores: most of the time they wait for the libraries' own five seconds.
const AT_ONCE: usize = 8;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    // The longest first.
    let four = Library::ALL.map(|one| trial(one, "connects_with_four_shards", connect::four_shards));
    let trials: Vec<_> =
        four.into_iter().chain(of_some()).chain(Library::ALL.into_iter().flat_map(of_each)).collect();
    if !arguments.list {
        install(trials.iter().filter(|trial| !arguments.is_filtered_out(trial)));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Gets what the chosen tests need, side by side, before the first of them: none of them then shares the processors with a
/// compiler. What cannot be had is told by the tests that want it.
fn install<'a>(chosen: impl Iterator<Item = &'a Trial>) {
    let names: Vec<_> = chosen.map(Trial::name).collect();
    let is_wanted = |library: &Library| names.iter().any(|name| name.starts_with(&format!("{library}::")));
    thread::scope(|scope| {
        for library in Library::ALL.into_iter().filter(is_wanted) {
            scope.spawn(move || library.kit().folder().is_ok());
        }
    });
}

/// What every library can do.
fn of_each(library: Library) -> [Trial; 10] {
    [
        trial(library, "waits_and_tries_again_when_it_is_refused", limits::refused),
        trial(library, "is_not_refused_while_it_is_told_what_is_left", limits::told),
        trial(library, "identifies_again_after_op_9_false", resume::invalid_session_that_is_gone),
        trial(library, "resumes_after_a_dropped_connection_and_loses_nothing", resume::dropped_connection),
        trial(library, "resumes_after_op_7_and_loses_nothing", resume::told_to_reconnect),
        after_op_9_true(library),
        trial(library, "connects_with_one_shard", connect::one_shard),
        trial(library, "answers_a_prefix_command", talk::prefix_command),
        trial(library, "answers_a_slash_command", talk::slash_command),
        trial(library, "knows_what_is_hidden", hidden::with_bitrate),
    ]
}

/// discordgo 0.29.0 takes every op 9 for the end of its session: its `onEvent` does not read `d`.
fn after_op_9_true(library: Library) -> Trial {
    match library {
        Library::Discordgo => trial(
            library,
            "identifies_after_op_9_true_and_loses_what_came_meanwhile",
            resume::session_given_up,
        ),
        _ => trial(library, "resumes_after_op_9_true_and_loses_nothing", resume::invalid_session_that_lives),
    }
}

/// What only some can do, or do wrong.
fn of_some() -> [Trial; 12] {
    use Library::{DiscordJs, DiscordPy, Discordgo, Hikari, Oceanic, Pycord};
    [
        trial(Hikari, "takes_windows_for_buckets", breaches::windows_without_buckets),
        trial(Hikari, "identifies_too_early_after_op_9_false", breaches::another_identify_at_once),
        trial(DiscordPy, "identifies_at_once_in_each_process", breaches::first_shards_of_two_processes),
        trial(Discordgo, "opens_its_shards_without_a_pause", breaches::loop_of_open),
        trial(Discordgo, "floods_with_identifies_after_op_9_false", breaches::flood),
        trial(Oceanic, "floods_with_identifies_after_op_9_false", breaches::flood),
        trial(Pycord, "knows_what_is_hidden_without_a_bitrate", hidden::without_bitrate),
        trial(DiscordJs, "knows_what_is_hidden_without_a_bitrate", hidden::without_bitrate),
        trial(Oceanic, "knows_what_is_hidden_without_a_bitrate", hidden::without_bitrate),
        trial(Discordgo, "knows_what_is_hidden_without_a_bitrate", hidden::without_bitrate),
        trial(DiscordJs, "reads_zlib_stream", talk::zlib_stream),
        trial(DiscordPy, "reads_zstd_stream", talk::zstd_stream),
    ]
}

fn trial<F>(library: Library, name: &str, test: fn(Library) -> F) -> Trial
where
    F: Future<Output = Result<()>> + 'static,
{
    Trial::test(format!("{library}::{name}"), move || run(test(library)).map_err(failed))
}

/// One thread for the simulator and the test: what a test does without waiting happens while no connection moves.
fn run(test: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("start a runtime")?.block_on(test)
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err hands over")]
fn failed(error: anyhow::Error) -> Failed {
    let causes: Vec<_> = error.chain().map(ToString::to_string).collect();
    causes.join(":\n  ").into()
}
