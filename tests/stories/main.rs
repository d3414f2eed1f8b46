//! Spec and world -> plan, as stories: each file of `stories/*.txt` tells what happens to a bot and what the operator does.
//!
//! Lines that begin with `>` are what happens; everything below one is the transcript that must come out. The world is a
//! model: it keeps the objects that a plan makes. `UPDATE=1 cargo test --test stories` rewrites the transcripts; read the
//! difference before you commit it. Deliberately absent: a client, a clock, an API server (see `tests/kubernetes`).

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::format_push_string,
    reason = "a story that makes no sense has failed, and its speed does not matter"
)]

mod kept;
mod transcript;
mod world;

use shard_tests::checkout::root;
use std::{env, fs};
use world::World;

#[test]
fn every_story_ends_as_told() {
    let folder = root().join("tests/stories");
    let mut told = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        let before = fs::read_to_string(&path).unwrap();
        let after = retell(&before);
        if env::var_os("UPDATE").is_some() {
            fs::write(&path, &after).unwrap();
        } else {
            assert_eq!(
                before,
                after,
                "{} is told otherwise; see UPDATE=1 in tests/stories/main.rs",
                path.display()
            );
        }
        told += 1;
    }
    assert!(told >= 6, "only {told} stories were found in {}", folder.display());
}

/// Keeps the title and what happens, and writes the transcript anew.
fn retell(before: &str) -> String {
    let mut world = World::new();
    let mut after = String::new();
    for line in before.lines() {
        if let Some(event) = line.strip_prefix("> ") {
            after += &format!("> {event}\n{}", world.happen(event));
        } else if line.starts_with('#') {
            after += &format!("{line}\n");
        }
    }
    after
}

/// What is injected into pods is a function of the contract's revision: a newer operator must leave running pods as they
/// are. When this fails, raise `shard_contract::REVISION` and render the old one as before.
#[test]
fn the_pods_of_each_revision_are_rendered_as_they_always_were() {
    use shard_operator::plan::objects::stateful_set::{Arrangement, stateful_set};
    let spec = shard_operator::plan::spec::check(&World::new().bot()).unwrap();
    for revision in 1..=shard_contract::REVISION {
        let layout =
            Arrangement { number: 1, total: 16, pods: 2, revision, session_group: 0, fallback_slot: 1 };
        let rendered = serde_json::to_string_pretty(&stateful_set(&spec, layout).body).unwrap() + "\n";
        let file = root().join(format!("tests/stories/revision-{revision}.json"));
        if env::var_os("UPDATE").is_some() {
            fs::write(&file, &rendered).unwrap();
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), rendered);
    }
}
