//! The operator's program: `run` and `crd`.

use anyhow::Context as _;
use clap::Parser;
use shard_machine::Machine;
use shard_operator::config::{Command, CommandLine};
use std::io::Write;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match CommandLine::parse().command {
        Command::Crd => {
            let definition = shard_operator::crd::definition().context("build the definition")?;
            let yaml = serde_saphyr::to_string(&definition).context("print the definition")?;
            let warning = "# Made by `shard-operator crd` from operator/src/crd.rs; do not edit.\n";
            std::io::stdout()
                .write_all(format!("{warning}{yaml}").as_bytes())
                .context("write to standard output")
        }
        Command::Run(typed) => {
            // kube and twilight take the process's provider; two of them in one process would otherwise panic.
            if rustls::crypto::ring::default_provider().install_default().is_err() {
                anyhow::bail!("a TLS provider was installed before main");
            }
            shard_operator::telemetry::start();
            let open_files = shard_serve::raise_file_limit();
            tracing::info!(open_files, "the most that may be open");
            shard_operator::run(typed.into_meant()?, Machine::this()).await.context("run the operator")
        }
    }
}
