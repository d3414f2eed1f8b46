//! Each change with somebody who dies, or misses an event, at each of its moments; each field of the spec there and back.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use shard_tests::thread::change::Change;
use shard_tests::thread::inject::Kind;
use shard_tests::thread::{each, fields};
use std::collections::BTreeSet;
use strum::IntoEnumIterator as _;

#[test]
fn whoever_dies_or_misses_an_event_at_any_moment_of_a_change_it_ends_as_without() -> Result<()> {
    let changes: Vec<_> = Change::iter().collect();
    let summary = each::run(&changes);
    eprintln!("  {}", summary.line());
    // None that did not count anything.
    assert!(Kind::iter().all(|kind| summary.stories.contains_key(&kind)), "{}", summary.line());
    ensure!(summary.failed.is_empty(), "{}", summary.failed.join("\n"));
    Ok(())
}

#[test]
fn each_field_of_the_spec_set_to_another_value_and_back_ends_as_it_began() -> Result<()> {
    let wrong = fields::wrong();
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn no_field_of_the_spec_is_left_out() -> Result<()> {
    let definition = shard_operator::crd::definition()?;
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let mut there = BTreeSet::new();
    let properties = schema["properties"].as_object().context("no properties")?;
    properties.iter().for_each(|(name, schema)| leaves(name, schema, &mut there));
    let told: BTreeSet<_> = fields::all().iter().map(|field| field.name.to_owned()).collect();
    assert_eq!(told, there);
    Ok(())
}

/// The fields below one; what is kept as it was typed is one field.
fn leaves(name: &str, schema: &Value, all: &mut BTreeSet<String>) {
    let is_whole = schema["x-kubernetes-preserve-unknown-fields"] == true || name == "update.handover";
    match schema["properties"].as_object() {
        Some(properties) if !is_whole => {
            properties.iter().for_each(|(below, schema)| leaves(&format!("{name}.{below}"), schema, all));
        }
        _ => drop(all.insert(name.to_owned())),
    }
}
