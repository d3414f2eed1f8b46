//! Everything that demo and tests need before they begin, in one step: packages, programs, images.
//!
//! First it says what is missing and about how long each takes. Then the packages come, before anything that could use one;
//! then our programs and Kubernetes', side by side where the machine has the room. The first failure is told at once and ends
//! what runs beside it, with all its compilers. What is there already takes no time. Deliberately absent: clusters, which
//! are started by whoever wants one.

use crate::checkout::{Cargo, folder, programs_until};
use crate::images::{self, Image, images};
use crate::kube::Kube;
use anyhow::Result;
use std::path::PathBuf;
use test_cluster::debian::{self, Need};
use test_cluster::{Stop, printer, setup};

mod both;
mod room;
mod told;

use both::both;
use room::Room;
use told::Plan;

/// What there is to be, beside our programs and what a cluster needs.
#[derive(Debug, Default)]
pub struct Wanted<'a> {
    /// Images of our programs.
    pub images: bool,
    /// What else the machine must have.
    pub needs: Vec<Need<'a>>,
}

/// What is there now.
#[derive(Debug)]
pub struct Ready {
    /// The folder of our programs.
    pub programs: PathBuf,
    /// Our images, if they were wanted.
    pub images: Vec<Image>,
}

/// Makes it so. With a cluster of the user's own (`KUBECONFIG`) no other is prepared.
///
/// # Errors
/// The first thing that fails, as soon as it does.
pub fn ready(wanted: Wanted<'_>, say: &mut dyn FnMut(&str)) -> Result<Ready> {
    let mut needs = wanted.needs;
    if wanted.images {
        needs.extend(images::needs());
    }
    if Kube::is_users() {
        Kube::check_users()?;
        debian::ensure(&needs, &mut printer())?;
        return ours(wanted.images, &Stop::default(), Cargo::Shown);
    }
    let missing = setup::missing(&needs)?;
    let programs = folder()?;
    let plan = Plan {
        packages: missing.packages,
        ours: !programs.join("shard-operator").exists(),
        kubernetes: missing.kubernetes,
        images: wanted.images && !images::were_made(&programs),
        room: Room::here(),
    };
    plan.lines().iter().for_each(|line| say(line));
    setup::machine(&needs, &mut printer())?;
    // Two that write progress at once would overwrite each other's.
    let cargo = if plan.is_side_by_side() { Cargo::Quiet } else { Cargo::Shown };
    let kubernetes = |stop: &Stop| Ok(setup::build(stop, &mut printer())?);
    let ours = |stop: &Stop| ours(wanted.images, stop, cargo);
    let (ready, ()) = both(plan.is_side_by_side(), ours, kubernetes)?;
    Ok(ready)
}

/// Our programs and their images: what fails here fails minutes before Kubernetes is built.
fn ours(with_images: bool, stop: &Stop, cargo: Cargo) -> Result<Ready> {
    let programs = programs_until(stop, cargo)?;
    let images = if with_images { images(&programs)? } else { Vec::new() };
    Ok(Ready { programs, images })
}
