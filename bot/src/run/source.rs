//! Where the pod's records are, found once at the start.
//!
//! From what the pod knows of itself and the layouts document, which names the session group of its layout. Deliberately absent: what
//! the records say ([`crate::session::records`]).

use std::sync::Arc;

use shard_contract::{env, layouts::Layouts, record::Owner};
use shard_machine::Machine;
use tokio::sync::watch;
use twilight_gateway::Intents;

use crate::{
    edges::config::Pod,
    seen::{metrics::Counters, status::Status},
    session::records::{Me, Source},
};

/// Where the pod's records are; none for a pod of revision 1, which cannot say who it is.
pub(super) async fn find(
    client: kube::Client,
    pod: &Pod,
    intents: Intents,
    mut layouts: watch::Receiver<Layouts>,
    counters: Counters,
    status: Arc<Status>,
    machine: Machine,
) -> Option<Source> {
    if pod.uid.is_empty() {
        tracing::warn!(
            variable = env::POD_UID,
            "not set, as in layouts of older versions: sessions end with the process"
        );
        return None;
    }
    let of = |document: &Layouts| {
        document.layouts.iter().find(|layout| layout.number == pod.layout).map(|layout| layout.session_group)
    };
    if of(&layouts.borrow_and_update()).is_none() {
        tracing::info!(layout = pod.layout, "waiting until the layouts document names this layout");
    }
    let session_group = of(&*layouts.wait_for(|document| of(document).is_some()).await.ok()?)?;
    Some(Source {
        client,
        namespace: pod.namespace.clone(),
        bot: pod.bot.clone(),
        session_group,
        me: Me { owner: Owner { layout: pod.layout, pod_uid: pod.uid.clone() }, intents: intents.bits() },
        layouts,
        counters,
        status,
        machine,
    })
}
