//! `cargo cluster up|down|env`: the Kubernetes of the tests, to work in by hand.
//!
//! What a shell is to evaluate goes to standard output, everything for a person to standard error. Ends with
//! 0 when done, 1 with the reason when not, 2 for wrong arguments. Deliberately absent: anything the library
//! does not do.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};
use test_cluster::{Cluster, Lifetime, Options, printer};

/// A real Kubernetes of two nodes on this machine, up in seconds and gone without a trace.
#[derive(Parser)]
#[command(name = "cargo cluster")]
struct Arguments {
    /// The cluster's name; clusters of different names do not meet.
    #[arg(long, global = true, default_value = "local")]
    name: String,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Start it, or find it running. The first time, Kubernetes is built: about 17 minutes on two cores.
    Up {
        /// How many nodes, 0 to 9; with 0, etcd and the API server alone.
        #[arg(long, default_value_t = 2)]
        nodes: u8,
    },
    /// Take it down; nothing of it is left. Not running is no error.
    Down,
    /// Print what makes this shell's kubectl and helm the cluster's: eval "$(cargo cluster env)"
    Env,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse_from(test_cluster::typed(std::env::args_os()));
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where nobody reads, the exit code still tells.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let name = arguments.name;
    let start = Instant::now();
    match arguments.verb {
        Verb::Up { nodes } => {
            let options = Options { name: name.clone(), nodes, ..Options::default() };
            Cluster::up(&options, Lifetime::UntilDown, &mut printer())?;
            let flag = if name == "local" { String::new() } else { format!(" --name {name}") };
            let seconds = start.elapsed().as_secs_f32();
            writeln!(
                io::stderr(),
                "up in {seconds:.1} s. To work in it:  eval \"$(cargo cluster env{flag})\" && kubectl get nodes\n\
                 To take it down:  cargo cluster down{flag}"
            )?;
        }
        Verb::Down => {
            Cluster::remove(&name)?;
            writeln!(io::stderr(), "down in {:.1} s", start.elapsed().as_secs_f32())?;
        }
        Verb::Env => env(&Cluster::find(&name)?)?,
    }
    Ok(())
}

fn env(cluster: &Cluster) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(
        output,
        "# The cluster's network is a namespace of its own; these kubectl and helm enter it. By hand:"
    )?;
    writeln!(
        output,
        "#   nsenter --net={} curl --insecure https://10.88.0.1:6443/readyz",
        cluster.network().display()
    )?;
    for (name, value) in cluster.env() {
        writeln!(output, "export {name}='{}';", value.replace('\'', r"'\''"))?;
    }
    Ok(())
}
