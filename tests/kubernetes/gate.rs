//! The gate's door: pods of a layout and nobody else.

use crate::ground::{BOTS, Ground};
use anyhow::{Context, Result, ensure};
use shard_contract::identify::IDENTIFY_PATH;
use shard_contract::names::GATE_AUDIENCE;

pub fn strangers_are_turned_away(ground: &Ground) -> Result<()> {
    ground.online()?;
    let (pod, uid) = ground.pods("mybot")?.into_iter().next().context("a fleet without pods")?;
    let bound = [format!("--bound-object-name={pod}"), format!("--bound-object-uid={uid}")];
    let audience = format!("--audience={GATE_AUDIENCE}");
    let token = |account: &str, more: &[&str]| {
        let base = ["create", "token", account, "--namespace", BOTS];
        ground.kube.run(&[&base[..], more].concat()).map(|text| text.trim().to_owned())
    };
    let pods = token("mybot-shards", &[&audience, "--bound-object-kind=Pod", &bound[0], &bound[1]])?;
    let unbound = token("mybot-shards", &[&audience])?;
    let for_the_api_server = token("mybot-shards", &["--bound-object-kind=Pod", &bound[0], &bound[1]])?;
    let fine = r#"{"layout":999,"shards":[0],"priority":"live"}"#;
    // The pod's own token passes the door; what it asks for here is another layout's, which is refused further in.
    for (who, token, body, status) in [
        ("nobody", "", fine, "401"),
        ("a made-up token", "abc.def.ghi", fine, "401"),
        ("a token that no pod has", &unbound, fine, "401"),
        ("a token for the API server", &for_the_api_server, fine, "401"),
        ("the pod, for another layout", &pods, fine, "403"),
        ("the pod, with nonsense", &pods, "[1,2]", "400"),
    ] {
        let answer = call(ground, token, body)?;
        ensure!(answer.starts_with(status), "{who}: expected {status}, was answered {answer}");
    }
    Ok(())
}

/// Calls the replica that leads, from within the cluster's network; returns the status and the body.
fn call(ground: &Ground, token: &str, body: &str) -> Result<String> {
    let address = ground.kube.run(&[
        "get",
        "lease/shard-operator",
        "--namespace=shard-operator",
        "--output=jsonpath={.metadata.annotations.shard-operator\\.dev/gate}",
    ])?;
    let url = format!("{}{IDENTIFY_PATH}", address.trim());
    ground.kube.curl(&["--header", &format!("Authorization: Bearer {token}"), "--data", body, &url])
}
