//! A bot with as little memory as makes sense, and a folder in memory that is full.
//!
//! From outside, by a hand that the pod's own cgroup counts. Deliberately absent: what is in that folder, which other tests look at.

use crate::ground::{BOTS, Ground, OTHER_TOKEN, PATIENCE, manifest};
use anyhow::{Result, ensure};
use serde_json::json;

const SMALL: &str = "small";
const SECRET: &str = "small-token";
/// What a person would give a small bot.
const LIMIT: &str = "64Mi";
/// The most of it that a full folder may take.
const FOLDER: u64 = 8 << 20;

/// What lies in it counts towards the pod's limit as long as the pod lives: a folder that may take too much of it lets no container start
/// again.
pub fn a_full_folder_in_memory(ground: &Ground) -> Result<()> {
    ground.installed()?;
    ground.secret(SECRET, OTHER_TOKEN)?;
    let mut bot = manifest(SMALL, SECRET);
    bot["spec"]["template"]["spec"]["containers"][0]["resources"] = json!({ "limits": { "memory": LIMIT } });
    ground.kube.feed(&["apply", "--filename=-"], &bot.to_string())?;
    ground.ready(SMALL)?;
    let pods = ground.pods(SMALL)?;
    let filled = ground.kube.fill_state(&pods[0].0)?;
    ensure!(filled < FOLDER, "{filled} bytes of {LIMIT} went into it");
    // Twice: the second container begins with what the first one met.
    for restarts in 1..=2 {
        ground.kube.kill_bot(BOTS, &pods[0].0)?;
        let what = format!("container {restarts} after the first to be Ready");
        ground.kube.wait(&what, PATIENCE, &["--namespace", BOTS, "pod", &pods[0].0], |pod| {
            let container = &pod["status"]["containerStatuses"][0];
            container["restartCount"] == restarts && container["ready"] == true
        })?;
        ground.ready(SMALL)?;
    }
    ensure!(ground.pods(SMALL)? == pods, "the pod was replaced");
    ground.kube.run(&["delete", "shardedbot", SMALL, "--namespace", BOTS, "--cascade=foreground"])?;
    ground.kube.run(&["delete", "secret", SECRET, "--namespace", BOTS])?;
    ground.rules_were_kept()
}
