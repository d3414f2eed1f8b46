//! Which module may import which.
//!
//! Two tables, one for the operator and one for the rooms of the bot; both are compared with the folders and hold no circle. Deliberately absent: what is in a
//! module.

use super::{code, rust_files};
use anyhow::Context as _;
use shard_tests::checkout::root;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// What each module of the operator may import from the crate, beside modules of its own folder.
const OPERATOR: [(&str, &[&str]); 27] = [
    ("crd", &[]),
    ("model", &[]),
    ("names", &["model"]),
    ("plan", &["backoff", "crd", "model", "names"]),
    ("world", &["model", "names"]),
    ("dry_run", &["names"]),
    ("backoff", &[]),
    ("discord", &["backoff", "model"]),
    ("lease", &[]),
    ("leader", &["lease"]),
    ("claims", &["leader", "lease", "model"]),
    ("gate", &["backoff", "lease", "model"]),
    ("rates", &[]),
    ("reads", &[]),
    ("reports", &["crd", "gate"]),
    ("metrics", &["gate"]),
    (
        "context",
        &["backoff", "claims", "crd", "discord", "gate", "metrics", "model", "rates", "reads", "reports"],
    ),
    ("observe", &["context", "crd", "discord", "dry_run", "model", "names", "reads", "world"]),
    ("apply", &["context", "crd", "dry_run", "model", "names", "world"]),
    ("report", &["claims", "context", "crd", "model"]),
    ("reconcile", &["apply", "claims", "context", "crd", "model", "observe", "plan", "report"]),
    ("controller", &["context", "crd", "metrics", "reconcile", "watches"]),
    ("callers", &["crd", "gate"]),
    ("http", &["callers", "gate", "lease", "metrics", "rates", "reports"]),
    ("config", &["leader", "model"]),
    ("telemetry", &[]),
    ("watches", &[]),
];

/// What each room of the bot may import from the crate, beside itself.
const BOT: [(&str, &[&str]); 10] = [
    ("edges", &[]),
    ("seen", &["edges"]),
    ("identify", &["edges", "seen"]),
    ("session", &["edges", "seen"]),
    ("shard", &["edges", "identify", "seen", "session"]),
    ("work", &["edges", "seen", "session", "shard"]),
    ("stop", &["session", "work"]),
    ("error", &["edges"]),
    ("run", &["edges", "error", "identify", "seen", "session", "shard", "stop", "work"]),
    ("bot", &["edges", "error", "run", "seen", "stop", "work"]),
];

#[test]
fn arrows_in_the_operator_point_one_way() {
    arrows_point_as_allowed("operator/src", &OPERATOR, &["lib", "main"]);
}

#[test]
fn arrows_between_the_rooms_of_the_bot_point_one_way() {
    // The reference bot is the program's own.
    arrows_point_as_allowed("bot/src", &BOT, &["lib", "main", "commands"]);
}

/// Each module imports only what the table allows, and the table names just the modules that there are.
fn arrows_point_as_allowed(folder: &str, table: &[(&str, &[&str])], above: &[&str]) {
    let allowed: BTreeMap<_, _> = table.iter().copied().collect();
    let source = root().join(folder);
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for file in rust_files(&source) {
        let inside = file.strip_prefix(&source).unwrap();
        let module = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        if above.contains(&module) {
            continue;
        }
        seen.insert(module.to_owned());
        let rule = allowed.get(module).copied();
        let rule = rule
            .with_context(|| format!("{}: say in tests/layout/arrows.rs what it may import", file.display()))
            .unwrap();
        let text = fs::read_to_string(&file).unwrap();
        for way in ["super::super::super::", "use crate::*", "use crate as"] {
            assert!(!code(&text).contains(way), "{}: {way} says not which module is meant", file.display());
        }
        // In the file of a room `super` is the crate.
        let is_room = inside.iter().count() == 1;
        assert!(!(is_room && code(&text).contains("use super::")), "{}: write crate::", file.display());
        for imported in imports(&text) {
            if imported != module && !rule.contains(&imported.as_str()) {
                wrong.push(format!("{}: crate::{imported}", inside.display()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new(), "these arrows point the wrong way");
    assert_eq!(
        seen,
        allowed.keys().map(|name| (*name).to_owned()).collect(),
        "the table and the folder differ"
    );
}

#[test]
fn no_two_modules_import_each_other() {
    for table in [&OPERATOR[..], &BOT[..]] {
        let allowed: BTreeMap<_, _> = table.iter().copied().collect();
        for (module, imports) in &allowed {
            let mut reached: BTreeSet<&str> = BTreeSet::new();
            let mut next: Vec<&str> = imports.to_vec();
            while let Some(one) = next.pop() {
                assert_ne!(one, *module, "the table itself has a circle through {module}");
                if reached.insert(one) {
                    next.extend(allowed[one]);
                }
            }
        }
    }
}

/// First segments of `crate::` paths.
fn imports(text: &str) -> BTreeSet<String> {
    let code = code(text);
    let of = |(at, prefix): (usize, &str)| items(&code[at + prefix.len()..]);
    let name = |item: String| item.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    code.match_indices("crate::").flat_map(of).map(name).filter(|name: &String| !name.is_empty()).collect()
}

/// What stands in the braces that a text begins with, at their first level; of one that begins with none, all of it.
fn items(text: &str) -> Vec<String> {
    if !text.starts_with('{') {
        return vec![text.chars().take(100).collect()];
    }
    let (mut depth, mut items) = (0, vec![String::new()]);
    for letter in text.chars() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 1 => break,
            '}' => depth -= 1,
            ',' if depth == 1 => items.push(String::new()),
            letter if depth == 1 => items.last_mut().unwrap().push(letter),
            _ => {}
        }
    }
    items
}
