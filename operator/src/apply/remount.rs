//! Has kubelets look at the token's Secret now, by an annotation of their pods.
//!
//! From pods to one patch each, a few at a time and for a few seconds in all. A kubelet looks by itself within a minute or so, so that each
//! pod is tried once, and no failure ends a round or is told of but in the log. Deliberately absent: which pods.

use crate::context::{Context, Key};
use crate::model::Remount;
use crate::names::{MANAGER, TOKEN_REPLACED};
use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use std::time::Duration;

/// Patches under way at a time.
const AT_A_TIME: usize = 8;
/// For how long a round waits for all of them.
const WITHIN: Duration = Duration::from_secs(5);

/// Annotates these pods.
pub(super) async fn remount(ctx: &Context, key: &Key, remounts: &[Remount]) {
    if remounts.is_empty() {
        return;
    }
    for Remount { uid, .. } in remounts {
        ctx.memory.tokens.told(key, uid);
    }
    let api: Api<Pod> = Api::namespaced(ctx.client.clone(), &key.0);
    let now = ctx.machine.wall.now().to_string();
    let each = remounts.iter().map(|Remount { pod, uid }| annotate(&api, pod, uid, &now));
    let each: Vec<_> = each.collect();
    let mut answers = stream::iter(each).buffer_unordered(AT_A_TIME);
    let all = async {
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(()) => {}
                // It is gone, or another one of its name is there, whose UID cannot be changed.
                Err(kube::Error::Api(answer)) if matches!(answer.code, 404 | 409 | 422) => {}
                Err(error) => {
                    tracing::warn!(namespace = key.0, bot = key.1, %error, "cannot annotate pods whose token was replaced: they get it within a minute or so");
                    return;
                }
            }
        }
    };
    if tokio::time::timeout(WITHIN, all).await.is_err() {
        tracing::warn!(
            namespace = key.0,
            bot = key.1,
            "not all pods whose token was replaced could be annotated in time: the others get it within a minute or so"
        );
    }
}

async fn annotate(api: &Api<Pod>, name: &str, uid: &str, now: &str) -> Result<(), kube::Error> {
    let change = json!({ "metadata": { "uid": uid, "annotations": { TOKEN_REPLACED: now } } });
    let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
    api.patch_metadata(name, &params, &Patch::Merge(change)).await.map(drop)
}
