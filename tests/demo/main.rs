//! `cargo demo`: what a person sees when things are right.
//!
//! Brings up a Kubernetes and a simulated Discord, installs the chart, applies the README's example, shows the fleet come
//! online, lets a user ask `!fib 30`, changes the number of shards, and closes with what Discord's ledger saw. An embedded
//! cluster is gone when it ends, also after Ctrl-C. Deliberately absent: anything that a user of the chart would not do.

mod options;
mod stage;
mod story;
mod summary;

use anyhow::Result;
use clap::Parser;
use options::Options;
use shard_tests::images::Image;
use shard_tests::kube::Kube;
use shard_tests::setup::{Ready, Wanted, ready};
use stage::Stages;
use std::process::ExitCode;
use test_cluster::Lifetime;

fn main() -> ExitCode {
    match demo(&Options::parse_from(test_cluster::typed(std::env::args_os()))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let causes: Vec<_> = error.chain().map(ToString::to_string).collect();
            stage::print(&format!("\nThe demo {}\n", causes.join(":\n  ")));
            ExitCode::FAILURE
        }
    }
}

fn demo(options: &Options) -> Result<()> {
    let mut stages = Stages::new();
    let wanted = Wanted { images: true, ..Wanted::default() };
    let Ready { images, .. } = stages.run("get everything ready", |say| ready(wanted, say))?;
    if options.prepare {
        return Ok(());
    }
    let lifetime = if options.keep { Lifetime::UntilDown } else { Lifetime::WithCaller };
    let kube =
        stages.run("bring up Kubernetes", |_| Kube::up("demo", lifetime, &mut test_cluster::printer()))?;
    stages.run("bring the images to the nodes", |_| images.iter().try_for_each(|image| kube.load(image)))?;
    kube.is_clear(&story::NAMESPACES)?;
    let shown = show(options, &kube, &images, &mut stages);
    if options.keep && shown.is_ok() {
        stage::print(&story::how_to_use(&kube));
        return shown;
    }
    let end = stages.run("take everything down", |_| {
        kube.clear(&story::NAMESPACES)?;
        kube.down()
    });
    shown.and(end)
}

/// Tells the story and its summary; a broken rule is a failure of the demo, after its report was written.
fn show(options: &Options, kube: &Kube, images: &[Image], stages: &mut Stages) -> Result<()> {
    let told = story::tell(kube, images, stages)?;
    let summary = summary::summary(kube, &told, stages)?;
    stage::print(&summary.text());
    if let Some(file) = &options.report {
        summary.write(file)?;
        stage::print(&format!("\nThe report is in {}.\n", file.display()));
    }
    summary.judge()
}
