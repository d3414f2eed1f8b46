//! The root file system that fresh machines start from: what debootstrap makes of this machine's own Debian.
//!
//! Made once and kept, since every machine writes elsewhere; made beside its place and renamed when complete, under a lock that
//! a second caller waits for. The mirror is the one that this machine's apt has for the same release. Deliberately absent:
//! anything that a minimal Debian lacks, but for the certificates without which nothing can be fetched by https.

use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use test_cluster::run_logged;

/// Finds it in the cache or makes it.
pub(super) fn ensure(cache: &Path, progress: &mut dyn FnMut(&str)) -> Result<PathBuf> {
    let release = fs::read_to_string("/etc/os-release").context("read /etc/os-release")?;
    let suite = suite(&release).context("/etc/os-release has no VERSION_CODENAME")?;
    let root = cache.join(format!("debian-{suite}"));
    fs::create_dir_all(cache).with_context(|| format!("create {}", cache.display()))?;
    let lock = cache.join("debian.lock");
    let held = File::create(&lock).with_context(|| format!("create {}", lock.display()))?;
    if held.try_lock().is_err() {
        progress("waiting for another program that makes the same");
        held.lock().with_context(|| format!("lock {}", lock.display()))?;
    }
    if !root.exists() {
        make(suite, &root, progress)?;
    }
    Ok(root)
}

fn make(suite: &str, root: &Path, progress: &mut dyn FnMut(&str)) -> Result<()> {
    let part = root.with_extension("part");
    if part.exists() {
        fs::remove_dir_all(&part).with_context(|| format!("remove {}", part.display()))?;
    }
    // What it mounts on the way is gone with it, however it ends.
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "debootstrap", "--variant=minbase", "--include=ca-certificates", suite])
        .arg(&part);
    command.args(mirror(&targets()?, suite));
    let log = root.with_extension("log");
    let ended = run_logged(&mut command, &log, |time| {
        progress(&format!("  debootstrap {suite}: {} s of about a minute, once", time.as_secs()));
    })?;
    if !ended.success() {
        let said = fs::read_to_string(&log).unwrap_or_default();
        let lines: Vec<_> = said.lines().collect();
        bail!("{command:?}: {ended}\n{}", lines[lines.len().saturating_sub(15)..].join("\n"));
    }
    fs::remove_file(&log)?;
    fs::rename(&part, root).with_context(|| format!("rename {}", part.display()))
}

/// The release's name in `/etc/os-release`.
fn suite(release: &str) -> Option<&str> {
    release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME=")).map(|name| name.trim_matches('"'))
}

/// What this machine's apt fetches: address, release and component of each list.
fn targets() -> Result<String> {
    let output = Command::new("apt-get")
        .args(["indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"])
        .output()
        .context("run apt-get")?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The first that has the release's main part; without one, debootstrap's own choice.
fn mirror<'a>(targets: &'a str, suite: &str) -> Option<&'a str> {
    targets.lines().find_map(|line| match line.split(' ').collect::<Vec<_>>()[..] {
        [address, release, "main"] if release == suite => Some(address),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn release_and_mirror_are_this_machines_own() {
        assert_eq!(suite("NAME=\"Debian\"\nVERSION_CODENAME=bookworm\n"), Some("bookworm"));
        assert_eq!(suite("NAME=x\n"), None);
        let targets = "http://b.example/debian-security/ bookworm-security main\n\
            https://c.example/extra/ bookworm extra\nhttp://a.example/debian/ bookworm main\n";
        assert_eq!(mirror(targets, "bookworm"), Some("http://a.example/debian/"));
        assert_eq!(mirror(targets, "trixie"), None);
        assert_eq!(mirror("", "bookworm"), None);
    }
}
