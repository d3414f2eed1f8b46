//! Control of faults: which REST calls go wrong from now on, and how.
//!
//! From: typed requests, in-process or over HTTP. For: tests of clients against a Discord that is slow, breaks or refuses.
//! Every field is checked against the kind it belongs to. Deliberately absent: faults of the gateway's connections.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ControlError, bad};
use crate::discord::{Discord, ms};
use crate::faults::{Damage, Fault, MOST, Scope};
use crate::rest;

/// The longest wait of a call, in milliseconds: a minute.
const LONGEST_WAIT: u64 = 60_000;
/// The longest life of a fault and the longest `retryAfterMs`: an hour.
const LONGEST_LIFE: u64 = 3_600_000;

/// A fault to be had.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewFault {
    /// What happens to a call.
    pub kind: FaultKind,
    /// Only to calls of this method; by default of any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Only to calls of this route, such as `/channels/{channel}/messages`; by default of any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// For `status`: 400 to 599, by default 500.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// For `rateLimit`: whose limit it is, by default the bot's of this route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// For `rateLimit`: 0 to 3,600,000, by default 1,000; without it, `cloudflare` says no time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// For `delay`, needed: 1 to 60,000. For `timeout`: the same, by default 60,000 or what is left of `forMs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// For so many calls, at least 1; by default for any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// For so long, 1 to 3,600,000; by default until it is taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_ms: Option<u64>,
    /// Whether the call takes effect before its answer is damaged or lost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executes: bool,
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FaultKind {
    /// It is answered with an error.
    Status,
    /// It is answered with 429.
    RateLimit,
    /// It is answered late.
    Delay,
    /// It is not answered, and after a minute with 504.
    Timeout,
    /// It is answered with 200 and bytes that are no JSON.
    Garbage,
    /// Half of its answer comes, then the connection ends.
    Cut,
}

/// A fault in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FaultState {
    /// Its number.
    pub id: u64,
    /// What happens to a call.
    pub kind: FaultKind,
    /// Only to calls of this method.
    pub method: Option<String>,
    /// Only to calls of this route.
    pub route: Option<String>,
    /// Calls that it has hit.
    pub hits: u64,
    /// Calls that it will still hit; none for any number.
    pub left: Option<u32>,
    /// When it ends by itself, since the simulator's start.
    pub ends_at_ms: Option<u64>,
}

/// Which faults are meant.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultFilter {
    /// This one; without it, all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
}

/// How many faults were taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// So many.
    pub removed: usize,
}

impl Discord {
    /// From now on, these calls go wrong.
    pub fn add_fault(&self, fault: NewFault) -> Result<FaultState, ControlError> {
        let fault = checked(fault, self.now()).map_err(ControlError::BadRequest)?;
        let added = self.add_fault_in_force(fault);
        let full =
            || bad(format!("faults: found {MOST} already; take some away with DELETE /control/faults"));
        added.as_ref().map(state).ok_or_else(full)
    }

    /// The faults in force, the oldest first.
    pub fn faults(&self) -> Vec<FaultState> {
        self.faults_in_force().iter().map(state).collect()
    }

    /// Takes faults away.
    pub fn remove_faults(&self, filter: FaultFilter) -> Result<Removed, ControlError> {
        let removed = self.remove_faults_in_force(filter.id);
        match filter.id {
            Some(id) if removed == 0 => {
                Err(ControlError::NotFound(format!("id: {id} is no fault in force; see GET /control/faults")))
            }
            _ => Ok(Removed { removed }),
        }
    }
}

/// The fault that is meant, or field, found, remedy.
fn checked(new: NewFault, now: Duration) -> Result<Fault, String> {
    let NewFault { kind, method, route, status, scope, retry_after_ms, delay_ms, count, for_ms, executes } =
        new;
    let belongs = |field: &str, is_there: bool, kinds: &[FaultKind]| {
        let is_fine = !is_there || kinds.contains(&kind);
        is_fine
            .then_some(())
            .ok_or_else(|| format!("{field}: found with {kind:?}; it belongs to {kinds:?} only"))
    };
    belongs("status", status.is_some(), &[FaultKind::Status])?;
    belongs("scope", scope.is_some(), &[FaultKind::RateLimit])?;
    belongs("retryAfterMs", retry_after_ms.is_some(), &[FaultKind::RateLimit])?;
    belongs("delayMs", delay_ms.is_some(), &[FaultKind::Delay, FaultKind::Timeout])?;
    if let Some(route) = route.as_ref().filter(|route| !rest::has_route(route)) {
        return Err(format!(
            "route: found {route}; use a template such as /channels/{{channel}}/messages, as GET /ledger names them"
        ));
    }
    let status = in_range("status", status.map(u64::from), 400, 599)?.unwrap_or(500);
    let retry_after = in_range("retryAfterMs", retry_after_ms, 0, LONGEST_LIFE)?.map(Duration::from_millis);
    let delay = in_range("delayMs", delay_ms, 1, LONGEST_WAIT)?;
    let life = in_range("forMs", for_ms, 1, LONGEST_LIFE)?;
    if count == Some(0) {
        return Err("count: found 0; use at least 1, or leave it out".to_owned());
    }
    let damage = match kind {
        FaultKind::Status => Damage::Status(u16::try_from(status).unwrap_or(500)),
        FaultKind::RateLimit => Damage::RateLimit(scope.unwrap_or_default(), retry_after),
        FaultKind::Delay => {
            Damage::Delay(Duration::from_millis(delay.ok_or("delayMs: found none; use 1 to 60000")?))
        }
        FaultKind::Timeout => {
            Damage::Timeout(Duration::from_millis(delay.or(life).unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT)))
        }
        FaultKind::Garbage => Damage::Garbage,
        FaultKind::Cut => Damage::Cut,
    };
    let until = life.map(|life| now + Duration::from_millis(life));
    Ok(Fault { id: 0, method, route, damage, executes, left: count, until, hits: 0 })
}

fn in_range(field: &str, value: Option<u64>, least: u64, most: u64) -> Result<Option<u64>, String> {
    match value {
        Some(found) if !(least..=most).contains(&found) => {
            Err(format!("{field}: found {found}; use {least} to {most}"))
        }
        fine => Ok(fine),
    }
}

fn state(fault: &Fault) -> FaultState {
    let kind = match fault.damage {
        Damage::Status(_) => FaultKind::Status,
        Damage::RateLimit(..) => FaultKind::RateLimit,
        Damage::Delay(_) => FaultKind::Delay,
        Damage::Timeout(_) => FaultKind::Timeout,
        Damage::Garbage => FaultKind::Garbage,
        Damage::Cut => FaultKind::Cut,
    };
    FaultState {
        id: fault.id,
        kind,
        method: fault.method.clone(),
        route: fault.route.clone(),
        hits: fault.hits,
        left: fault.left,
        ends_at_ms: fault.until.map(ms),
    }
}
