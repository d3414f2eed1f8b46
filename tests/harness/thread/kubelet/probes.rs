//! What kubelets find of their pods, and tell.
//!
//! From answers of readiness probes to the pods' status. Deliberately absent: what becomes of a pod that is not ready.

use super::Shared;
use crate::fleet::status::status;
use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use std::time::Duration;
use tokio::time::Instant;

/// Between two questions whether a pod is ready: as the operator's template says, and more often while it is not.
const PROBES: Duration = Duration::from_secs(5);
pub(super) const BEFORE: Duration = Duration::from_secs(1);

impl Shared {
    /// Asks those pods whether they are ready that are due.
    pub(super) async fn probe_all(&self) {
        let due: Vec<_> = {
            let mut pods = self.pods();
            let due = pods
                .iter_mut()
                .filter(|(_, kept)| !kept.is_lost)
                .filter(|(_, kept)| kept.probed.elapsed() >= if kept.is_ready { PROBES } else { BEFORE });
            due.map(|(uid, kept)| {
                kept.probed = Instant::now();
                (uid.clone(), kept.address)
            })
            .collect()
        };
        for (uid, address) in due {
            let url = format!("http://{address}:{}/readyz", shard_contract::env::HEALTH_PORT);
            let answer = self.probe.get(url).send().await;
            if let Some(kept) = self.pods().get_mut(&uid) {
                kept.is_ready = answer.is_ok_and(|answer| answer.status().is_success());
            }
        }
    }

    /// Writes the status of those that have news.
    pub(super) async fn tell(&self, api: &Api<Pod>) -> Result<()> {
        let news: Vec<_> = {
            let pods = self.pods();
            let heard = pods.iter().filter(|(_, kept)| !kept.is_lost);
            let changed = heard.filter(|(_, kept)| kept.reported != Some((kept.is_ready, kept.restarts)));
            changed
                .map(|(uid, kept)| {
                    let now = self.around.wall.now();
                    let status =
                        status(&kept.address.to_string(), kept.since, now, kept.is_ready, kept.restarts);
                    (uid.clone(), kept.pod.name_any(), (kept.is_ready, kept.restarts), status)
                })
                .collect()
        };
        for (uid, name, now, status) in news {
            api.patch_status(&name, &PatchParams::default(), &Patch::Merge(status))
                .await
                .context("tell status")?;
            if let Some(kept) = self.pods().get_mut(&uid) {
                kept.reported = Some(now);
            }
        }
        Ok(())
    }
}
