//! The real server: etcd and kube-apiserver alone, with our CRD.
//!
//! From nothing to a client in a few seconds; it ends with this process. Deliberately absent: our programs; nothing runs here.

use super::play::{Answer, play};
use super::script::Case;
use anyhow::{Context, Result, ensure};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use shard_tests::checkout::root;
use std::fs;
use test_cluster::{Api, Release};
use tokio::runtime::Runtime;

/// Where its etcd listens, in its network.
const ETCD: &str = "http://127.0.0.1:2379/v3/kv";

/// The real server.
pub struct Real {
    api: Api,
    runtime: Runtime,
    client: Client,
}

impl Real {
    /// Starts it. This process is in its network from then on.
    ///
    /// # Errors
    /// When it does not come up; says what and the remedy.
    pub fn up() -> Result<Self> {
        let api = Api::up("conformance-tests", Release::Newest, &mut test_cluster::printer())?;
        let definition = root().join("crds/shardedbots.yaml");
        let definition =
            fs::read_to_string(&definition).with_context(|| format!("read {}", definition.display()))?;
        api.apply(&definition)?;
        api.cluster().enter_network()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let kubeconfig = Kubeconfig::read_from(api.cluster().kubeconfig())?;
        let client = runtime.block_on(async {
            let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
            anyhow::Ok(Client::try_from(config)?)
        })?;
        Ok(Self { api, runtime, client })
    }

    /// Plays a case on it.
    ///
    /// # Errors
    /// When a call gets no answer.
    pub fn play(&self, case: &Case) -> Result<Vec<Answer>> {
        self.runtime.block_on(play(case, &self.client, async || {
            compact().await?;
            // What its watch cache has is forgotten when it begins anew.
            self.api.stop()?;
            Ok(self.api.start()?)
        }))
    }

    /// A document of its OpenAPI.
    ///
    /// # Errors
    /// When it is not served.
    pub fn document(&self, path: &str) -> Result<Value> {
        let request = axum::http::Request::get(path).body(Vec::new())?;
        Ok(self.runtime.block_on(self.client.request(request))?)
    }

    /// Takes it down.
    ///
    /// # Errors
    /// When something stays.
    pub fn down(self) -> Result<()> {
        drop(self.client);
        Ok(self.api.down()?)
    }
}

/// Makes etcd forget everything but the newest.
async fn compact() -> Result<()> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let ask = async |what: &str, body: Value| {
        let answer = client.post(format!("{ETCD}/{what}")).body(body.to_string()).send().await?;
        ensure!(answer.status().is_success(), "{what}: {}", answer.status());
        Ok(serde_json::from_str::<Value>(&answer.text().await?)?)
    };
    // Any key, in base64.
    let any = json!({ "key": "eA==" });
    let revision = ask("range", any).await?["header"]["revision"].clone();
    ask("compaction", json!({ "revision": revision, "physical": true })).await?;
    Ok(())
}
