//! Kubernetes' own programs, CoreDNS, containerd and Helm: built from `programs/go.mod` once, then found in
//! the cache; and with modules of their own etcd, of which distributions have older ones that stream no lists, and the API server of the
//! oldest Kubernetes.
//!
//! For `cluster.rs`. The cache folder's name carries a hash of everything that goes in, so a changed version
//! is another folder and an unchanged one is never built twice; a build goes into a folder beside it and is
//! renamed when complete, under a lock that a second caller waits for. Deliberately absent: downloads of
//! ready-made binaries (none can be checked here), and what Debian has (`packages.rs`).

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use sha2::{Digest as _, Sha256};

use crate::error::{Error, tail};
use crate::run::{Stop, run_logged_until};

/// The names by which the one Kubernetes binary is called.
const KUBERNETES: [&str; 6] =
    ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubectl"];

/// What the version is read of.
const KUBERNETES_MODULE: &str = "k8s.io/kubernetes";

/// What the hash covers, below `programs/`.
const SOURCES: [&str; 10] = [
    "go.mod",
    "go.sum",
    "kubernetes/main.go",
    "coredns/main.go",
    "oldest/go.mod",
    "oldest/go.sum",
    "oldest/main.go",
    "etcd/go.mod",
    "etcd/go.sum",
    "etcd/main.go",
];
/// The module of the oldest Kubernetes among them: its folder, and its place there.
const OLDEST: (&str, usize) = ("oldest", 4);

/// Which Kubernetes the API server is of. Everything else is of the newest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Release {
    /// The newest that is supported.
    #[default]
    Newest,
    /// The oldest that is supported.
    Oldest,
}

impl Release {
    /// Its version, as `v1.37.2`.
    pub(crate) fn version(self) -> Result<String, Error> {
        let sources = Sources::here()?;
        let module = match self {
            Self::Newest => sources.go_mod(),
            Self::Oldest => sources.go_mod_of_oldest(),
        };
        Ok(required(&module, KUBERNETES_MODULE).unwrap_or_default().to_owned())
    }
}

/// The name of the API server's program, whichever it is.
const SERVER: &str = "kube-apiserver";

/// The folder with the built programs.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    folder: PathBuf,
    release: Release,
}

impl Programs {
    /// Whether they are in the cache; if not, that there is a Go that can build them.
    pub fn check(cache: &Path) -> Result<bool, Error> {
        let sources = Sources::here()?;
        let built = sources.target(cache).exists();
        if !built {
            check_go(&sources.go_mod(), &sources.folder)?;
        }
        Ok(built)
    }

    /// Finds them in the cache or builds them, unless it is told to stop.
    pub fn ensure(cache: &Path, stop: &Stop, progress: &mut dyn FnMut(&str)) -> Result<Self, Error> {
        let sources = Sources::here()?;
        let folder = sources.target(cache);
        let programs = Self { folder: folder.clone(), release: Release::default() };
        if folder.exists() {
            return Ok(programs);
        }
        fs::create_dir_all(cache).map_err(Error::io("create", cache))?;
        let lock = cache.join("programs.lock");
        let held = File::create(&lock).map_err(Error::io("create", &lock))?;
        if held.try_lock().is_err() {
            progress("waiting for another program that builds the same");
            held.lock().map_err(Error::io("lock", &lock))?;
        }
        if !folder.exists() {
            sources.build(&folder, stop, progress)?;
        }
        Ok(programs)
    }

    /// Those of a cluster that was found, without a look at what would be built now.
    pub fn in_folder(folder: PathBuf) -> Self {
        Self { folder, release: Release::default() }
    }

    /// The same, with the API server of this release.
    pub fn of(self, release: Release) -> Self {
        Self { release, ..self }
    }

    /// A built program.
    pub fn path(&self, name: &str) -> PathBuf {
        if name == SERVER && self.release == Release::Oldest {
            return self.folder.join(OLDEST.0).join(name);
        }
        self.folder.join(name)
    }

    /// The folder they share, for what is made from them and kept as long as they are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// What the programs are built from.
struct Sources {
    folder: PathBuf,
    contents: Vec<Vec<u8>>,
}

/// One `go build`.
struct Build {
    packages: Vec<&'static str>,
    ldflags: String,
    /// Of one package: what its program is called, where that is not the package's name.
    called: Option<&'static str>,
    /// The folder of its module below `programs/`.
    module: &'static str,
}

impl Sources {
    fn here() -> Result<Self, Error> {
        Self::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("programs"))
    }

    /// Where what is built from them is kept.
    fn target(&self, cache: &Path) -> PathBuf {
        cache.join(format!("programs-{}", self.hash()))
    }

    fn read(folder: PathBuf) -> Result<Self, Error> {
        let read = |name| fs::read(folder.join(name)).map_err(Error::io("read", folder.join(name)));
        let contents = SOURCES.into_iter().map(read).collect::<Result<_, _>>()?;
        Ok(Self { folder, contents })
    }

    fn go_mod(&self) -> String {
        String::from_utf8_lossy(&self.contents[0]).into_owned()
    }

    fn go_mod_of_oldest(&self) -> String {
        String::from_utf8_lossy(&self.contents[OLDEST.1]).into_owned()
    }

    /// Sixteen hex digits over the sources and the flags.
    fn hash(&self) -> String {
        let mut hash = Sha256::new();
        for (name, content) in SOURCES.iter().zip(&self.contents) {
            hash.update(format!("{name} {}\n", content.len()));
            hash.update(content);
        }
        for build in self.builds() {
            hash.update(format!(
                "{} {:?} {} {:?}\n",
                build.module, build.packages, build.ldflags, build.called
            ));
        }
        format!("{:x}", hash.finalize()).chars().take(16).collect()
    }

    /// Versions are set where a program cannot know its own: the API server would call itself v0.0.0, Helm v4.3 and v3.22; and Helm 3
    /// would take the cluster of `helm template` for a Kubernetes 1.20.
    fn builds(&self) -> [Build; 6] {
        let go_mod = self.go_mod();
        let oldest = self.go_mod_of_oldest();
        let [kubernetes, oldest] =
            [&go_mod, &oldest].map(|module| required(module, KUBERNETES_MODULE).unwrap_or("v0.0.0"));
        let (major, minor) = numbers_of(kubernetes);
        let [helm, helm3] = ["helm.sh/helm/v4", "helm.sh/helm/v3"]
            .map(|module| required(&go_mod, module).unwrap_or("v0.0.0"));
        let of_kubernetes = ["pkg/chartutil", "pkg/lint/rules"].map(|package| {
            let package = format!("helm.sh/helm/v3/{package}");
            format!("-X {package}.k8sVersionMajor={major} -X {package}.k8sVersionMinor={minor}")
        });
        [
            Build {
                packages: vec!["./kubernetes"],
                ldflags: of_a_server(kubernetes),
                called: None,
                module: "",
            },
            Build {
                packages: vec![
                    "./coredns",
                    "github.com/containerd/containerd/v2/cmd/containerd",
                    "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
                    "github.com/containerd/containerd/v2/cmd/ctr",
                ],
                ldflags: "-s -w".to_owned(),
                called: None,
                module: "",
            },
            Build {
                packages: vec!["helm.sh/helm/v4/cmd/helm"],
                ldflags: format!("-s -w -X helm.sh/helm/v4/internal/version.version={helm}"),
                called: None,
                module: "",
            },
            Build {
                packages: vec!["helm.sh/helm/v3/cmd/helm"],
                ldflags: format!(
                    "-s -w {} -X helm.sh/helm/v3/internal/version.version={helm3}",
                    of_kubernetes.join(" ")
                ),
                called: Some("helm3"),
                module: "",
            },
            Build {
                packages: vec!["."],
                ldflags: of_a_server(oldest),
                // A server is known by its name, in a folder of its own.
                called: Some("oldest/kube-apiserver"),
                module: OLDEST.0,
            },
            Build { packages: vec!["."], ldflags: "-s -w".to_owned(), called: Some("etcd"), module: "etcd" },
        ]
    }

    /// Builds everything into a folder beside `target`, then renames it.
    fn build(&self, target: &Path, stop: &Stop, progress: &mut dyn FnMut(&str)) -> Result<(), Error> {
        check_go(&self.go_mod(), &self.folder)?;
        let part = target.with_extension("part");
        if part.exists() {
            fs::remove_dir_all(&part).map_err(Error::io("remove", &part))?;
        }
        fs::create_dir_all(&part).map_err(Error::io("create", &part))?;
        progress(
            "building Kubernetes, etcd, containerd, CoreDNS and Helm: about 17 minutes on two cores, once",
        );
        let start = Instant::now();
        for build in self.builds() {
            self.go_build(&build, &part, stop, &mut |names| {
                // Since the start of the whole build, of which this is a part.
                let elapsed = start.elapsed().as_secs();
                progress(&format!("  building {names}: {}:{:02} of about 17:00", elapsed / 60, elapsed % 60));
            })?;
        }
        for name in KUBERNETES {
            symlink("kubernetes", part.join(name)).map_err(Error::io("link", part.join(name)))?;
        }
        let log = part.join("build.log");
        fs::remove_file(&log).map_err(Error::io("remove", log))?;
        fs::rename(&part, target).map_err(Error::io("rename", part))
    }

    fn go_build(
        &self,
        build: &Build,
        part: &Path,
        stop: &Stop,
        tell: &mut dyn FnMut(&str),
    ) -> Result<(), Error> {
        let log = part.join("build.log");
        let mut go = Command::new("go");
        go.current_dir(self.folder.join(build.module)).env("CGO_ENABLED", "0");
        go.args(["build", "-trimpath", "-ldflags", &build.ldflags, "-o"])
            .arg(part.join(build.called.unwrap_or_default()))
            .args(&build.packages);
        let names: Vec<&str> = build.packages.iter().filter_map(|path| path.rsplit('/').next()).collect();
        let names = build.called.map_or_else(|| names.join(", "), str::to_owned);
        let ended = run_logged_until(stop, &mut go, &log, |_| tell(&names))?;
        if ended.success() {
            return Ok(());
        }
        Err(Error::Command {
            what: format!(
                "go build {} (in {})",
                build.packages.join(" "),
                self.folder.join(build.module).display()
            ),
            status: ended.to_string(),
            output: format!("{}    full log: {}", tail(&log, 20), log.display()),
        })
    }
}

/// Tells a program of Kubernetes its version.
fn of_a_server(version: &str) -> String {
    let (package, (major, minor)) = ("k8s.io/component-base/version", numbers_of(version));
    format!(
        "-s -w -X {package}.gitVersion={version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}"
    )
}

/// Of `v1.37.2`: `1` and `37`.
fn numbers_of(version: &str) -> (&str, &str) {
    let mut numbers = version.trim_start_matches('v').split('.');
    (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default())
}

/// The version that `go.mod` requires of a module.
fn required<'a>(go_mod: &'a str, module: &str) -> Option<&'a str> {
    go_mod.lines().find_map(|line| {
        let mut words = line.trim().trim_start_matches("require ").split_whitespace();
        (words.next() == Some(module))
            .then(|| words.next())
            .flatten()
            .filter(|version| version.starts_with('v'))
    })
}

/// The installed Go is as new as `go.mod` asks; `GOTOOLCHAIN` is kept from fetching another, which can hang
/// offline.
fn check_go(go_mod: &str, folder: &Path) -> Result<(), Error> {
    let wanted = go_mod.lines().find_map(|line| line.strip_prefix("go ")).unwrap_or("1").trim().to_owned();
    let go = Command::new("go")
        .args(["env", "GOVERSION"])
        .env("GOTOOLCHAIN", "local")
        .current_dir(folder)
        .output();
    let found = match go {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Ok(output) => {
            let found = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(Error::Go { wanted, found });
        }
        Err(error) => return Err(Error::Go { wanted, found: format!("`go` cannot be run ({error})") }),
    };
    if numbers(&found) < numbers(&wanted) {
        return Err(Error::Go { wanted, found: format!("{found} is installed") });
    }
    Ok(())
}

/// `go1.26.8` as `[1, 26, 8]`.
fn numbers(version: &str) -> Vec<u32> {
    let digits = version.trim_start_matches("go").split(|c: char| !c.is_ascii_digit());
    digits.map_while(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GO_MOD: &str = "module x\n\ngo 1.26.6\n\nrequire (\n\tk8s.io/kubernetes v1.37.2\n\
        \thelm.sh/helm/v3 v3.22.0 // indirect\n\thelm.sh/helm/v4 v4.3.2 // indirect\n)\n\nreplace k8s.io/api => k8s.io/api v0.37.2\n";

    fn sources(go_mod: &str) -> Sources {
        let oldest = "module x\n\nrequire k8s.io/kubernetes v1.34.4\n";
        let contents = [go_mod, "sum", "main", "main", oldest, "sum", "main", "mod", "sum", "main"]
            .map(|text| text.as_bytes().to_vec());
        Sources { folder: PathBuf::new(), contents: contents.into() }
    }

    #[test]
    fn versions_come_from_go_mod() {
        assert_eq!(required(GO_MOD, "k8s.io/kubernetes"), Some("v1.37.2"));
        assert_eq!(required(GO_MOD, "k8s.io/none"), None);
        assert_eq!(required("require k8s.io/kubernetes v1.2.3", "k8s.io/kubernetes"), Some("v1.2.3"));
        let [kubernetes, _, helm, helm3, oldest, _] = sources(GO_MOD).builds();
        assert!(kubernetes.ldflags.contains("gitVersion=v1.37.2 "), "{}", kubernetes.ldflags);
        assert!(kubernetes.ldflags.ends_with("gitMinor=37"), "{}", kubernetes.ldflags);
        assert!(oldest.ldflags.contains("gitVersion=v1.34.4 ") && oldest.ldflags.ends_with("gitMinor=34"));
        assert!(helm.ldflags.ends_with("version.version=v4.3.2"), "{}", helm.ldflags);
        assert!(helm3.ldflags.ends_with("version.version=v3.22.0"), "{}", helm3.ldflags);
        assert!(helm3.ldflags.contains("chartutil.k8sVersionMinor=37 "), "{}", helm3.ldflags);
    }

    #[test]
    fn the_real_go_mod_names_all_versions() {
        let real = Sources::here().unwrap();
        assert!(required(&real.go_mod(), "k8s.io/kubernetes").is_some());
        assert!(required(&real.go_mod(), "helm.sh/helm/v3").is_some());
        assert!(required(&real.go_mod(), "helm.sh/helm/v4").is_some());
        let oldest = String::from_utf8_lossy(&real.contents[OLDEST.1]);
        assert!(required(&oldest, "k8s.io/kubernetes").is_some() && SOURCES[OLDEST.1] == "oldest/go.mod");
    }

    #[test]
    fn the_hash_changes_with_any_source_and_only_then() {
        let hash = sources(GO_MOD).hash();
        assert_eq!(hash.len(), 16);
        assert_eq!(hash, sources(GO_MOD).hash());
        assert_ne!(hash, sources(&GO_MOD.replace("1.37.2", "1.37.3")).hash());
        let mut moved = sources(GO_MOD);
        moved.contents[2] = b"mai".to_vec();
        moved.contents[3] = b"nmain".to_vec();
        assert_ne!(hash, moved.hash());
    }

    #[test]
    fn go_versions_compare_by_number() {
        assert!(numbers("go1.26.8") >= numbers("1.26.6"));
        assert!(numbers("go1.9") < numbers("1.26.6"));
        assert!(numbers("go1.27rc1") >= numbers("1.26.6"));
    }
}
