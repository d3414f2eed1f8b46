//! A round as people read it: the steps, the layouts, the gate, and what the conditions say.

use shard_operator::crd::ShardedBotStatus;
use shard_operator::model::{GateSetting, Kind, Object, Plan, Remount, Step};
use shard_operator::report::conditions::Transition;

pub fn round(plan: &Plan, status: &ShardedBotStatus, transitions: &[Transition]) -> String {
    let mut text = String::new();
    for step in &plan.steps {
        text += &match step {
            Step::Try(object) => format!("  try     {}\n", said(object)),
            Step::Create(object) => format!("  create  {}\n", said(object)),
            Step::Apply(object) => format!("  apply   {}\n", said(object)),
            Step::Merge(object) => format!("  merge   {}\n", said(object)),
            Step::PutBack(object, hand) => {
                let fields: Vec<_> = object.body["spec"].as_object().unwrap().keys().cloned().collect();
                format!("  restore {} {} after {hand:?}\n", said(object), fields.join(", "))
            }
            Step::Delete(kind, name) => format!("  delete  {}/{name}\n", <&str>::from(*kind)),
            Step::Patch { secret, operations } => {
                let of = |op: &str| operations.iter().filter(|one| one["op"] == op).count();
                format!("  patch   Secret/{secret}: {} added, {} removed\n", of("add"), of("remove"))
            }
            Step::ForceDelete { pod, uid: _ } => format!("  force   delete Pod/{pod}\n"),
        };
    }
    for Remount { pod, .. } in &plan.remounts {
        text += &format!("  remount Pod/{pod}\n");
    }
    let layouts: Vec<_> = plan
        .layouts
        .iter()
        .map(|one| {
            let (group, slot) = (one.session_group, one.fallback_slot);
            format!(
                "{}: {} shards on {} pods, {:?}, session group {group}, fallback slot {slot}",
                one.number, one.total, one.pods, one.role
            )
            .to_lowercase()
        })
        .collect();
    text += &format!("  layouts {}\n", if layouts.is_empty() { "none".into() } else { layouts.join("; ") });
    text += &match &plan.gate {
        GateSetting::Closed(why) => format!("  gate    closed: {why}\n"),
        GateSetting::Blind(why) => format!("  gate    blind: {why}\n"),
        GateSetting::Open { layouts, .. } => {
            let numbers: Vec<_> = layouts.keys().map(ToString::to_string).collect();
            format!(
                "  gate    open for layout {}\n",
                if numbers.is_empty() { "none".into() } else { numbers.join(", ") }
            )
        }
    };
    for condition in &status.conditions {
        // The others repeat what these say, or what a story is not about.
        let told = match condition.type_.as_str() {
            "Ready" => true,
            "Available" | "Stalled" | "Reconciling" => condition.status == "True",
            "TokenExclusive" => condition.status != "True",
            _ => condition.status == "False",
        };
        if told {
            let mark = format!("{}={}", condition.type_, condition.status);
            text += &format!("  {mark} {}: {}\n", condition.reason, condition.message);
        }
    }
    for transition in transitions {
        let type_ = if transition.worse { "Warning" } else { "Normal" };
        text += &format!("  event   {type_} {}\n", transition.reason);
    }
    text
}

/// An object with what stories are about.
fn said(object: &Object) -> String {
    let name = format!("{}/{}", <&str>::from(object.kind), object.name);
    if object.kind == Kind::Secret {
        let records = object.body["data"].as_object().map_or(0, |data| data.len() - 1);
        return format!("{name} {records} records free");
    }
    match object.body["spec"]["replicas"].as_u64() {
        Some(replicas) => format!("{name} replicas={replicas}"),
        None => name,
    }
}
