//! The simulated Discord as a pod of the cluster, reached through the API server's proxy.
//!
//! So it works alike on the embedded cluster and on the user's own. Its ledger is the judge of what the fleet did.
//! Deliberately absent: the simulator's rules.

use crate::kube::Kube;
use anyhow::{Context, Result};
use discord_sim::Ledger;
use serde_json::{Value, json};
use std::time::Duration;

/// How pods of bots reach it.
pub const URL: &str = "http://discord.discord.svc:8090";
/// The bot's token there.
pub const TOKEN: &str = discord_sim::FAKE_TOKEN;

const NAMESPACE: &str = "discord";
/// The longest that it may take to start.
const START: Duration = Duration::from_mins(1);
const MANIFEST: &str = include_str!("../discord/discord.yaml");

/// How the simulator is set up, as its environment variables without the prefix.
pub type Setting<'a> = (&'a str, &'a str);

/// A simulated Discord.
#[derive(Clone, Copy, Debug)]
pub struct Discord<'a> {
    kube: &'a Kube,
}

impl<'a> Discord<'a> {
    /// Starts it, anew, with these settings; returns when it answers.
    ///
    /// # Errors
    /// When the cluster refuses it or it does not start.
    pub fn start(kube: &'a Kube, settings: &[Setting<'_>]) -> Result<Self> {
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": {
            "name": NAMESPACE,
            "labels": { "pod-security.kubernetes.io/enforce": "restricted" },
        } });
        kube.feed(&["apply", "--server-side", "--filename=-"], &namespace.to_string())?;
        kube.feed(&["apply", "--server-side", "--namespace", NAMESPACE, "--filename=-"], MANIFEST)?;
        let variables: Vec<Value> = settings
            .iter()
            .map(|(name, value)| json!({ "name": format!("DISCORD_SIM_{name}"), "value": value }))
            .collect();
        let patch = json!({ "spec": { "template": { "spec": { "containers": [{ "name": "discord", "env": variables }] } } } });
        let patch = format!("--patch={patch}");
        kube.run(&["patch", "deployment/discord", "--namespace", NAMESPACE, &patch])?;
        kube.rolled_out(NAMESPACE, "discord", START)?;
        Ok(Self { kube })
    }

    /// The one that was started.
    #[must_use]
    pub fn on(kube: &'a Kube) -> Self {
        Self { kube }
    }

    /// What it has seen so far.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub fn ledger(&self) -> Result<Ledger> {
        let text = self.kube.run(&["get", "--raw", &path("/ledger")])?;
        serde_json::from_str(&text).context("read the ledger")
    }

    /// Asks its control API.
    ///
    /// # Errors
    /// When it cannot be reached or refuses.
    pub fn control(&self, route: &str, body: &Value) -> Result<Value> {
        let text = self.kube.feed(
            &["create", "--raw", &path(&format!("/control/{route}")), "--filename=-"],
            &body.to_string(),
        )?;
        serde_json::from_str(&text).with_context(|| format!("read the answer to {route}: {text}"))
    }

    /// A user types a message and waits for the bot's answer to contain `expected`; returns the answer's history.
    ///
    /// # Errors
    /// When there is no such answer within `most`; says what was answered instead.
    pub fn ask(&self, message: &Value, expected: &str, most: Duration) -> Result<Vec<String>> {
        let typed = self.control("messages", message)?;
        let id = typed["messageId"].as_str().context("the simulator named no message")?;
        let wait = most.as_millis();
        let query = format!("/control/messages/{id}/replies?edits=true&waitMs={wait}&contains={expected}");
        let text = self.kube.run(&["get", "--raw", &path(&query)])?;
        let replies: Vec<Value> =
            serde_json::from_str(&text).with_context(|| format!("read the replies: {text}"))?;
        let answered =
            |reply: &&Value| reply["content"].as_str().is_some_and(|content| content.contains(expected));
        let reply = replies.iter().find(answered).with_context(|| {
            format!("no answer with {expected:?} to {message} within {} s; answers: {text}", most.as_secs())
        })?;
        let history = reply["history"].as_array().map_or(&[][..], Vec::as_slice);
        Ok(history.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    }
}

fn path(route: &str) -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/services/discord:8090/proxy{route}")
}
