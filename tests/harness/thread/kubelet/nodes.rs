//! Nodes that are lost and found again, and what a node's kubelet brings to its pods by and by.
//!
//! From a test's word to what the node controller would write and the kubelet would mount. Deliberately absent: taints and
//! their timers; a lost node's pods are deleted at once.

use super::super::NAMESPACE;
use super::super::World;
use super::{Kubelet, NODES, node_name};
use crate::fleet::kubelet::nodes::tell_node;
use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::json;
use shard_contract::env::GATE_TOKEN_FILE;
use std::net::IpAddr;
use std::sync::atomic::Ordering;

impl World {
    /// Loses the node of a pod: it is cut off from everything, and the API server hears what the node controller would find. With
    /// `is_dead` its process ends too, without a word.
    ///
    /// # Errors
    /// When the API server does not take it.
    pub async fn lose(&self, pod: &str, is_dead: bool) -> Result<()> {
        if is_dead {
            self.kubelet.kill(pod);
        }
        self.network.cut([self.kubelet.lost(pod)?], true);
        self.kubelet.tell_of_the_loss(pod).await
    }

    /// Loses the nodes of these pods, which go on running and still reach each other and Discord, but neither API server nor
    /// gate nor any other pod.
    ///
    /// # Errors
    /// When the API server does not take it.
    pub async fn lose_together(&self, pods: &[String]) -> Result<()> {
        for pod in pods {
            self.network.cut([self.kubelet.lost(pod)?], false);
            self.kubelet.tell_of_the_loss(pod).await?;
        }
        Ok(())
    }

    /// The kubelet of a pod's node dies, and nothing else: the pod runs on and reaches everybody.
    ///
    /// # Errors
    /// When the API server does not take it.
    pub async fn lose_kubelet(&self, pod: &str) -> Result<()> {
        self.kubelet.lost(pod)?;
        self.kubelet.tell_of_the_loss(pod).await
    }

    /// Cuts a pod off from everything for a moment: too short for anybody to say that its node is lost. Where it was, to be joined again.
    pub fn cut(&self, pod: &str) -> Option<IpAddr> {
        let address = self.kubelet.address(pod);
        self.network.cut(address, true);
        address
    }

    /// The same, but it reaches Discord.
    pub fn cut_but_from_discord(&self, pod: &str) -> Option<IpAddr> {
        let address = self.kubelet.address(pod);
        self.network.cut(address, false);
        address
    }

    /// Joins what was cut for a moment, but where its node has been lost since.
    pub fn join(&self, address: IpAddr) {
        let is_lost = self.kubelet.shared.pods().values().any(|kept| kept.is_lost && kept.address == address);
        self.network.join((!is_lost).then_some(address));
    }

    /// All nodes are back.
    ///
    /// # Errors
    /// When the API server does not take it.
    pub async fn find_again(&self) -> Result<()> {
        let now = self.kubelet.shared.around.wall.now();
        for number in 0..NODES {
            tell_node(&Api::all(self.client.clone()), &node_name(number), "True", now).await?;
        }
        let mut pods = self.kubelet.shared.pods();
        let lost: Vec<_> = pods
            .values_mut()
            .filter_map(|kept| std::mem::take(&mut kept.is_lost).then_some(kept.address))
            .collect();
        drop(pods);
        self.network.join(lost);
        self.kubelet.shared.found.store(true, Ordering::Relaxed);
        Ok(())
    }
}

impl Kubelet {
    /// Where a pod is, if it runs and is not lost.
    #[must_use]
    pub fn address(&self, pod: &str) -> Option<IpAddr> {
        let pods = self.shared.pods();
        pods.values().find(|kept| kept.pod.name_any() == pod && !kept.is_lost).map(|kept| kept.address)
    }

    /// Nobody hears of the pod any more; where it is.
    fn lost(&self, pod: &str) -> Result<IpAddr> {
        let mut pods = self.shared.pods();
        let kept = pods.values_mut().find(|kept| kept.pod.name_any() == pod && !kept.is_lost);
        let kept = kept.context("no such pod runs")?;
        kept.is_lost = true;
        Ok(kept.address)
    }

    async fn tell_of_the_loss(&self, pod: &str) -> Result<()> {
        let pods: Api<Pod> = Api::namespaced(self.shared.client.clone(), NAMESPACE);
        let found = pods.get(pod).await?;
        let node = found.spec.and_then(|spec| spec.node_name).context("a pod without a node")?;
        let now = self.shared.around.wall.now();
        tell_node(&Api::all(self.shared.client.clone()), &node, "Unknown", now).await?;
        let conditions = json!([{ "type": "Ready", "status": "False", "lastTransitionTime": now }]);
        let status = json!({ "status": { "conditions": conditions } });
        pods.patch_status(pod, &PatchParams::default(), &Patch::Merge(status)).await?;
        // What the taint does once the pod's tolerations are over.
        let _ = pods.delete(pod, &DeleteParams::default()).await?;
        Ok(())
    }

    /// A pod, and the token with which it proves to the gate who it is.
    ///
    /// # Errors
    /// When no pod runs, or its token cannot be read.
    pub fn gate_token(&self) -> Result<(String, String)> {
        let pods = self.shared.pods();
        let (uid, kept) = pods.iter().find(|(_, kept)| !kept.is_lost).context("no pod runs")?;
        let path = self.shared.around.folder.join(uid).join(GATE_TOKEN_FILE.trim_start_matches('/'));
        let token = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        Ok((kept.pod.name_any(), token))
    }

    /// Replaces what pods' Secrets hold by what they hold now, as the kubelet does within a minute.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn refresh(&self) -> Result<()> {
        let pods: Vec<_> =
            self.shared.pods().iter().map(|(uid, kept)| (uid.clone(), kept.pod.clone())).collect();
        for (uid, pod) in pods {
            self.shared.fill_volumes(&uid, &pod, |volume| volume.secret.is_some()).await?;
        }
        Ok(())
    }
}
