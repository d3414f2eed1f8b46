//! What a fresh machine is told of this one: how names are looked up and how packages, crates and modules are fetched.
//!
//! Configuration and nothing else, so that what works here works there, behind a proxy or with a mirror too. Files are shown,
//! not copied. Deliberately absent: anything that was fetched, built or installed here, and secrets but what such a file has.

use super::{Fresh, HOME};
use anyhow::{Context, Result};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Files of the system.
const FILES: [&str; 5] =
    ["/etc/resolv.conf", "/etc/hosts", "/etc/pip.conf", "/etc/npmrc", "/etc/apt/auth.conf"];
/// Files below the home folder.
const HOME_FILES: [&str; 6] = [
    ".cargo/config.toml",
    ".config/pip/pip.conf",
    ".config/go/env",
    ".npmrc",
    ".m2/settings.xml",
    ".gitconfig",
];
/// The certificates that this machine trusts.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Where apt reads what follows.
const APT: &str = "/etc/apt/apt.conf.d/90-as-outside";
/// Of apt's settings, those that are about fetching.
const ACQUIRE: [&str; 5] =
    ["Acquire::http::", "Acquire::https::", "Acquire::Check-", "Acquire::Retries", "Acquire::ForceIP"];
/// Variables by their whole names, in lower case.
const VARIABLES: [&str; 12] = [
    "ssl_cert_file",
    "curl_ca_bundle",
    "requests_ca_bundle",
    "node_extra_ca_certs",
    "pip_cert",
    "pip_index_url",
    "pip_extra_index_url",
    "pip_trusted_host",
    "pip_default_timeout",
    "npm_config_registry",
    "term",
    "cargo_term_color",
];
/// And by how they begin or end.
const FAMILIES: [&str; 5] =
    ["cargo_http_", "cargo_net_", "cargo_registries_", "cargo_registry_", "cargo_source_"];
/// What go is told, wherever it has that from.
const GO: [&str; 8] =
    ["GOPROXY", "GOFLAGS", "GOSUMDB", "GONOSUMDB", "GONOPROXY", "GOPRIVATE", "GOINSECURE", "GOTOOLCHAIN"];

/// Tells it all of that.
pub(super) fn copy(fresh: &mut Fresh) -> Result<()> {
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let files = FILES.map(|file| (PathBuf::from(file), PathBuf::from(file)));
    let home_files = HOME_FILES.map(|file| (home.join(file), Path::new(HOME).join(file)));
    for (from, to) in files.into_iter().chain(home_files) {
        if from.is_file() {
            fresh.show(&from, &to)?;
        }
    }
    for (name, value) in env::vars_os().filter(|(name, _)| is_told(name)) {
        let file = Path::new(&value);
        if file.is_absolute() && file.is_file() && file != Path::new(CERTIFICATES) {
            fresh.show(file, file)?;
        }
        fresh.command.env(name, value);
    }
    // Certificates are put together anew when a package brings some, so this file is the machine's own copy.
    let certificates = fresh.folder.join("certificates");
    if fs::copy(CERTIFICATES, &certificates).is_ok() {
        fresh.command.env("CERTIFICATES", certificates);
    }
    let settings = fresh.folder.join("apt.conf");
    fs::write(&settings, fetching(&output("apt-config", &["dump"])?)).context("write apt's settings")?;
    fresh.show(&settings, Path::new(APT))
}

/// Tells it where go fetches modules; for machines that have go.
pub(super) fn go(fresh: &mut Fresh) -> Result<()> {
    for name in GO {
        let value = output("go", &["env", name])?;
        fresh.command.env(name, value.trim());
    }
    Ok(())
}

fn is_told(name: &OsString) -> bool {
    let name = name.to_string_lossy().to_lowercase();
    VARIABLES.contains(&name.as_str())
        || name.ends_with("_proxy")
        || FAMILIES.iter().any(|family| name.starts_with(family))
}

/// The lines about fetching of apt's settings as `apt-config dump` prints them.
fn fetching(dump: &str) -> String {
    let lines = dump.split_inclusive('\n');
    lines.filter(|line| ACQUIRE.iter().any(|start| line.starts_with(start))).collect()
}

fn output(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output().with_context(|| format!("run {program}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_things_are_fetched_is_told_and_nothing_else() {
        for told in ["https_proxy", "HTTP_PROXY", "NO_PROXY", "SSL_CERT_FILE", "CARGO_NET_GIT_FETCH_WITH_CLI"]
        {
            assert!(is_told(&told.into()), "{told}");
        }
        for kept in
            ["PATH", "HOME", "CARGO_HOME", "CARGO_TARGET_DIR", "XDG_CACHE_HOME", "KUBECONFIG", "GOFLAGS_X"]
        {
            assert!(!is_told(&kept.into()), "{kept}");
        }
        let dump = "APT::Architecture \"amd64\";\nAcquire::http::Proxy \"http://p.example\";\n\
            Acquire::IndexTargets \"\";\nDPkg::Post-Invoke:: \"x\";\nAcquire::Check-Date \"false\";\n";
        assert_eq!(
            fetching(dump),
            "Acquire::http::Proxy \"http://p.example\";\nAcquire::Check-Date \"false\";\n"
        );
    }
}
