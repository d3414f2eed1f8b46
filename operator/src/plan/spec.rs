//! From the raw spec to a checked one, or the reason to stand still.
//!
//! Past this line the raw spec is out of bounds. Refused here is what the API server cannot see: fields whose behaviour
//! this version does not have, and parts of the pod template that would clash with what the operator adds.
//! Deliberately absent: what the schema and its rules already refuse.

use crate::crd::{Follow, PodTemplate, ShardedBot, TemplateMetadata};
use crate::model::{Note, Reason};
use crate::names::Owner;
use serde_json::Value;
use shard_contract::env::{INJECTED, INJECTED_VOLUMES};

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
    check_template(&spec.template)?;
    let containers = items(&spec.template, "containers");
    let container = containers.iter().position(|container| name_of(container) == Some("bot")).unwrap_or(0);
    check_container(containers.get(container).unwrap_or(&Value::Null), container)?;
    let metadata = &bot.metadata;
    Ok(Spec {
        owner: Owner {
            name: metadata.name.clone().unwrap_or_default(),
            namespace: metadata.namespace.clone().unwrap_or_default(),
            uid: metadata.uid.clone().unwrap_or_default(),
        },
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
    })
}

/// Metadata that say nothing are as good as none: writing them down, or taking the last label out, is no new layout.
fn meant(template: &PodTemplate) -> PodTemplate {
    let says_something =
        |metadata: &TemplateMetadata| !metadata.labels.is_empty() || !metadata.annotations.is_empty();
    PodTemplate { metadata: template.metadata.clone().filter(says_something), spec: template.spec.clone() }
}

fn check_template(template: &PodTemplate) -> Result<(), Note> {
    for field in ["hostname", "subdomain"] {
        if let Some(found) = template.spec.get(field) {
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
    let variables = container.get("env").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    for (place, variable) in variables.iter().enumerate() {
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

fn refuse(message: &str) -> Result<(), Note> {
    Err(Note::new(Reason::TemplateRefused, message))
}

fn items<'a>(template: &'a PodTemplate, field: &str) -> &'a [Value] {
    template.spec.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn name_of(item: &Value) -> Option<&str> {
    item.get("name")?.as_str()
}
