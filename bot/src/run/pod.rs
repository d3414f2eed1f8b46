//! A pod: the layouts document says where the gate and Discord are, the API server keeps the records.
//!
//! From what the pod knows of itself to everything that its shards need, in the order in which one thing needs another; what looks
//! after the pod for as long as it runs (reports, fence) begins here. Deliberately absent: the shards.

use std::sync::Arc;

use shard_contract::{env, layouts::Layouts, names};
use shard_machine::Machine;
use tokio::sync::watch;
use twilight_gateway::Intents;

use super::{Connected, Parts, source};
use crate::{
    edges::{config::Pod, discord::Discord, kubernetes, layouts, operator::Operator, token::TokenSource},
    error::Error,
    identify::gate::{Asker, Gate},
    seen::report::Reporter,
    session::{
        fence::{self, Fence, Fencing, LastHeard},
        peers::Peers,
    },
};

impl Parts {
    /// Learns where everything is.
    pub(super) async fn connect_pod(
        &self,
        pod: &Pod,
        intents: Intents,
        machine: &Machine,
    ) -> Result<Connected, Error> {
        let state = machine.path(env::STATE_DIR);
        let client = kubernetes::client(&machine.cluster).await.map_err(Error::Kubernetes)?;
        let layouts = layouts::follow(client.clone(), pod, &state, machine).await;
        let heard = LastHeard::kept(&state, machine.boot.clone());
        let operator =
            Operator::new(layouts.clone(), machine.path(env::GATE_TOKEN_FILE), machine.names.clone())
                .map_err(Error::Http)?
                .silent_since(heard.at());
        self.status.follow_gate(operator.watch_answers());
        let records = source::find(
            client.clone(),
            pod,
            intents,
            layouts.clone(),
            self.counters.clone(),
            Arc::clone(&self.status),
            machine.clone(),
        )
        .await;
        let (status, jobs, intents) =
            (Arc::clone(&self.status), Arc::clone(self.jobs.counts()), intents.bits());
        let reporter = Reporter {
            operator: operator.clone(),
            layout: pod.layout,
            status,
            jobs,
            intents,
            random: machine.random.clone(),
        };
        machine.tasks.spawn(reporter.run());
        let is_gone = layouts.borrow().takes_for_gone(&pod.uid);
        let was_fenced = is_gone || state.join(fence::MARKER).exists();
        self.status.set_fenced(was_fenced);
        let (fence, fencing) = watch::channel(Fencing::at_first(was_fenced, heard.at()));
        if *fencing.borrow() == Fencing::Unsure {
            tracing::warn!(
                silent = ?heard.at().elapsed(),
                "this pod's last container had heard of nobody for long: asking before going on by its progress files"
            );
        }
        self.begin_fence(pod, client, &operator, &layouts, (fence, heard), machine)?;
        let token = TokenSource::File(machine.path(env::TOKEN_FILE));
        let discord = Arc::new(Discord::new(token.clone(), layouts.clone(), machine.random.clone())?);
        let asker = Asker {
            operator,
            discord: Arc::clone(&discord),
            status: Arc::clone(&self.status),
            counters: self.counters.clone(),
            layout: pod.layout,
            ordinal: pod.ordinal,
            state,
            machine: machine.clone(),
        };
        Ok(Connected {
            discord,
            token,
            duty: layouts::follow_duty(layouts, pod.layout),
            gate: Gate::of(asker),
            records,
            fencing,
            refusal_ends: false,
        })
    }

    fn begin_fence(
        &self,
        pod: &Pod,
        client: kube::Client,
        operator: &Operator,
        layouts: &watch::Receiver<Layouts>,
        (fencing, heard): (watch::Sender<Fencing>, LastHeard),
        machine: &Machine,
    ) -> Result<(), Error> {
        let fence = Fence {
            api: kube::Api::namespaced(client, &pod.namespace),
            config_map: names::layouts_config_map(&pod.bot),
            layouts: layouts.clone(),
            newest: Layouts::default(),
            uid: pod.uid.clone(),
            operator: operator.clone(),
            peers: Peers::new(layouts.clone(), pod.clone(), machine).map_err(Error::Http)?,
            status: Arc::clone(&self.status),
            fencing,
            heard,
            marker: machine.path(env::STATE_DIR).join(fence::MARKER),
            random: machine.random.clone(),
        };
        machine.tasks.spawn(fence.run());
        Ok(())
    }
}
