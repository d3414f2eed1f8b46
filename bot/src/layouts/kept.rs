//! The last layouts document, in a file that outlives the container and ends with the pod.
//!
//! From each document that is news to `layouts.json` in [`shard_contract::env::STATE_DIR`], by writing beside it and renaming,
//! so that a crash leaves the old one or the new one. A file that is missing or broken is none: it only helps. Deliberately
//! absent: when it is believed ([`super`]).

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use shard_contract::{layouts::Layouts, names::LAYOUTS_KEY};

/// Where the document is kept.
#[derive(Debug)]
pub(super) struct Kept(PathBuf);

impl Kept {
    pub(super) fn new(folder: &Path) -> Self {
        Self(folder.join(LAYOUTS_KEY))
    }

    /// Keeps it. A failure is said; the pod then just cannot restart without the API server.
    pub(super) fn write(&self, layouts: &Layouts) {
        if let Err(error) = self.try_write(layouts) {
            tracing::warn!(file = %self.0.display(), %error, "could not keep the layouts document");
        }
    }

    fn try_write(&self, layouts: &Layouts) -> io::Result<()> {
        let beside = self.0.with_extension("new");
        fs::write(&beside, serde_json::to_vec(layouts)?)?;
        fs::rename(&beside, &self.0)
    }

    /// What was kept, if it can be read.
    pub(super) fn read(&self) -> Option<Layouts> {
        let text = fs::read(&self.0).ok()?;
        match serde_json::from_slice::<Layouts>(&text) {
            Ok(layouts) => {
                let generation = layouts.generation;
                tracing::warn!(generation, "the API server is away, going by the layouts document kept last");
                Some(layouts)
            }
            Err(error) => {
                tracing::warn!(file = %self.0.display(), %error, "the kept layouts document is broken");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_document_is_read_back_and_a_broken_one_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::new(folder.path());
        assert_eq!(kept.read(), None);
        for generation in [1, 2] {
            kept.write(&Layouts { generation, ..Layouts::default() });
            assert_eq!(kept.read().map(|layouts| layouts.generation), Some(generation));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
        fs::write(folder.path().join("layouts.json"), "{").unwrap();
        assert_eq!(kept.read(), None);
        Kept::new(&folder.path().join("none")).write(&Layouts::default());
    }
}
