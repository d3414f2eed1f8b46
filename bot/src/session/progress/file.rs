//! One shard's progress file: a header, twice, and one place of eight bytes for each sequence of the window.
//!
//! ```text
//! 0      header A: checksum, generation, length, JSON      8192   the floor
//! 4096   header B: the same; the newer good one counts     8256   for sequence s, at s mod 8192:
//!                                                                 s * 256 + begun so often * 4 + mark
//! ```
//!
//! It lies in memory (tmpfs), so that what was written survives the process but not the pod. A place names its sequence, so
//! that what an older lap left there is not believed; a file of another session is a new file, put in place by a rename.
//! Guarantees: each write is eight bytes at a multiple of eight, or goes to the header that does not count, so one that was
//! cut short is not seen. Deliberately absent: what marks mean ([`super::window`]).

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use shard_contract::record::Session;

use super::window::{Mark, WIDTH, Window, Write};

const HEADER: usize = 4_096;
const FLOOR: u64 = 2 * HEADER as u64;
const PLACES: u64 = FLOOR + 64;
const LENGTH: u64 = PLACES + 8 * WIDTH;
/// Checksum, generation, length of the JSON.
const BEFORE_JSON: usize = 24;

/// What the file says beside the marks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    /// UID of the pod.
    pub(crate) pod_uid: String,
    /// The record's `rev` as far as it is known; 0: this pod's record is another's, or was never written.
    pub(crate) rev: u64,
    /// The record may be about to be written with this `rev`.
    pub(crate) writing: Option<Writing>,
    /// What to resume; none: nothing.
    pub(crate) session: Option<Session>,
}

/// A write of the record whose outcome is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Writing {
    /// The `rev` that it writes.
    pub(crate) rev: u64,
    /// Whether it takes the shard or gives it away. If not, it does not matter when it lands.
    pub(crate) firm: bool,
}

/// Why a file is not believed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unbelievable {
    #[error("could not read it")]
    Read(#[from] io::Error),
    #[error("its length is {0}, not {LENGTH}")]
    Length(u64),
    #[error("neither of its headers is whole")]
    Header,
}

/// A file that is written to.
#[derive(Debug)]
pub(super) struct ProgressFile {
    path: PathBuf,
    file: File,
    generation: u64,
}

impl ProgressFile {
    /// What a file says. None: there is none.
    pub(super) fn read(path: &Path) -> Result<Option<(Self, Header, Window)>, Unbelievable> {
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let length = file.metadata()?.len();
        if length != LENGTH {
            return Err(Unbelievable::Length(length));
        }
        let mut bytes = vec![0; usize::try_from(LENGTH).unwrap_or_default()];
        file.read_exact_at(&mut bytes, 0)?;
        let (headers, marks) = bytes.split_at(2 * HEADER);
        let newest = headers.chunks(HEADER).filter_map(read_header).max_by_key(|(generation, _)| *generation);
        let (generation, header) = newest.ok_or(Unbelievable::Header)?;
        let floor = number(&marks[..8]);
        let places = marks[64..].chunks_exact(8).map(number).filter_map(read_place);
        let mut within: Vec<_> = places.filter(|(at, _)| *at > floor && *at - floor <= WIDTH).collect();
        within.sort_unstable_by_key(|(sequence, _)| *sequence);
        let file = Self { path: path.to_owned(), file, generation };
        Ok(Some((file, header, Window::left_behind(floor, within))))
    }

    /// Puts a new file in place.
    pub(super) fn create(path: &Path, header: &Header, window: &Window) -> io::Result<Self> {
        // The shard's number looks like an extension: replaced, all shards of a session group would share one new file.
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let new = PathBuf::from(new);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&new)?;
        file.set_len(LENGTH)?;
        let mut made = Self { path: path.to_owned(), file, generation: 0 };
        made.say(header)?;
        made.write(Write::Floor(window.floor()))?;
        for (sequence, mark) in window.marks() {
            made.write(Write::Mark(sequence, mark))?;
        }
        std::fs::rename(new, path)?;
        Ok(made)
    }

    /// Replaces the header.
    pub(super) fn say(&mut self, header: &Header) -> io::Result<()> {
        let json = serde_json::to_vec(header)?;
        if json.len() > HEADER - BEFORE_JSON {
            return Err(io::Error::other("the session's address is too long for the progress file"));
        }
        let generation = self.generation + 1;
        let mut bytes = vec![0; 8];
        bytes.extend(generation.to_le_bytes());
        bytes.extend((json.len() as u64).to_le_bytes());
        bytes.extend(json);
        let sum = checksum(&bytes[8..]);
        bytes[..8].copy_from_slice(&sum.to_le_bytes());
        self.file.write_all_at(&bytes, generation % 2 * HEADER as u64)?;
        self.generation = generation;
        Ok(())
    }

    /// Makes one of the window's writes.
    pub(super) fn write(&self, write: Write) -> io::Result<()> {
        match write {
            Write::Floor(floor) => self.file.write_all_at(&floor.to_le_bytes(), FLOOR),
            Write::Mark(sequence, mark) => {
                let place = (sequence << 8 | code(mark)).to_le_bytes();
                self.file.write_all_at(&place, PLACES + sequence % WIDTH * 8)
            }
        }
    }

    /// Takes it away: it says too little from now on.
    pub(super) fn remove(self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::error!(path = %self.path.display(), %error, "could not remove a progress file");
        }
    }
}

const fn code(mark: Mark) -> u64 {
    match mark {
        Mark::None => 0,
        // Broken it is only in memory: for the next process it was begun.
        Mark::Begun(times) | Mark::Broken(times) => (times as u64) << 2 | 1,
        Mark::Done => 2,
        Mark::Passed => 3,
    }
}

fn read_place(place: u64) -> Option<(u64, Mark)> {
    let begun = u8::try_from(place >> 2 & 63).ok()?;
    let mark = [Mark::None, Mark::Begun(begun), Mark::Done, Mark::Passed][usize::try_from(place & 3).ok()?];
    (mark != Mark::None).then_some((place >> 8, mark))
}

fn read_header(bytes: &[u8]) -> Option<(u64, Header)> {
    let length = usize::try_from(number(bytes.get(16..24)?)).ok()?;
    let end = BEFORE_JSON.checked_add(length)?;
    let summed = bytes.get(8..end)?;
    if checksum(summed) != number(&bytes[..8]) {
        return None;
    }
    Some((number(&bytes[8..16]), serde_json::from_slice(&bytes[BEFORE_JSON..end]).ok()?))
}

fn number(bytes: &[u8]) -> u64 {
    bytes.try_into().map(u64::from_le_bytes).unwrap_or_default()
}

/// What the places mean: a file of a build that means something else by them is not believed.
const FORMAT: u64 = 2;

/// FNV-1a: tells a header that was cut short from a whole one; nobody forges a file of the pod's own.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325 ^ FORMAT, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(rev: u64) -> Header {
        let session = Session { id: "s".into(), resume_url: None, intents: 1, guilds: 2, guilds_at: 1 };
        Header { pod_uid: "u".into(), rev, writing: None, session: Some(session) }
    }

    fn read(path: &Path) -> (Header, Window) {
        let (_, header, window) = ProgressFile::read(path).unwrap().unwrap();
        (header, window)
    }

    #[test]
    fn what_was_written_is_read_and_an_older_lap_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.3");
        assert!(ProgressFile::read(&path).unwrap().is_none());
        let mut window = Window::default();
        let mut file = ProgressFile::create(&path, &header(1), &window).unwrap();
        for sequence in 1..=WIDTH + 3 {
            let mut write = |write| file.write(write).unwrap();
            window.receive(sequence, &mut write);
            window.begin(sequence, &mut write);
            if sequence != 3 && sequence <= WIDTH {
                window.done(sequence, &mut write);
            }
        }
        window.done(3, &mut |write| file.write(write).unwrap());
        file.say(&header(2)).unwrap();
        let (said, found) = read(&path);
        assert_eq!((said.rev, found.floor()), (2, WIDTH));
        let broken: Vec<_> = (1..=3).map(|above| (WIDTH + above, Mark::Broken(1))).collect();
        assert_eq!(found.marks().collect::<Vec<_>>(), broken);
    }

    #[test]
    fn a_header_cut_short_leaves_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.0");
        let mut file = ProgressFile::create(&path, &header(1), &Window::default()).unwrap();
        file.say(&header(2)).unwrap();
        // The second generation stands in the first place.
        file.file.write_all_at(b"x", 40).unwrap();
        assert_eq!(read(&path).0.rev, 1);
        file.file.write_all_at(b"x", HEADER as u64 + 40).unwrap();
        assert!(matches!(ProgressFile::read(&path), Err(Unbelievable::Header)));
        std::fs::write(&path, b"short").unwrap();
        assert!(matches!(ProgressFile::read(&path), Err(Unbelievable::Length(5))));
    }
}
