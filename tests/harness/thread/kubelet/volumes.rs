//! What the kubelet mounts into pods, and makes anew in time.
//!
//! From a pod's volumes to files in its folder. Secrets that change are brought to a pod when its annotations change, and when a test says
//! so (`nodes.rs`). Deliberately absent: the look that a kubelet takes by itself each minute or so.

use super::{Kept, Shared};
use crate::fleet::pod::{container, fill};
use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Pod, Volume};
use kube::ResourceExt as _;
use std::time::Duration;
use tokio::time::Instant;

/// A kubelet makes a token anew when four fifths of its hour are over.
const RENEWED_AFTER: Duration = Duration::from_mins(48);

impl Shared {
    /// Writes what those of a pod's mounted volumes hold that are meant.
    pub(super) async fn fill_volumes(
        &self,
        uid: &str,
        pod: &Pod,
        is_meant: impl Fn(&Volume) -> bool,
    ) -> Result<()> {
        let root = self.around.folder.join(uid);
        let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or_default();
        for mount in container(pod)?.volume_mounts.as_deref().unwrap_or_default() {
            let Some(volume) = volumes.iter().find(|one| one.name == mount.name && is_meant(one)) else {
                continue;
            };
            let folder = root.join(mount.mount_path.trim_start_matches('/'));
            std::fs::create_dir_all(&folder)?;
            fill(&self.client, pod, volume, &folder).await.context("fill a volume")?;
        }
        Ok(())
    }

    /// Mounts anew what a pod's Secrets hold if somebody annotated it.
    pub(super) async fn look_at_secrets(&self, uid: &str, pod: Pod) -> Result<()> {
        let is_annotated = |kept: &Kept| !kept.is_lost && kept.pod.annotations() != pod.annotations();
        if self.pods().get(uid).is_some_and(is_annotated) {
            self.fill_volumes(uid, &pod, |volume| volume.secret.is_some()).await?;
            if let Some(kept) = self.pods().get_mut(uid) {
                kept.pod = pod;
            }
        }
        Ok(())
    }

    /// Makes the tokens of pods anew before they end.
    pub(super) async fn renew_tokens(&self) -> Result<()> {
        let is_due = |kept: &Kept| !kept.is_lost && kept.tokens.elapsed() >= RENEWED_AFTER;
        let due: Vec<_> =
            self.pods().iter().filter(|(_, kept)| is_due(kept)).map(|(uid, _)| uid.clone()).collect();
        for uid in due {
            let pod = self.pods().get(&uid).map(|kept| kept.pod.clone()).context("it was there")?;
            self.fill_volumes(&uid, &pod, |volume| volume.projected.is_some()).await?;
            if let Some(kept) = self.pods().get_mut(&uid) {
                kept.tokens = Instant::now();
            }
        }
        Ok(())
    }
}
