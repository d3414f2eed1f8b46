//! The two images every node needs, made from scratch from our static binaries: pause and CoreDNS.
//!
//! With buildah, since no registry can be reached; kept as docker-archive files beside the programs they are
//! made from, and imported into containerd by `machine.rs`. buildah's storage is a folder that goes away
//! again. Deliberately absent: the images of what is tested, which come through
//! [`crate::Cluster::load_image`].

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::debian;
use crate::error::Error;
use crate::programs::Programs;
use crate::run::run;

/// The sandbox's image, by the name that containerd's configuration has.
pub(crate) const PAUSE: &str = "localhost/pause:1";
/// The image of `config/dns.json`'s Deployment.
pub(crate) const COREDNS: &str = "localhost/coredns:1";

/// Finds the archives or makes them.
pub(crate) fn ensure(programs: &Programs, progress: &mut dyn FnMut(&str)) -> Result<Vec<PathBuf>, Error> {
    let catatonit = debian::program("catatonit").unwrap_or_else(|| PathBuf::from("catatonit"));
    let wanted = [
        (PAUSE, "pause.tar", catatonit, r#"["/catatonit","-P"]"#),
        (COREDNS, "coredns.tar", programs.path("coredns"), r#"["/coredns"]"#),
    ];
    let mut archives = Vec::new();
    for (name, file, binary, entrypoint) in wanted {
        let archive = programs.folder().join(file);
        if !archive.exists() {
            progress(&format!("making image {name}"));
            make(name, &binary, entrypoint, &archive)?;
        }
        archives.push(archive);
    }
    Ok(archives)
}

/// One binary in an otherwise empty image. Two callers at once each make it whole and the later rename wins.
fn make(name: &str, binary: &Path, entrypoint: &str, archive: &Path) -> Result<(), Error> {
    let part = archive.with_extension(format!("{}.part", std::process::id()));
    fs::create_dir_all(&part).map_err(Error::io("create", &part))?;
    let buildah = || {
        let mut command = Command::new("buildah");
        command.arg("--root").arg(part.join("storage")).arg("--runroot").arg(part.join("run"));
        command.args(["--storage-driver", "vfs"]);
        command
    };
    let made = (|| {
        let container = run(buildah().args(["from", "scratch"]))?;
        let container = container.trim();
        run(buildah().args(["copy", "--chmod", "0755", container]).arg(binary).arg("/"))?;
        run(buildah().args(["config", "--entrypoint", entrypoint, container]))?;
        run(buildah().args(["commit", "--quiet", container, name]))?;
        let file = part.join("archive");
        run(buildah()
            .args(["push", "--quiet", name])
            .arg(format!("docker-archive:{}:{name}", file.display())))?;
        fs::rename(&file, archive).map_err(Error::io("rename", file))
    })();
    fs::remove_dir_all(&part).map_err(Error::io("remove", &part))?;
    made
}
