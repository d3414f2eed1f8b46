//! The demo's command line.

use clap::Parser;
use std::path::PathBuf;

/// Brings a sharded bot online on a real Kubernetes against a simulated Discord, and shows it.
///
/// Without KUBECONFIG it brings up a Kubernetes of its own on this machine, which needs root on Linux; with KUBECONFIG it
/// uses that cluster (images reach kind and k3d by themselves; any other cluster must be able to pull them).
#[derive(Debug, Parser)]
#[command(name = "cargo demo", bin_name = "cargo demo")]
pub struct Options {
    /// Write what was measured to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Install, build and make everything that it needs, and stop before Kubernetes is started
    #[arg(long, conflicts_with_all = ["keep", "report"])]
    pub prepare: bool,
    /// Leave everything running, and say how to look at it
    #[arg(long)]
    pub keep: bool,
}
