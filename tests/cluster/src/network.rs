//! The cluster's network: a namespace for each machine, a bridge in the control plane's, a pair of links to
//! each node.
//!
//! For `cluster.rs`. Everything is inside the namespaces, so nothing of the host's network changes and every
//! cluster can have the same addresses. Namespaces are entered with `nsenter --net=`, never `ip netns exec`,
//! which remounts /sys and hides the cgroups. Deliberately absent: a way out, and the pods' own links
//! (`config/node.rs`, CNI).

use std::fs::File;
use std::os::fd::AsFd as _;
use std::process::Command;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::error::Error;
use crate::place::{MachineName, Place, SERVICES};
use crate::run::{run, run_with_input};

/// What the bridge is to Ethernet. Left to itself it takes the lowest address of its links, and another whenever that
/// one comes or goes: whoever knew the old one then reaches nobody for half a minute.
const BRIDGE: &str = "02:00:00:00:00:01";

/// Makes the control plane's namespace, with the bridge.
pub(crate) fn add_control_plane(place: &Place) -> Result<(), Error> {
    let address = MachineName::ControlPlane.address();
    add(place, MachineName::ControlPlane)?;
    ip(
        place,
        MachineName::ControlPlane,
        &format!(
            "link set lo up\nlink add br0 address {BRIDGE} type bridge\naddr add {address}/24 dev br0\n\
             link set br0 up\n"
        ),
    )
}

/// Makes a node's namespace and connects it.
pub(crate) fn add_node(place: &Place, node: MachineName) -> Result<(), Error> {
    let address = node.address();
    let pods = node.pods().unwrap_or_default();
    add(place, node)?;
    // Services are reached through the first node's rules.
    let services = match node {
        MachineName::Node(1) => format!("route replace {SERVICES} via {address}\n"),
        _ => String::new(),
    };
    ip(
        place,
        MachineName::ControlPlane,
        &format!(
            "link add {node} type veth peer name eth0 netns {}\nlink set {node} master br0 up\n\
             route replace {pods} via {address}\n{services}",
            place.network(node)
        ),
    )?;
    ip(
        place,
        node,
        &format!(
            "link set lo up\naddr add {address}/24 dev eth0\nlink set eth0 up\nroute add default via {}\n",
            MachineName::ControlPlane.address()
        ),
    )
}

/// Removes a node's namespace; the links and rules in it end with it.
pub(crate) fn remove(place: &Place, machine: MachineName) -> Result<(), Error> {
    if place.network_file(machine).exists() {
        run(Command::new("ip").args(["netns", "delete", &place.network(machine)]))?;
    }
    Ok(())
}

/// A command line that runs what is appended to it in the machine's network.
pub(crate) fn enter(place: &Place, machine: MachineName) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", place.network_file(machine).display())).arg("--");
    command
}

/// Moves the calling thread into the machine's network; threads it starts from then on are there too.
pub(crate) fn move_thread(place: &Place, machine: MachineName) -> Result<(), Error> {
    let path = place.network_file(machine);
    let file = File::open(&path).map_err(Error::io("open", &path))?;
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
        .map_err(|error| Error::io("enter", path)(error.into()))
}

/// Whether something accepts connections there, from within the control plane's network.
pub(crate) fn accepts(place: &Place, address: &str) -> bool {
    let probe = || {
        move_thread(place, MachineName::ControlPlane).is_ok() && std::net::TcpStream::connect(address).is_ok()
    };
    thread::scope(|scope| scope.spawn(probe).join().unwrap_or(false))
}

fn add(place: &Place, machine: MachineName) -> Result<(), Error> {
    run(Command::new("ip").args(["netns", "add", &place.network(machine)]))?;
    run(enter(place, machine).args(["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]))?;
    Ok(())
}

/// Lets `ip` do these lines in the machine's network.
pub(crate) fn ip(place: &Place, machine: MachineName, lines: &str) -> Result<(), Error> {
    run_with_input(enter(place, machine).args(["ip", "-batch", "-"]), lines)?;
    Ok(())
}
