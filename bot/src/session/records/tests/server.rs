//! The API server in memory with one Secret of records and the layouts document, and what may go wrong on the way to it.
//!
//! From a plan of failures to what each call meets. Deliberately absent: what the API server answers, which is `apiserver_sim`'s.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
};

use apiserver_sim::{After, Before, Call, Hook, Options, Server, Written};
use axum::http::StatusCode;
use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Namespace, Secret},
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use shard_contract::{layouts::Layouts, names, record::Record};

const DEFINITION: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../crds/shardedbots.yaml"));
/// Whose calls meet what is planned.
pub(super) const POD: &str = "pod";

/// What is to happen to the next write.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// It is made, and the answer is lost.
    AnswerLost,
    /// It is not made, and the answer says nothing.
    Lost,
}

/// What pods meet.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// What they are answered while the API server is away.
    pub(super) away: Option<StatusCode>,
    pub(super) faults: VecDeque<Fault>,
    /// Their writes that would have been made.
    pub(super) writes: usize,
}

struct Planned(Arc<Mutex<Plan>>);

fn status(code: StatusCode) -> Before {
    let code = code.as_u16();
    Before::Refuse(json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "as planned", "reason": "", "code": code,
    }))
}

impl Hook for Planned {
    fn before(&mut self, call: &Call) -> Before {
        if call.user != POD {
            return Before::GoOn;
        }
        let mut plan = self.0.lock().unwrap();
        if let Some(code) = plan.away {
            return status(code);
        }
        plan.writes += 1;
        if matches!(plan.faults.front(), Some(Fault::Lost)) {
            plan.faults.pop_front();
            return status(StatusCode::GATEWAY_TIMEOUT);
        }
        Before::GoOn
    }

    fn after(&mut self, written: &Written) -> After {
        if written.call.user == POD && self.0.lock().unwrap().faults.pop_front().is_some() {
            return After::Break;
        }
        After::Answer
    }

    fn read(&mut self, call: &Call) -> Before {
        let away = self.0.lock().unwrap().away.filter(|_| call.user == POD);
        away.map_or(Before::GoOn, status)
    }
}

/// The API server.
pub(super) struct Kept {
    server: Server,
    secrets: Api<Secret>,
    plan: Arc<Mutex<Plan>>,
}

fn of<K: DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).unwrap()
}

impl Kept {
    /// One that has the document, and an empty Secret of records.
    pub(super) async fn new(document: &Layouts) -> Self {
        let server = Server::new(Options::new(DEFINITION)).unwrap();
        let plan = Arc::<Mutex<Plan>>::default();
        server.hook(Planned(Arc::clone(&plan)));
        let (client, parameters) = (server.client("somebody", "n"), PostParams::default());
        let namespaces: Api<Namespace> = Api::all(client.clone());
        namespaces.create(&parameters, &of(json!({ "metadata": { "name": "n" } }))).await.unwrap();
        let text = serde_json::to_string(document).unwrap();
        let layouts = json!({ "metadata": { "name": "b-layouts" }, "data": { names::LAYOUTS_KEY: text } });
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "n");
        maps.create(&parameters, &of(layouts)).await.unwrap();
        let secrets: Api<Secret> = Api::namespaced(client, "n");
        secrets.create(&parameters, &of(json!({ "metadata": { "name": "b-sessions-0" } }))).await.unwrap();
        Self { server, secrets, plan }
    }

    /// A client that meets what is planned.
    pub(super) fn client(&self) -> Client {
        self.server.client(POD, "n")
    }

    pub(super) fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap()
    }

    /// Another hand writes a record.
    pub(super) async fn set(&self, shard: u32, record: &Record) {
        let value = json!(ByteString(serde_json::to_vec(record).unwrap()));
        self.change(json!({ "data": { names::record_key(0, shard): value } })).await;
    }

    /// Another hand takes all records away.
    pub(super) async fn clear(&self) {
        self.change(json!({ "data": null })).await;
    }

    async fn change(&self, change: Value) {
        self.secrets.patch("b-sessions-0", &PatchParams::default(), &Patch::Merge(change)).await.unwrap();
    }

    /// The record as it is kept; none: there is none.
    pub(super) fn record_if_any(&self, shard: u32) -> Option<Record> {
        let secret: Secret = of(self.server.object("secrets", "n", "b-sessions-0").unwrap());
        let value = secret.data?.remove(&names::record_key(0, shard))?;
        Some(serde_json::from_slice(&value.0).unwrap())
    }

    pub(super) fn record(&self, shard: u32) -> Record {
        self.record_if_any(shard).unwrap()
    }
}
