//! A real Kubernetes on this machine: etcd, Kubernetes' own programs, containerd, runc and CoreDNS, no fakes.
//!
//! A control plane and two nodes, each of them one process in a network namespace of its own: [`Cluster::up`]
//! starts them in seconds, and what ends that one process ends the machine with all that ran on it. Used by
//! the tests, the demo, and people (`cargo cluster up`). [`Api`] is the small form: etcd and the API server alone, with
//! [`Sandbox`]es where a test plays the kubelet itself. Needs root on Linux; touches only its own folder,
//! namespaces, cgroups and processes. Deliberately absent: a way out of the cluster's network (no registry,
//! no internet), storage classes, load balancers, and more than one control plane.

pub use cluster::api::Api;
pub use cluster::{Cluster, Lifetime, Options};
pub use error::Error;
pub use place::cache;
pub use programs::Release;
pub use progress::printer;
pub use run::{Stop, run_logged, run_shown, typed};
pub use sandbox::{GATEWAY, Sandbox};

mod cluster;
mod found;
mod keeper;
mod removal;

mod place;

pub mod debian;
pub mod setup;

mod images;
mod packages;
mod programs;

mod certificates;
mod config;
mod kubeconfig;

mod cgroup;
mod machine;
mod network;
mod ready;
mod sandbox;

mod error;
mod progress;
mod run;
