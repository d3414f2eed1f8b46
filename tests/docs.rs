//! The texts, held against the sources: who reads them must find what there is, and nothing else.
//!
//! From README, `CHANGELOG.md` and `docs/` and from the sources to what one names and the other does not have: reasons, conditions, alerts,
//! metrics, tests, numbers, versions, links; and from comments to the sections that they cite. Deliberately absent: whether a
//! sentence is true, which only its reader can tell.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a check that cannot read the sources has failed")]

use shard_tests::checkout::root;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What each page of a runbook answers, in this order.
const ANSWERS: [&str; 5] = ["## Meaning", "## Meanwhile", "## Look", "## Remedy", "## Clears"];

#[test]
fn each_reason_has_its_runbook_and_each_runbook_its_reason() {
    let source = read("operator/src/model/reason.rs");
    let body = between(&source, "pub enum Reason {", "\n}");
    let reasons: BTreeSet<_> =
        body.lines().filter_map(|line| line.trim().strip_suffix(',')).map(str::to_owned).collect();
    assert!(reasons.len() > 30, "the list of reasons was not understood: {reasons:?}");
    let harmless = read("docs/runbooks/harmless.md");
    let rows = harmless.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let harmless: BTreeSet<_> = rows.map(|(reason, _)| reason.to_owned()).collect();
    let pages = pages("docs/runbooks/reasons");
    assert_eq!(
        harmless.intersection(&pages).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "both harmless and not"
    );
    assert_eq!(harmless.union(&pages).cloned().collect::<BTreeSet<_>>(), reasons);
}

#[test]
fn each_condition_has_its_runbook_and_each_runbook_its_condition() {
    let source = read("operator/src/report/conditions.rs");
    let rows = between(&source, "let rows = [", "];");
    let conditions: BTreeSet<_> =
        rows.lines().filter_map(|row| row.split('"').nth(1)).map(str::to_owned).collect();
    assert_eq!(pages("docs/runbooks/conditions"), conditions);
}

#[test]
fn each_alert_of_the_readme_has_its_runbook_and_a_rule_to_copy() {
    let rules = read("docs/runbooks/README.md");
    let readme = read("README.md");
    let mut linked = BTreeSet::new();
    for row in between(&readme, "| alert on |", "\n\n").lines().filter(|row| row.starts_with("| `")) {
        let expression = row.split('`').nth(1).unwrap();
        let page = between(row, "(docs/runbooks/alerts/", ".md)");
        let text = read(&format!("docs/runbooks/alerts/{page}.md"));
        assert!(text.starts_with(&format!("# Alert: `{expression}`\n")), "{page}: not about {expression}");
        assert!(rules.contains(expression), "docs/runbooks/README.md has no rule for {expression}");
        assert!(
            rules.contains(&format!("(alerts/{page}.md)")),
            "docs/runbooks/README.md does not link {page}"
        );
        linked.insert(page.to_owned());
    }
    assert_eq!(pages("docs/runbooks/alerts"), linked);
}

#[test]
fn each_page_says_what_it_means_what_goes_on_how_to_look_what_to_do_and_when_it_is_over() {
    let index = read("docs/runbooks/README.md");
    for folder in ["conditions", "reasons", "alerts"] {
        for page in pages(&format!("docs/runbooks/{folder}")) {
            let text = read(&format!("docs/runbooks/{folder}/{page}.md"));
            let found: Vec<_> = text.lines().filter(|line| line.starts_with("## ")).collect();
            assert_eq!(found, ANSWERS, "{folder}/{page}.md");
            assert!(
                index.contains(&format!("({folder}/{page}.md)")),
                "README.md does not link {folder}/{page}.md"
            );
        }
    }
}

#[test]
fn each_metric_that_a_text_names_is_offered() {
    let rows = read("operator/src/metrics.rs") + &read("bot/src/seen/metrics.rs");
    let offered: BTreeSet<_> =
        rows.lines().filter_map(|line| name_of_metric(line.strip_prefix("//! | `")?)).collect();
    assert!(offered.len() > 30, "the tables of metrics were not understood: {offered:?}");
    let mut wrong = Vec::new();
    for (file, text) in texts() {
        for prefix in ["shard_operator_", "shard_bot_"] {
            let named = text.match_indices(prefix).filter_map(|(at, _)| name_of_metric(&text[at..]));
            wrong.extend(
                named
                    .filter(|name| !offered.contains(name))
                    .map(|name| format!("{}: {name}", file.display())),
            );
        }
    }
    assert_eq!(wrong, Vec::<String>::new(), "no such metrics");
}

#[test]
fn each_number_of_the_protocols_is_the_one_of_the_code() {
    let text = read("docs/protocols.md");
    let (mut wrong, mut checked) = (Vec::new(), 0);
    for row in between(&text, "## 6. Numbers", "\n## ").lines().filter(|row| row.contains(" = ")) {
        let spans: Vec<_> = row.split('`').skip(1).step_by(2).collect();
        let (file, constants) = spans.split_last().unwrap();
        let source = read(file);
        for constant in constants {
            let (name, value) = constant.split_once(" = ").unwrap();
            let is_it = |line: &str| {
                line.contains(&format!("const {name}: ")) && line.ends_with(&format!(" = {value};"))
            };
            checked += 1;
            if !source.lines().any(is_it) {
                wrong.push(format!("{file}: {constant}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(checked > 40, "the table was not understood: {checked}");
}

#[test]
fn each_test_that_the_guarantees_name_exists() {
    let sources: String = ["tests/virtual", "tests/fleet", "tests/loop", "tests/kubernetes", "tests/stories"]
        .iter()
        .flat_map(|folder| files(&root().join(folder), "rs"))
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    let mut wrong = Vec::new();
    for (text, least) in [("docs/guarantees.md", 30), ("docs/support.md", 1)] {
        let text = read(text);
        let named: Vec<_> = text.split('`').skip(1).step_by(2).filter(|span| is_test(span)).collect();
        assert!(named.len() >= least, "the tests were not understood: {named:?}");
        wrong.extend(named.into_iter().filter(|name| !sources.contains(*name)).map(str::to_owned));
    }
    assert_eq!(wrong, Vec::<String>::new(), "no such tests");
}

#[test]
fn the_versions_that_are_supported_are_those_that_are_pinned() {
    let support = read("docs/support.md");
    let modules = read("tests/cluster/programs/go.mod");
    let after = |text: &str, key: &str| {
        let line =
            text.lines().find_map(|line| line.trim().strip_prefix(key)).unwrap_or_else(|| panic!("no {key}"));
        line.split_whitespace().next().unwrap().trim_matches(['"', 'v', '>', '=']).to_owned()
    };
    let manifest = read("Cargo.toml");
    let chart = after(&read("charts/Chart.yaml"), "kubeVersion:");
    let oldest = after(&read("tests/cluster/programs/oldest/go.mod"), "k8s.io/kubernetes ");
    assert!(
        oldest.starts_with(chart.trim_end_matches("0-0")),
        "the chart takes {chart}, the oldest tested is {oldest}"
    );
    for (what, version) in [
        ("Kubernetes, tested", after(&modules, "k8s.io/kubernetes ")),
        ("Kubernetes, claimed", chart.trim_end_matches(".0-0").to_owned()),
        ("Kubernetes, the oldest that is tested", oldest.clone()),
        ("etcd", after(&read("tests/cluster/programs/etcd/go.mod"), "require go.etcd.io/etcd/server/v3 ")),
        ("Helm", after(&modules, "helm.sh/helm/v4 ")),
        ("Helm", after(&modules, "helm.sh/helm/v3 ")),
        ("Go", after(&modules, "go ")),
        ("Rust", after(&manifest, "rust-version = ")),
        ("twilight", after(&manifest, "twilight-gateway = { version = ").trim_end_matches("\",").to_owned()),
    ] {
        assert!(support.contains(&version), "docs/support.md does not name {what} {version}");
    }
}

#[test]
fn what_a_text_links_or_names_by_its_path_exists() {
    let mut wrong = Vec::new();
    for (file, text) in texts() {
        let links = text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap_or_default());
        let links =
            links.filter(|link| !link.contains("://")).map(|link| link.split('#').next().unwrap_or_default());
        let links =
            links.filter(|link| !link.is_empty()).map(|link| (link, file.parent().unwrap().join(link)));
        let is_path = |span: &&str| {
            let inside = ["operator/", "bot/", "tests/", "charts/", "crds/", "docs/", ".ci/"];
            inside.iter().any(|folder| span.starts_with(folder)) && !span.contains(['<', '*', ' ', '{'])
        };
        let spans = text.split('`').skip(1).step_by(2).filter(is_path).map(|path| (path, root().join(path)));
        let missing = links.chain(spans).filter(|(_, path)| !path.exists());
        wrong.extend(missing.map(|(path, _)| format!("{}: {path}", file.display())));
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn a_comment_cites_only_what_is_in_the_repository() {
    let mut wrong = Vec::new();
    let folders = ["operator", "bot", "tests", "charts"].map(|folder| root().join(folder));
    let sources =
        folders.iter().flat_map(|folder| ["rs", "yaml", "toml", "tpl"].map(|kind| files(folder, kind)));
    for file in sources.flatten() {
        let text = fs::read_to_string(&file).unwrap();
        let comments = text.lines().filter(|line| line.trim_start().starts_with("//") || line.contains("# "));
        for line in comments.filter(|_| !file.ends_with("tests/docs.rs")) {
            for (at, found) in line.match_indices(".md") {
                let (before, rest) = (&line[..at], &line[at + found.len()..]);
                let is_of_a_path = |c: char| c.is_alphanumeric() || "./_-".contains(c);
                let path = before.trim_end_matches(is_of_a_path).len();
                // `.mdx` is the form of Discord's documentation.
                if !rest.starts_with('x') && !cites(&line[path..at + found.len()], rest) {
                    wrong.push(format!("{}: {}", file.display(), line.trim()));
                }
            }
        }
    }
    assert_eq!(
        wrong,
        Vec::<String>::new(),
        "cite a file by its path from the top, and a section that it has"
    );
}

/// Whether there is such a text, with the section that the words after it name, if they name one.
fn cites(path: &str, rest: &str) -> bool {
    let Ok(text) = fs::read_to_string(root().join(path)) else { return false };
    let Some(section) = rest.trim_start_matches(['`', ',', ' ']).strip_prefix("section ") else {
        return true;
    };
    let number: String = section.chars().take_while(char::is_ascii_digit).collect();
    text.contains(&format!("\n## {number}. "))
}

/// A test is named by its sentence, or by its function as in `pods::partitioned`.
fn is_test(span: &str) -> bool {
    let is_name = span.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_:".contains(c));
    is_name && (span.matches('_').count() > 3 || span.contains("::"))
}

fn name_of_metric(text: &str) -> Option<String> {
    let name: String = text.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
    // `shard_operator_*` speaks of all of them.
    Some(name).filter(|name| !name.ends_with('_'))
}

/// README, changelog and everything in `docs/`, by path.
fn texts() -> Vec<(PathBuf, String)> {
    let mut all = files(&root().join("docs"), "md");
    all.extend(["README.md", "CHANGELOG.md"].map(|file| root().join(file)));
    all.into_iter().map(|file| (file.clone(), fs::read_to_string(file).unwrap())).collect()
}

/// The pages of a folder by name.
fn pages(folder: &str) -> BTreeSet<String> {
    let names = files(&root().join(folder), "md").into_iter();
    names.map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let rest = text.split_once(from).unwrap_or_else(|| panic!("no {from:?}")).1;
    rest.split_once(to).map_or(rest, |(found, _)| found)
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // What a package manager put there is nobody's text.
        let foreign = path.file_name().is_some_and(|name| name == "node_modules" || name == "target");
        if path.is_dir() && !foreign {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}
