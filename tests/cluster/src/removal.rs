//! Takes a cluster down by `removal.sh`, and the lock that keeps two callers from starting and removing it at
//! once.
//!
//! A script, because the keeper of a dead caller runs it too and must need no binary of ours (see
//! `keeper.rs`). The lock is on the cluster's folder itself, so that no lock file is left; whoever waited for
//! it looks again whether the folder is still the one that it locked. Deliberately absent: any state of its
//! own; all is found by the cluster's name.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use crate::error::Error;
use crate::place::Place;
use crate::run::run;

pub(crate) const SCRIPT: &str = include_str!("removal.sh");

/// Held while a cluster comes up; the kernel lets go of it with the process.
pub(crate) struct Lock {
    _folder: File,
}

impl Lock {
    /// Makes the folder if needed; tells if it has to wait.
    pub fn take(place: &Place, progress: &mut dyn FnMut(&str)) -> Result<Self, Error> {
        let path = place.folder();
        loop {
            fs::create_dir_all(&path).map_err(Error::io("create", &path))?;
            let folder = match File::open(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                folder => folder.map_err(Error::io("open", &path))?,
            };
            if folder.try_lock().is_err() {
                progress(&format!(
                    "waiting for another program that starts or stops cluster {:?}",
                    place.name()
                ));
                folder.lock().map_err(Error::io("lock", &path))?;
            }
            let locked = folder.metadata().map_err(Error::io("look at", &path))?;
            // Removed and perhaps made anew while this waited.
            if fs::metadata(&path)
                .is_ok_and(|there| (there.dev(), there.ino()) == (locked.dev(), locked.ino()))
            {
                return Ok(Self { _folder: folder });
            }
        }
    }
}

/// The script's surroundings.
pub(crate) fn environment(place: &Place, command: &mut Command) {
    let network = format!("shard-operator.{}", place.name());
    command.env("FOLDER", place.folder()).env("NETWORKS", network).env("CGROUP", place.cgroup());
    command.env("PATH", crate::debian::PATH);
}

/// Takes down whatever there is; waits until it is gone.
pub(crate) fn remove(place: &Place) -> Result<(), Error> {
    let mut command = Command::new("sh");
    environment(place, &mut command);
    run(command.args(["-c", SCRIPT]))?;
    Ok(())
}

/// The same by the holder of the lock; the folder stays, empty.
pub(crate) fn clear(place: &Place, _lock: &Lock) -> Result<(), Error> {
    let mut command = Command::new("sh");
    environment(place, &mut command);
    run(command.env("HELD", "1").args(["-c", SCRIPT]))?;
    Ok(())
}

/// Removes the logs of an earlier failure.
pub(crate) fn forget_failure(place: &Place) -> Result<(), Error> {
    match fs::remove_dir_all(place.failed()) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("remove", place.failed())(error)),
        _ => Ok(()),
    }
}
