//! The rules of the house, read off the sources: arrows point one way, files stay short, copies are equal.
//!
//! Nouns are imported by verbs; verbs never import verbs; a child never imports its parent; only `reconcile.rs` knows all
//! four verbs. `plan` touches no client, clock, randomness or environment.

#![expect(clippy::unwrap_used, reason = "a check that cannot read the sources has failed")]

use shard_tests::checkout::root;
use std::path::{Path, PathBuf};
use std::{env, fs};

mod arrows;

/// What is pure may not even name these.
const IMPURE: [&str; 9] = [
    "tokio",
    "kube::Client",
    "kube::api",
    "Timestamp::now",
    "Instant::now",
    "SystemTime::now",
    "std::env",
    "rand::",
    "std::fs",
];

#[test]
fn planning_is_pure() {
    let source = root().join("operator/src");
    let mut files = rust_files(&source.join("plan"));
    files.extend(rust_files(&source.join("gate/rules")));
    files.extend(
        [
            "plan.rs",
            "report/status.rs",
            "report/budget.rs",
            "report/conditions.rs",
            "report/fleet.rs",
            "gate/rules.rs",
        ]
        .map(|file| source.join(file)),
    );
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for word in IMPURE {
            assert!(!code(&text).contains(word), "{}: {word}", file.display());
        }
    }
}

#[test]
fn a_child_never_imports_its_parent_in_the_operator() {
    for file in rust_files(&root().join("operator/src")) {
        let text = fs::read_to_string(&file).unwrap();
        let parent = file.parent().unwrap().file_name().unwrap().to_str().unwrap();
        for line in code(&text).lines().filter(|line| line.trim_start().starts_with("use super::")) {
            // A sibling is fine; what the parent file defines itself is not, but for what it is there to share.
            let what = line.trim().trim_start_matches("use super::");
            let sibling = what.split([':', ';', '{']).next().unwrap_or_default();
            let is_sibling = file.parent().unwrap().join(format!("{sibling}.rs")).exists();
            let shared = matches!(
                (parent, what.trim_end_matches(';')),
                ("objects", "with_hash" | "{hash, with_hash}") | ("crd", "ShardedBot")
            );
            assert!(is_sibling || shared, "{}: {line}", file.display());
        }
    }
}

#[test]
fn operator_and_bot_know_each_other_by_the_contract_only() {
    let manifest = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    assert!(!manifest("operator/Cargo.toml").contains("shard-bot"));
    assert!(!manifest("bot/Cargo.toml").contains("shard-operator"));
    let named = |path: &str| -> Vec<String> {
        let manifest = manifest(path);
        let dependencies = manifest.split("[dependencies]").nth(1).unwrap().split('[').next().unwrap();
        dependencies.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
    };
    let contract = named("bot/contract/Cargo.toml");
    assert_eq!(contract, ["serde.workspace = true"], "the contract depends on serde alone");
    for edge in ["bot/discord/Cargo.toml", "bot/serve/Cargo.toml"] {
        let named = named(edge);
        assert!(!named.iter().any(|line| line.contains("shard-")), "{edge} knows nobody: {named:?}");
    }
}

#[test]
fn a_file_has_one_idea_and_begins_by_saying_it() {
    let mut wrong = Vec::new();
    for folder in ["operator/src", "bot/src", "bot/contract/src", "bot/discord/src", "bot/serve/src", "tests"]
    {
        for file in rust_files(&root().join(folder)) {
            let text = fs::read_to_string(&file).unwrap();
            let lines = code(&text)
                .lines()
                .filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with("//"))
                .count();
            if lines > 330 {
                wrong.push(format!("{}: {lines} lines of code", file.display()));
            }
            if !text.starts_with("//!") {
                wrong.push(format!("{}: does not begin with //!", file.display()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// What only the one value of `bot/machine`, and the programs' `main`, may take from the machine.
const MACHINE: [&str; 12] = [
    "Timestamp::now",
    "SystemTime::now",
    "std::time::Instant",
    "rand::rng",
    "rand::random",
    "std::env::var",
    "Config::infer",
    "try_default",
    "lookup_host",
    "tokio::signal",
    "available_parallelism",
    "spawn_blocking",
];

#[test]
fn what_the_machine_gives_comes_by_one_way() {
    // Where it is given; where threads for jobs begin; and a user's command, which may ask for anything.
    let exempt = [
        "bot/machine/src",
        "bot/src/main.rs",
        "bot/src/work/jobs.rs",
        "bot/src/commands",
        "operator/src/main.rs",
    ];
    let mut wrong = Vec::new();
    for folder in ["operator/src", "bot/src", "bot/serve/src", "bot/discord/src", "bot/contract/src"] {
        for file in rust_files(&root().join(folder)) {
            let path = file.strip_prefix(root()).unwrap();
            if exempt.iter().any(|exempt| path.starts_with(exempt)) || path.ends_with("tests.rs") {
                continue;
            }
            let text = code(&fs::read_to_string(&file).unwrap());
            let found = MACHINE.iter().filter(|name| text.contains(*name));
            wrong.extend(found.map(|name| format!("{}: {name}", path.display())));
            let biased = text.lines().filter(|line| line.trim() == "biased;").count();
            let selects = text.matches("select! {").count();
            if biased != selects {
                wrong.push(format!("{}: {selects} select!, of which {biased} are biased", path.display()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn the_definition_and_the_charts_copy_are_fresh() {
    let definition = shard_operator::crd::definition().unwrap();
    let yaml = serde_saphyr::to_string(&definition).unwrap();
    let wanted = format!("# Made by `shard-operator crd` from operator/src/crd.rs; do not edit.\n{yaml}");
    for copy in ["crds/shardedbots.yaml", "charts/files/shardedbots.yaml"] {
        let file = root().join(copy);
        if env::var_os("UPDATE").is_some() {
            fs::write(&file, &wanted).unwrap();
        }
        let found = fs::read_to_string(&file).unwrap();
        assert!(
            found == wanted,
            "{copy} is stale; run UPDATE=1 cargo test --package shard-tests --test layout"
        );
    }
}

#[test]
fn the_readmes_example_is_the_one_that_the_demo_applies() {
    let example = fs::read_to_string(root().join("bot/mybot.yaml")).unwrap();
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    assert!(readme.contains(&format!("```yaml\n{example}```")), "copy bot/mybot.yaml into README.md");
}

#[test]
fn versions_are_said_once_and_agree() {
    let version = env!("CARGO_PKG_VERSION");
    let chart = fs::read_to_string(root().join("charts/Chart.yaml")).unwrap();
    assert!(
        chart.contains(&format!("\nversion: {version}\n"))
            && chart.contains(&format!("\nappVersion: {version}\n"))
    );
    for file in ["bot/mybot.yaml", "tests/discord/discord.yaml"] {
        let text = fs::read_to_string(root().join(file)).unwrap();
        assert!(
            text.contains("ghcr.io/shard-operator/") && text.contains(&format!(":{version}\n")),
            "{file}"
        );
    }
}

#[test]
fn nothing_stands_at_the_top_but_what_is_named_here() {
    let allowed = [
        "CHANGELOG.md",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "README.md",
        "bot",
        "charts",
        "crds",
        "docs",
        "findings",
        "operator",
        "target",
        "tests",
    ];
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        // A report that somebody had the demo write is nobody's folder.
        let report = Path::new(&name).extension().is_some_and(|extension| extension == "json");
        assert!(
            name.starts_with('.') || report || allowed.contains(&name.as_str()),
            "{name} stands at the top"
        );
    }
}

/// The code of a file, without its unit tests and comments.
fn code(text: &str) -> String {
    let before_tests = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    before_tests.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}
