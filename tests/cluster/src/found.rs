//! The record of a cluster that is up: what it was made from, so that a later `up`, `env` or test finds and
//! uses it.
//!
//! Written as the last step of `up`; a folder without it is what a killed `up` left. Deliberately absent:
//! process ids and other state that can be wrong after a crash; whether machines run is read from their
//! cgroups.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::error::Error;
use crate::place::Place;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub nodes: u8,
    /// The folder of the programs it runs; another one after a change of `programs/`.
    pub programs: PathBuf,
}

impl Record {
    /// None if there is none, or one that an incompatible version wrote.
    pub fn read(place: &Place) -> Option<Self> {
        let value: Value = serde_json::from_slice(&fs::read(place.record()).ok()?).ok()?;
        let nodes = u8::try_from(value["nodes"].as_u64()?).ok()?;
        Some(Self { nodes, programs: value["programs"].as_str()?.into() })
    }

    pub fn write(&self, place: &Place) -> Result<(), Error> {
        let value = json!({"nodes": self.nodes, "programs": self.programs});
        fs::write(place.record(), value.to_string()).map_err(Error::io("write", place.record()))
    }
}
