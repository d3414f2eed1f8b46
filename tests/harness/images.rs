//! Images of our programs, by the Containerfiles that releases use.
//!
//! From a static binary to a docker-archive, by buildah; kept in the target folder and made anew only when the binary or
//! the Containerfile differs. Deliberately absent: registries, except where the user's own cluster needs one.

use crate::checkout::root;
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{fs, io};
use test_cluster::debian::{self, Need};

/// One image.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its name, as manifests write it.
    pub name: String,
    /// The docker-archive.
    pub archive: PathBuf,
}

/// The operator, the bot and the simulator: binary, Containerfile, repository.
const IMAGES: [(&str, &str); 3] = [
    ("shard-operator", "operator/Containerfile"),
    ("shard-bot", "bot/Containerfile"),
    ("discord-sim", "tests/discord/Containerfile"),
];

/// What making them needs of the machine.
#[must_use]
pub fn needs() -> [Need<'static>; 1] {
    [Need::program("buildah", &["buildah"])]
}

/// Whether each was made before, of these programs or of older ones.
#[must_use]
pub fn were_made(programs: &Path) -> bool {
    let folder = fs::read_dir(programs.join("images"));
    let files: Vec<_> = folder.into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
    let has = |program: &str| files.iter().any(|file| file.to_string_lossy().starts_with(program));
    IMAGES.iter().all(|(program, _)| has(program))
}

/// Makes what is missing or stale.
///
/// # Errors
/// When buildah is missing and cannot be installed, or fails; its words are quoted.
pub fn images(programs: &Path) -> Result<Vec<Image>> {
    debian::ensure(&needs(), &mut test_cluster::printer())?;
    IMAGES
        .iter()
        .map(|(program, containerfile)| image(programs, program, &root().join(containerfile)))
        .collect()
}

fn image(programs: &Path, program: &str, containerfile: &Path) -> Result<Image> {
    let name = format!("ghcr.io/shard-operator/{program}:{}", env!("CARGO_PKG_VERSION"));
    let binary = programs.join(program);
    let mut hasher = Sha256::new();
    io::copy(
        &mut fs::File::open(&binary).with_context(|| format!("open {}", binary.display()))?,
        &mut hasher,
    )?;
    hasher.update(fs::read(containerfile).with_context(|| format!("read {}", containerfile.display()))?);
    let hash = hasher.finalize().iter().take(8).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    let folder = programs.join("images");
    fs::create_dir_all(&folder)?;
    let archive = folder.join(format!("{program}-{hash}.tar"));
    if !archive.exists() {
        remove_older(&folder, program)?;
        make(&folder, &binary, containerfile, &name, &archive)?;
    }
    Ok(Image { name, archive })
}

fn remove_older(folder: &Path, program: &str) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&format!("{program}-")) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn make(folder: &Path, binary: &Path, containerfile: &Path, name: &str, archive: &Path) -> Result<()> {
    // Everything that buildah keeps goes into a folder that goes again; the context holds the one binary.
    let work = tempfile::Builder::new().prefix("image-").tempdir_in(folder)?;
    let context = work.path().join("context");
    fs::create_dir(&context)?;
    let inside = context.join(binary.file_name().unwrap_or_default());
    fs::copy(binary, &inside)?;
    let half = archive.with_extension("half");
    let buildah = || {
        let mut command = Command::new("buildah");
        command.arg("--storage-driver=vfs");
        command.arg("--root").arg(work.path().join("root")).arg("--runroot").arg(work.path().join("run"));
        command
    };
    let mut build = buildah();
    build.args(["build", "--quiet", "--format=docker", "--isolation=chroot", "--tag", name, "--file"]);
    run(build.arg(containerfile).arg(&context))?;
    run(buildah().args(["push", "--quiet", name]).arg(format!("docker-archive:{}:{name}", half.display())))?;
    fs::rename(&half, archive)?;
    Ok(())
}

/// Runs a command; its words are quoted when it fails.
pub(crate) fn run(command: &mut Command) -> Result<Output> {
    let line = format!("{command:?}").replace('"', "");
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("run {program}"))?;
    if !output.status.success() {
        bail!("{line}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output)
}
