//! From the raw spec to a checked one, or the reason to stand still.
//!
//! Past this line the raw spec is out of bounds. Refused here is what the API server cannot see: fields whose behaviour
//! this version does not have, and parts of the pod template that would clash with what the operator adds.
//! Deliberately absent: what the schema and its rules already refuse.

use crate::crd::{Follow, PodTemplate, ShardedBot, TemplateMetadata, TokenSecretRef};
use crate::model::{Note, Reason};
use crate::names::{OURS, Owner};
use serde_json::{Value, json};
use shard_contract::env::{HEALTH_PORT, INJECTED, INJECTED_VOLUMES};

/// A spec that can be carried out.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// The bot.
    pub owner: Owner,
    /// Where the token is: Secret and key.
    pub token: (String, String),
    /// The total that was asked for.
    pub wish: Wish,
    /// Every total is a multiple of it.
    pub multiple: u32,
    /// Shards of a pod at most.
    pub shards_per_pod: u32,
    /// Share of the budget that only live shards may use, in percent.
    pub reserve_percent: u32,
    /// No new layout.
    pub paused: bool,
    /// Whether the user asked for a hand-over.
    pub handover: bool,
    /// A new value is a new layout.
    pub restarted_at: Option<String>,
    /// The user's template.
    pub template: PodTemplate,
    /// Which container is the bot.
    pub container: usize,
    /// Why no layout is made of this template any more; one that runs is kept.
    pub refused: Option<Note>,
    /// The account that the template names, if it names one.
    pub account: Option<String>,
}

/// The total that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// This one.
    Fixed(u32),
    /// Discord's recommendation, within bounds.
    Follow(Follow),
}

/// Whose objects they are.
#[must_use]
pub fn owner(bot: &ShardedBot) -> Owner {
    let metadata = &bot.metadata;
    Owner {
        name: metadata.name.clone().unwrap_or_default(),
        namespace: metadata.namespace.clone().unwrap_or_default(),
        uid: metadata.uid.clone().unwrap_or_default(),
    }
}

/// Checks a spec.
///
/// # Errors
/// A note that names the field, what was found and the remedy.
pub fn check(bot: &ShardedBot) -> Result<Spec, Note> {
    let spec = &bot.spec;
    if spec.update.handover.is_some() {
        return Err(Note::new(
            Reason::NotSupported,
            "spec.update.handover: this version has no hand-over to set up; remove the field (spec.update.type may stay)",
        ));
    }
    check_reference(&spec.token_secret_ref)?;
    check_template(&spec.template)?;
    let containers = items(&spec.template, "containers");
    let container = containers.iter().position(|container| name_of(container) == Some("bot")).unwrap_or(0);
    check_container(containers.get(container).unwrap_or(&Value::Null), container)?;
    let refused = check_new(&spec.template)
        .and_then(|()| check_restarts(containers.get(container).unwrap_or(&Value::Null), container));
    let refused = refused.err();
    Ok(Spec {
        owner: owner(bot),
        token: (spec.token_secret_ref.name.clone(), spec.token_secret_ref.key.clone()),
        wish: spec.shards.map_or_else(|| Wish::Follow(spec.follow.clone().unwrap_or_default()), Wish::Fixed),
        multiple: spec.shard_multiple.max(1),
        shards_per_pod: spec.shards_per_pod.max(1),
        reserve_percent: spec.identify.reserve_percent,
        paused: spec.paused,
        handover: spec.update.kind == crate::crd::UpdateKind::Handover,
        restarted_at: spec.restarted_at.clone(),
        account: spec.template.spec.get("serviceAccountName").and_then(Value::as_str).map(str::to_owned),
        template: meant(&spec.template),
        container,
        refused,
    })
}

/// Metadata that say nothing are as good as none: writing them down, or taking the last label out, is no new layout.
fn meant(template: &PodTemplate) -> PodTemplate {
    let says_something =
        |metadata: &TemplateMetadata| !metadata.labels.is_empty() || !metadata.annotations.is_empty();
    PodTemplate { metadata: template.metadata.clone().filter(says_something), spec: template.spec.clone() }
}

/// Older definitions take any text for a name.
fn check_reference(TokenSecretRef { name, key }: &TokenSecretRef) -> Result<(), Note> {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let edges = name.bytes().next().into_iter().chain(name.bytes().last());
    let is_name = !name.is_empty()
        && edges.into_iter().all(alphanumeric)
        && name.bytes().all(|byte| alphanumeric(byte) || matches!(byte, b'-' | b'.'));
    if !is_name {
        return Err(Note::new(
            Reason::SpecUnreadable,
            format!(
                "spec.tokenSecretRef.name: found {name:?}; a Secret's name has lower-case letters, digits, '-' and '.' alone, the first and the last a letter or digit; make the ShardedBot anew with the Secret's name"
            ),
        ));
    }
    if key.is_empty()
        || !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    {
        return Err(Note::new(
            Reason::SpecUnreadable,
            format!(
                "spec.tokenSecretRef.key: found {key:?}; a key has letters, digits, '-', '_' and '.' alone; make the ShardedBot anew with the Secret's key"
            ),
        ));
    }
    Ok(())
}

fn check_template(template: &PodTemplate) -> Result<(), Note> {
    let found = |field: &str| template.spec.get(field).filter(|found| !found.is_null());
    for field in ["hostname", "subdomain"] {
        if let Some(found) = found(field) {
            return refuse(&format!(
                "spec.template.spec.{field}: found {found}; pods are named by their StatefulSet; remove the field"
            ));
        }
    }
    for (index, volume) in items(template, "volumes").iter().enumerate() {
        if let Some(name) = name_of(volume)
            && INJECTED_VOLUMES.contains(&name)
        {
            return refuse(&format!(
                "spec.template.spec.volumes[{index}].name: found {name:?}, which the operator adds itself; choose another name"
            ));
        }
    }
    Ok(())
}

fn check_container(container: &Value, index: usize) -> Result<(), Note> {
    let list = |field: &str| container.get(field).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    for (place, variable) in list("env").iter().enumerate() {
        if let Some(name) = name_of(variable)
            && INJECTED.contains(&name)
        {
            return refuse(&format!(
                "spec.template.spec.containers[{index}].env[{place}].name: found {name:?}, which the operator sets itself; remove it"
            ));
        }
    }
    Ok(())
}

/// What earlier versions took: a fleet that runs with it is not stopped, and no further layout is made of it.
fn check_new(template: &PodTemplate) -> Result<(), Note> {
    let found = |field: &str| template.spec.get(field).filter(|found| !found.is_null());
    if let Some(found) = found("automountServiceAccountToken").filter(|found| **found != Value::Bool(true)) {
        return refuse(&format!(
            "spec.template.spec.automountServiceAccountToken: found {found}; pods write the records of their sessions with that token, so that no IDENTIFY is wasted; remove the field"
        ));
    }
    if let Some(found) = found("hostNetwork").filter(|found| **found != Value::Bool(false)) {
        return refuse(&format!(
            "spec.template.spec.hostNetwork: found {found}; pods of one node would share port {HEALTH_PORT}, by which they tell how they are; remove the field"
        ));
    }
    let labels = template.metadata.iter().flat_map(|metadata| metadata.labels.keys());
    if let Some(key) = labels.into_iter().find(|key| key.starts_with(OURS)) {
        return refuse(&format!(
            "spec.template.metadata.labels: found {key:?}; labels that begin with {OURS} say whose a pod is and are the operator's; remove it"
        ));
    }
    Ok(())
}

fn check_restarts(container: &Value, index: usize) -> Result<(), Note> {
    let list = |field: &str| container.get(field).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let health = list("ports").iter().position(|port| port.get("hostPort") == Some(&HEALTH_PORT.into()));
    if let Some(place) = health {
        return refuse(&format!(
            "spec.template.spec.containers[{index}].ports[{place}].hostPort: found {HEALTH_PORT}, by which each pod tells how it is; one pod of a node would keep it from the others; remove it"
        ));
    }
    // What is null is not there; Always is what a pod of a StatefulSet says anyway.
    let says =
        |field: &str| container.get(field).filter(|found| !found.is_null() && **found != json!("Always"));
    for field in ["restartPolicy", "restartPolicyRules"] {
        if let Some(found) = says(field) {
            return refuse(&format!(
                "spec.template.spec.containers[{index}].{field}: found {found}; a bot that ended would stay stopped, or start again without a back-off; remove the field"
            ));
        }
    }
    Ok(())
}

fn refuse(message: &str) -> Result<(), Note> {
    Err(Note::new(Reason::TemplateRefused, message))
}

fn items<'a>(template: &'a PodTemplate, field: &str) -> &'a [Value] {
    template.spec.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn name_of(item: &Value) -> Option<&str> {
    item.get("name")?.as_str()
}
