//! A run without Kubernetes: the layouts document is made up, and Discord is asked whether its budget allows the start.
//!
//! From the environment to the same parts that a pod finds, so that everything after them is the same. Deliberately absent:
//! records and progress files: this process is the whole bot, and ends with its sessions.

use std::sync::Arc;

use shard_contract::layouts::{DiscordAddress, Layout, Layouts, Role};
use shard_machine::Machine;
use tokio::sync::watch;

use super::Connected;
use crate::{
    edges::{config::Local, discord::Discord, layouts, token::TokenSource},
    error::Error,
    identify::gate::Gate,
    session::fence::Fencing,
};

/// A local run's layout is this number.
const LOCAL_LAYOUT: u32 = 1;

/// Finds what there is to be found.
pub(super) async fn connect_local(local: &Local, total: u32, machine: &Machine) -> Result<Connected, Error> {
    let only = Layout {
        number: LOCAL_LAYOUT,
        total,
        pods: 1,
        role: Role::Active,
        session_group: 0,
        fallback_slot: 0,
    };
    let document = Layouts {
        generation: 1,
        layouts: vec![only],
        discord: DiscordAddress { api: local.api.clone(), ..DiscordAddress::default() },
        ..Layouts::default()
    };
    let (sender, layouts) = watch::channel(document);
    let token = TokenSource::Given(local.token.clone());
    let discord = Arc::new(Discord::new(token.clone(), layouts.clone(), machine.random.clone())?);
    let limit = discord.limits().await?;
    if limit.remaining < total {
        let hours = limit.reset_after.as_secs_f64() / 3_600.0;
        return Err(Error::Budget { needed: total, remaining: limit.remaining, total: limit.total, hours });
    }
    let (_, fencing) = watch::channel(Fencing::Free);
    let duty = layouts::follow_duty(layouts, LOCAL_LAYOUT);
    // Nothing changes in a local run, and nobody is told that the document is gone.
    tokio::spawn(async move { sender.closed().await });
    Ok(Connected {
        discord,
        token,
        duty,
        gate: Gate::local(&limit, machine),
        records: None,
        fencing,
        refusal_ends: true,
    })
}
