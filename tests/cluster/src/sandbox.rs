//! A pod's sandbox: a network namespace of its own on the small cluster's bridge, and mounts that only its process sees.
//!
//! For tests that play the kubelet: [`Sandbox::command`] is a command line whose process is in the sandbox's network, has a
//! `/run` of its own with the pod's volumes in it, and is a member of the cluster's cgroup, so that it ends with the cluster
//! whatever ends the test. A cut link is a lost node or a partition. Guarantees: dropped, the network is gone. Deliberately
//! absent: images, users, limits, and DNS, in place of which there is `/etc/hosts`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cgroup::Hierarchies;
use crate::debian::PATH;
use crate::error::Error;
use crate::network;
use crate::place::{MachineName, Place};
use crate::run::{run, run_with_input};

/// The cluster's own address in the network of sandboxes, for what runs beside the API server and not in one.
pub const GATEWAY: &str = "10.90.0.1";

/// Enters the cgroup and the network, then hides `/run` and mounts FROM at TO for each pair before `--`, then becomes the rest.
const BOOT: &str = r#"echo $$ >"$MEMBERS/cgroup.procs" && unset MEMBERS && exec nsenter --net="$NETWORK" unshare --mount sh -c '
set -e
unset NETWORK
mount -t tmpfs -o mode=755 tmpfs /run
while [ "$1" != -- ]; do
  if [ -d "$1" ]; then mkdir -p "$2"; fi
  mount --bind "$1" "$2"
  shift 2
done
shift
exec "$@"' sandbox "$@""#;

/// A pod's network.
#[derive(Debug)]
pub struct Sandbox {
    place: Place,
    number: u16,
    address: String,
}

/// Gives the cluster's bridge its address among sandboxes.
pub(crate) fn prepare(place: &Place) -> Result<(), Error> {
    let there =
        run(network::enter(place, MachineName::ControlPlane)
            .args(["ip", "-o", "address", "show", "dev", "br0"]))?;
    if there.contains(GATEWAY) {
        return Ok(());
    }
    network::ip(place, MachineName::ControlPlane, &format!("addr add {GATEWAY}/16 dev br0\n"))
}

impl Sandbox {
    pub(crate) fn make(place: &Place, number: u16) -> Result<Self, Error> {
        let address = format!("10.90.{}.{}", 1 + number / 250, 1 + number % 250);
        let sandbox = Self { place: place.clone(), number, address };
        sandbox.remove()?;
        let (name, link) = (sandbox.network(), sandbox.link());
        // One that takes over an address of IP has its address of Ethernet as well: nobody remembers a wrong one.
        let [high, low] = number.to_be_bytes();
        let ether = format!("02:00:00:01:{high:02x}:{low:02x}");
        run(Command::new("ip").args(["netns", "add", &name]))?;
        network::ip(
            place,
            MachineName::ControlPlane,
            &format!(
                "link add {link} type veth peer name eth0 address {ether} netns {name}\n\
                 link set {link} master br0 up\n"
            ),
        )?;
        let inside = format!(
            "link set lo up\naddr add {}/16 dev eth0\nlink set eth0 up\nroute add default via {GATEWAY}\n",
            sandbox.address
        );
        run_with_input(Command::new("ip").args(["-netns", &name, "-batch", "-"]), &inside)?;
        Ok(sandbox)
    }

    /// Its address; everything beside the API server can be reached at it.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Cuts its link: nothing goes in or out, and nobody is told.
    pub fn cut(&self) -> Result<(), Error> {
        self.set_link("down")
    }

    /// Joins its link again.
    pub fn mend(&self) -> Result<(), Error> {
        self.set_link("up")
    }

    /// A command line that runs a program in it, with no environment but what the caller adds, and each folder or file of
    /// the first kind to be found at a path of the second: below `/run` at will, elsewhere where there is one already.
    pub fn command(&self, program: &Path, mounts: &[(PathBuf, PathBuf)]) -> Result<Command, Error> {
        let hierarchies = Hierarchies::find()?;
        let mut command = Command::new("sh");
        command.args(["-c", BOOT, "sandbox"]);
        for (from, to) in mounts {
            command.arg(from).arg(to);
        }
        command.arg("--").arg(program).env_clear().env("PATH", PATH);
        command.env("MEMBERS", hierarchies.members_of(&self.place, MachineName::ControlPlane));
        command.env("NETWORK", Path::new("/run/netns").join(self.network()));
        Ok(command)
    }

    fn set_link(&self, state: &str) -> Result<(), Error> {
        network::ip(&self.place, MachineName::ControlPlane, &format!("link set {} {state}\n", self.link()))
    }

    fn network(&self) -> String {
        format!("shard-operator.{}.pod-{}", self.place.name(), self.number)
    }

    fn link(&self) -> String {
        format!("pod-{}", self.number)
    }

    /// Its link ends with it.
    fn remove(&self) -> Result<(), Error> {
        if Path::new("/run/netns").join(self.network()).exists() {
            // A process that still runs in it keeps the namespace, so the link is taken away by its name.
            let _ = network::ip(
                &self.place,
                MachineName::ControlPlane,
                &format!("link delete {}\n", self.link()),
            );
            run(Command::new("ip").args(["netns", "delete", &self.network()]))?;
        }
        Ok(())
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // What stays goes with the cluster.
        let _ = self.remove();
    }
}
