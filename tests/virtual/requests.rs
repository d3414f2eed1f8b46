//! What bots cost the API server.
//!
//! From calls that it was asked to how many a second there were. Deliberately absent: how long they take, which a benchmark measures.

use anyhow::{Result, ensure};
use apiserver_sim::{Before, Call, Hook};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::json;
use shard_contract::names::shards;
use shard_tests::any_fleet::AnyFleet as _;
use shard_tests::fleet::schedule::{ONE, SMALL, Shape};
use shard_tests::thread::stage::on_a_fleet;
use shard_tests::thread::{BOT, NAMESPACE, PATIENCE, World};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Counts calls; those of watches are one each.
struct Counts(Arc<AtomicU64>);

impl Hook for Counts {
    fn before(&mut self, _: &Call) -> Before {
        self.0.fetch_add(1, Ordering::Relaxed);
        Before::GoOn
    }

    fn read(&mut self, _: &Call) -> Before {
        self.0.fetch_add(1, Ordering::Relaxed);
        Before::GoOn
    }
}

/// Counts calls by who asks for what, but for watches, and what is the same for any number of bots.
struct Kinds(Arc<Mutex<BTreeMap<String, u64>>>);

impl Kinds {
    fn count(&self, call: &Call) -> Before {
        let of_all = ["/leases", "/tokenreviews"].iter().any(|kind| call.path.contains(kind));
        if call.verb != "watch" && !of_all {
            let who = if call.user.ends_with(&shards(BOT)) { "pods" } else { "operator" };
            let what = format!("{who} {} {}", call.verb, call.path);
            *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(what).or_default() += 1;
        }
        Before::GoOn
    }
}

impl Hook for Kinds {
    fn before(&mut self, call: &Call) -> Before {
        self.count(call)
    }

    fn read(&mut self, call: &Call) -> Before {
        self.count(call)
    }
}

/// Calls in so long.
async fn calls(fleet: &World, span: Duration) -> u64 {
    let count = Arc::new(AtomicU64::new(0));
    fleet.api.hook(Counts(Arc::clone(&count)));
    tokio::time::sleep(span).await;
    fleet.api.unhook();
    count.load(Ordering::Relaxed)
}

async fn reason(fleet: &World, bot: &str) -> Result<String> {
    let status = fleet.bots().get(bot).await?.status.unwrap_or_default();
    let ready = status.conditions.into_iter().find(|one| one.type_ == "Ready");
    Ok(ready.map(|one| one.reason).unwrap_or_default())
}

/// A pod looks at the records of its sessions once a minute; an operator at its pods, and in one look of three at all that a bot has.
#[test]
fn a_settled_fleet_costs_the_api_server_few_calls() -> Result<()> {
    const SPAN: Duration = Duration::from_mins(10);
    let shape = Shape { pods: 4, shards: 8, ..SMALL };
    on_a_fleet(&shape, async |fleet| {
        tokio::time::sleep(SPAN).await;
        let kinds = Arc::new(Mutex::default());
        fleet.api.hook(Kinds(Arc::clone(&kinds)));
        tokio::time::sleep(SPAN).await;
        fleet.api.unhook();
        let kinds = std::mem::take(&mut *kinds.lock().unwrap_or_else(PoisonError::into_inner));
        let of = |who: &str| -> u64 {
            kinds.iter().filter(|(what, _)| what.starts_with(who)).map(|(_, calls)| calls).sum()
        };
        println!("{SPAN:?} of a settled fleet of four pods: {kinds:#?}");
        ensure!((4..=4 * 11).contains(&of("pods")), "{} calls by four pods: {kinds:#?}", of("pods"));
        ensure!(
            (1..=14 * 4 + 5 * 7).contains(&of("operator")),
            "{} calls by the operator: {kinds:#?}",
            of("operator")
        );
        Ok(())
    })
}

/// Nothing of it changes but that the Secret comes back, and whoever brings it waits for the fleet.
#[test]
fn a_fleet_whose_secret_is_gone_costs_hardly_more_than_a_settled_one() -> Result<()> {
    const SPAN: Duration = Duration::from_mins(30);
    on_a_fleet(&ONE, async |fleet| {
        tokio::time::sleep(SPAN / 3).await;
        let settled = calls(fleet, SPAN).await;
        let secrets: Api<Secret> = Api::namespaced(fleet.client.clone(), NAMESPACE);
        let kept = secrets.get("token").await?;
        let _ = secrets.delete("token", &DeleteParams::default()).await?;
        tokio::time::sleep(SPAN / 3).await;
        ensure!(reason(fleet, BOT).await? == "SecretMissing", "{}", reason(fleet, BOT).await?);
        let missing = calls(fleet, SPAN).await;
        ensure!(4 * missing <= 5 * settled, "{missing} calls in {SPAN:?}, {settled} with its Secret");
        let secret = json!({ "metadata": { "name": "token" }, "data": kept.data });
        secrets.create(&PostParams::default(), &serde_json::from_value(secret)?).await?;
        fleet.online().await.map(drop)
    })
}

#[test]
fn sixty_bots_without_their_secret_cost_two_requests_a_second_and_see_it_when_it_comes() -> Result<()> {
    const BOTS: u32 = 60;
    /// Longer than what is there is not looked at.
    const SPAN: Duration = Duration::from_mins(40);
    on_a_fleet(&ONE, async |fleet| {
        let alone = calls(fleet, SPAN).await;
        let template = json!({ "spec": { "containers": [{ "name": "bot", "image": "i" }] } });
        for number in 0..BOTS {
            let secret = json!({ "name": format!("token-{number}") });
            let bot = json!({
                "apiVersion": "shard-operator.dev/v1alpha1", "kind": "ShardedBot", "metadata": { "name": format!("bot-{number}") },
                "spec": { "tokenSecretRef": secret, "shards": 1, "template": template },
            });
            fleet.bots().create(&PostParams::default(), &serde_json::from_value(bot)?).await?;
        }
        tokio::time::sleep(SPAN / 4).await;
        let more = calls(fleet, SPAN).await.saturating_sub(alone);
        ensure!(more <= 2 * SPAN.as_secs(), "{more} calls in {SPAN:?} beside {alone}");
        ensure!(reason(fleet, "bot-7").await? == "SecretMissing", "{}", reason(fleet, "bot-7").await?);
        let secrets: Api<Secret> = Api::namespaced(fleet.client.clone(), NAMESPACE);
        let secret = json!({ "metadata": { "name": "token-7" }, "stringData": { "token": "no token" } });
        secrets.create(&PostParams::default(), &serde_json::from_value(secret)?).await?;
        fleet
            .wait("the Secret to be seen", PATIENCE, async || {
                let reason = reason(fleet, "bot-7").await?;
                Ok(if reason == "TokenUnusable" { Ok(()) } else { Err(reason) })
            })
            .await
    })
}
