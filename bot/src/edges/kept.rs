//! A small document in a file that outlives the container and ends with the pod.
//!
//! From each value that is news to a file in [`shard_contract::env::STATE_DIR`], by writing beside it and renaming, so that a
//! crash leaves the old one or the new one. A file that is missing or broken is none: it only helps. Deliberately absent: when
//! it is believed, which whoever keeps it knows.

use std::{
    fs, io,
    marker::PhantomData,
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

/// Where a document is kept.
#[derive(Debug)]
pub(crate) struct Kept<T> {
    file: PathBuf,
    document: PhantomData<fn(T) -> T>,
}

impl<T: Serialize + DeserializeOwned> Kept<T> {
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        Self { file: folder.join(name), document: PhantomData }
    }

    /// Keeps it. A failure is said.
    pub(crate) fn write(&self, document: &T) {
        if let Err(error) = self.try_write(document) {
            tracing::warn!(file = %self.file.display(), %error, "could not keep a file for this pod's next container");
        }
    }

    fn try_write(&self, document: &T) -> io::Result<()> {
        let beside = self.file.with_extension("new");
        fs::write(&beside, serde_json::to_vec(document)?)?;
        fs::rename(&beside, &self.file)
    }

    /// What was kept, if it can be read.
    pub(crate) fn read(&self) -> Option<T> {
        let text = fs::read(&self.file).ok()?;
        match serde_json::from_slice(&text) {
            Ok(document) => Some(document),
            Err(error) => {
                tracing::warn!(file = %self.file.display(), %error, "the file of this pod's last container is broken");
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
        let kept = Kept::<Vec<u64>>::new(folder.path(), "numbers.json");
        assert_eq!(kept.read(), None);
        for number in [1, 2] {
            kept.write(&vec![number]);
            assert_eq!(kept.read(), Some(vec![number]));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
        fs::write(folder.path().join("numbers.json"), "{").unwrap();
        assert_eq!(kept.read(), None);
        Kept::new(&folder.path().join("none"), "numbers.json").write(&vec![1_u64]);
    }
}
