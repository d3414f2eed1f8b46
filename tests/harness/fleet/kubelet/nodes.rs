//! Nodes that are lost and found again.
//!
//! From a test's word to what the node controller would write. Deliberately absent: taints and
//! their timers; a lost node's pods are deleted at once.

use super::super::pod::Running;
use super::Kubelet;
use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use rustix::process::Signal;
use serde_json::json;
use shard_contract::env::INJECTED_VOLUMES;

/// Nodes of a fleet.
pub const NODES: u32 = 3;

impl Kubelet {
    /// Loses the node of a pod: its link is cut, and the API server is told what the node controller would find. With
    /// `is_dead` its processes end too, without a word.
    ///
    /// # Errors
    /// When the API server does not take it.
    pub async fn lose(&self, pod: &str, is_dead: bool) -> Result<()> {
        self.lost(pod, |running| {
            running.cut()?;
            if is_dead {
                running.signal(Signal::KILL);
            }
            Ok(())
        })
        .await
    }

    async fn lost(&self, pod: &str, cut: impl FnOnce(&mut Running) -> Result<()>) -> Result<()> {
        let telling = self.shared.telling.lock().await;
        {
            let mut all = self.shared.kept();
            let kept = all.values_mut().find(|kept| kept.running.name == pod).context("no such pod runs")?;
            kept.is_lost = true;
            cut(&mut kept.running)?;
        }
        let pods: Api<Pod> = Api::namespaced(self.shared.around.patient.clone(), &self.shared.namespace);
        let found = pods.get(pod).await?;
        let node = found.spec.and_then(|spec| spec.node_name).context("a pod without a node")?;
        tell_node(&Api::all(self.shared.around.patient.clone()), &node, "Unknown", Timestamp::now()).await?;
        let conditions =
            json!([{ "type": "Ready", "status": "False", "lastTransitionTime": Timestamp::now() }]);
        let status = json!({ "status": { "conditions": conditions } });
        pods.patch_status(pod, &PatchParams::default(), &Patch::Strategic(status)).await?;
        drop(telling);
        // What the taint does once the pod's tolerations are over.
        pods.delete(pod, &DeleteParams::default()).await?;
        Ok(())
    }

    /// The node of a pod is back.
    ///
    /// # Errors
    /// When the API server does not take it.
    pub async fn find_again(&self) -> Result<()> {
        for number in 0..NODES {
            let name = node_name(&self.shared.namespace, number);
            tell_node(&Api::all(self.shared.around.patient.clone()), &name, "True", Timestamp::now()).await?;
        }
        self.heal()
    }

    /// A token with which a pod proves to the gate who it is, and the pod.
    ///
    /// # Errors
    /// When no pod runs, or its token cannot be read.
    pub fn gate_token(&self) -> Result<(String, String)> {
        let kept = self.shared.kept();
        let kept = kept.values().next().context("no pod runs")?;
        let volumes = self.shared.folder.join(&kept.running.uid).join("volumes");
        let path = volumes.join(INJECTED_VOLUMES[1]).join("token");
        let token = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        Ok((kept.running.name.clone(), token))
    }
}

/// Node names are the cluster's, so they carry the namespace.
pub(super) fn node_name(namespace: &str, number: u32) -> String {
    format!("{namespace}-node-{number}")
}

/// Writes what the node controller would find.
pub(crate) async fn tell_node(nodes: &Api<Node>, name: &str, ready: &str, now: Timestamp) -> Result<()> {
    let condition = json!({
        "type": "Ready", "status": ready, "reason": "Played", "message": "by the test",
        "lastHeartbeatTime": now, "lastTransitionTime": now,
    });
    let status = json!({ "status": { "conditions": [condition] } });
    nodes
        .patch_status(name, &PatchParams::default(), &Patch::Merge(status))
        .await
        .context("tell of a node")?;
    Ok(())
}
