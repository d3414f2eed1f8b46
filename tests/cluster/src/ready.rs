//! Waiting for a cluster to be well, and saying why it is not.
//!
//! Each wait asks again and again until the condition holds, a daemon keeps failing, or the time is over;
//! then the error quotes the ends of the logs that matter. For `cluster.rs`. Deliberately absent: repairs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cgroup::Hierarchies;
use crate::error::{Error, tail};
use crate::place::{MachineName, Place};

/// A machine with one core under load has been seen to need 40 s for what takes 5 s alone.
const LIMIT: Duration = Duration::from_mins(3);
/// A daemon that has ended this often will not come up by itself.
const ENDED_TOO_OFTEN: u32 = 5;

/// What is waited on, and its logs.
pub(crate) struct Watch<'a> {
    pub place: &'a Place,
    pub hierarchies: &'a Hierarchies,
    pub machines: Vec<MachineName>,
}

impl Watch<'_> {
    /// Asks every `pause` until the answer is `None`; an answer is what is still missing, for the error.
    pub fn until(&self, pause: Duration, mut missing: impl FnMut() -> Option<String>) -> Result<(), Error> {
        let start = Instant::now();
        while let Some(what) = missing() {
            let failed = self.failed();
            if !failed.is_empty() || start.elapsed() > LIMIT {
                return Err(Error::NotReady {
                    what,
                    seconds: start.elapsed().as_secs(),
                    logs: self.logs(&failed),
                });
            }
            thread::sleep(pause);
        }
        Ok(())
    }

    /// The machines that do not run (with no daemon's name) and the daemons that keep ending.
    fn failed(&self) -> Vec<(MachineName, Option<String>)> {
        let mut failed = Vec::new();
        for &machine in &self.machines {
            if self.hierarchies.members(self.place, machine).is_empty() {
                failed.push((machine, None));
            }
            let ended = fs::read_to_string(self.place.machine(machine).join("ended")).unwrap_or_default();
            let often = counted(&ended).into_iter().filter(|(_, times)| *times >= ENDED_TOO_OFTEN);
            failed.extend(often.map(|(daemon, _)| (machine, Some(daemon.to_owned()))));
        }
        failed
    }

    /// The logs' ends of what failed, or of the daemons that are behind most delays.
    fn logs(&self, failed: &[(MachineName, Option<String>)]) -> String {
        let usual = [(MachineName::ControlPlane, "kube-apiserver"), (MachineName::Node(1), "kubelet")];
        let quoted: Vec<(MachineName, &str)> = if failed.is_empty() {
            usual.into_iter().filter(|(machine, _)| self.machines.contains(machine)).collect()
        } else {
            failed.iter().map(|(machine, name)| (*machine, name.as_deref().unwrap_or("machine"))).collect()
        };
        let mut text = String::new();
        for (machine, name) in quoted {
            let log = self.place.machine(machine).join("log").join(format!("{name}.log"));
            let _ = write!(text, "the log of {machine}'s {name} ends with:\n{}", tail(&log, 8));
        }
        let _ = write!(text, "all logs: {}", self.place.failed().display());
        text
    }
}

/// How often each daemon has ended, from the lines `NAME CODE` that `machine/init.sh` writes.
fn counted(ended: &str) -> BTreeMap<&str, u32> {
    let mut counts = BTreeMap::new();
    for name in ended.lines().filter_map(|line| line.split_whitespace().next()) {
        *counts.entry(name).or_default() += 1;
    }
    counts
}

/// Whether the API server says that it is ready.
pub(crate) fn api_answers(mut kubectl: Command) -> bool {
    let answer = kubectl.args(["get", "--raw", "/readyz", "--request-timeout=2s"]).output();
    answer.is_ok_and(|output| output.status.success())
}

/// What `kubectl get … -o json` lists whose condition is not true: the missing names, or all of it if less
/// than `wanted` are there.
pub(crate) fn without_condition(
    mut kubectl: Command,
    what: &str,
    condition: &str,
    wanted: u8,
) -> Option<String> {
    let output = kubectl.args(["-o", "json", "--request-timeout=2s"]).output();
    let list = output.ok().and_then(|output| serde_json::from_slice::<Value>(&output.stdout).ok());
    let with = names_with(&list.unwrap_or_default(), condition);
    (with.len() < usize::from(wanted)).then(|| match with.as_slice() {
        [] => format!("none of {wanted} {what} {condition}"),
        some => format!("of {wanted} {what} only {} {condition}", some.join(", ")),
    })
}

fn names_with(list: &Value, condition: &str) -> Vec<String> {
    let holds = |item: &&Value| {
        let conditions = item["status"]["conditions"].as_array();
        conditions
            .is_some_and(|all| all.iter().any(|one| one["type"] == condition && one["status"] == "True"))
    };
    let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    items
        .iter()
        .filter(holds)
        .filter_map(|item| item["metadata"]["name"].as_str().map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ends_are_counted_by_name() {
        let counts = counted("etcd 1\nkubelet 2\netcd 1\n");
        assert_eq!(counts["etcd"], 2);
        assert_eq!(counts["kubelet"], 1);
    }

    #[test]
    fn only_a_true_condition_counts() {
        let node = |name, status| {
            json!({
                "metadata": {"name": name},
                "status": {"conditions": [{"type": "Ready", "status": status}]},
            })
        };
        let list = json!({"items": [node("a", "True"), node("b", "False"), {"metadata": {"name": "c"}}]});
        assert_eq!(names_with(&list, "Ready"), ["a"]);
        assert_eq!(names_with(&json!({}), "Ready"), Vec::<String>::new());
    }
}
