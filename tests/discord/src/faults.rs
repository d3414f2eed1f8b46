//! Faults that REST was told to have: which calls they hit, how often, and how they damage the answer.
//!
//! From: `POST /control/faults`. For: REST's middleware. A fault lasts for a number of calls or a time, or until it is taken
//! away; of several that fit, the oldest hits. Deliberately absent: the damage itself (`rest/damage.rs`), chance; a test
//! says what fails.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Faults that there may be at a time.
pub const MOST: usize = 100;

/// A fault in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// Its number, never used twice.
    pub id: u64,
    /// Only calls of this method.
    pub method: Option<String>,
    /// Only calls of this route, such as `/channels/{channel}/messages`.
    pub route: Option<String>,
    /// What it does.
    pub damage: Damage,
    /// Whether the call takes effect all the same.
    pub executes: bool,
    /// Calls that it will still hit; none for any number.
    pub left: Option<u32>,
    /// When it ends by itself, in real time since the start.
    pub until: Option<Duration>,
    /// Calls that it has hit.
    pub hits: u64,
}

/// What a fault does to the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Another status, with Discord's body.
    Status(u16),
    /// 429, with this wait.
    RateLimit(Scope, Option<Duration>),
    /// The answer comes so much later.
    Delay(Duration),
    /// No answer for so long, then 504.
    Timeout(Duration),
    /// 200 and bytes that are no JSON.
    Garbage,
    /// The first half of the answer, then the end of the connection.
    Cut,
}

/// Whose limit a 429 speaks of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Scope {
    /// The bot's, of one route.
    #[default]
    User,
    /// The bot's, of all routes.
    Global,
    /// The resource's, whoever calls.
    Shared,
    /// The address's: not Discord's answer but that of the net in front of it.
    Cloudflare,
}

/// All faults in force.
#[derive(Debug, Default)]
pub struct Faults {
    last: u64,
    faults: Vec<Fault>,
}

impl Faults {
    /// Adds a fault and gives it its number; none where there are too many.
    pub fn add(&mut self, fault: Fault, now: Duration) -> Option<&Fault> {
        self.forget_over(now);
        if self.faults.len() >= MOST {
            return None;
        }
        self.last += 1;
        self.faults.push(Fault { id: self.last, ..fault });
        self.faults.last()
    }

    /// The faults in force.
    pub fn list(&mut self, now: Duration) -> &[Fault] {
        self.forget_over(now);
        &self.faults
    }

    /// Takes one away, or all; how many there were.
    pub fn remove(&mut self, id: Option<u64>) -> usize {
        let before = self.faults.len();
        self.faults.retain(|fault| id.is_some_and(|id| fault.id != id));
        before - self.faults.len()
    }

    /// The fault that hits this call, if one does.
    pub fn hit(&mut self, method: &str, route: &str, now: Duration) -> Option<Fault> {
        if self.faults.is_empty() {
            return None;
        }
        self.forget_over(now);
        let fault = self.faults.iter_mut().find(|fault| fault.fits(method, route))?;
        fault.hits += 1;
        fault.left = fault.left.map(|left| left.saturating_sub(1));
        let hit = fault.clone();
        self.forget_over(now);
        Some(hit)
    }

    fn forget_over(&mut self, now: Duration) {
        self.faults.retain(|fault| fault.left != Some(0) && fault.until.is_none_or(|until| now < until));
    }
}

impl Fault {
    fn fits(&self, method: &str, route: &str) -> bool {
        let is_method = self.method.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method));
        is_method && self.route.as_ref().is_none_or(|wanted| wanted == route)
    }
}

impl Damage {
    /// Its name in the ledger and in control.
    pub fn name(self) -> &'static str {
        match self {
            Self::Status(_) => "status",
            Self::RateLimit(..) => "rateLimit",
            Self::Delay(_) => "delay",
            Self::Timeout(_) => "timeout",
            Self::Garbage => "garbage",
            Self::Cut => "cut",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(method: Option<&str>, route: Option<&str>) -> Fault {
        Fault {
            id: 0,
            method: method.map(str::to_owned),
            route: route.map(str::to_owned),
            damage: Damage::Garbage,
            executes: false,
            left: None,
            until: None,
            hits: 0,
        }
    }

    const NOW: Duration = Duration::from_secs(1);

    #[test]
    fn a_fault_hits_the_calls_that_it_names() {
        let table = [
            (None, None, true),
            (Some("post"), None, true),
            (Some("GET"), None, false),
            (None, Some("/gateway/bot"), true),
            (Some("POST"), Some("/gateway"), false),
        ];
        for (method, route, expected) in table {
            let mut faults = Faults::default();
            faults.add(fault(method, route), NOW);
            assert_eq!(faults.hit("POST", "/gateway/bot", NOW).is_some(), expected, "{method:?} {route:?}");
        }
    }

    #[test]
    fn a_fault_ends_after_its_calls_or_its_time() {
        let mut faults = Faults::default();
        faults.add(Fault { left: Some(2), ..fault(None, None) }, NOW);
        let hits = (0..3).filter(|_| faults.hit("GET", "/x", NOW).is_some()).count();
        assert_eq!((hits, faults.list(NOW).len()), (2, 0));
        faults.add(Fault { until: Some(NOW * 2), ..fault(None, None) }, NOW);
        assert!(faults.hit("GET", "/x", NOW).is_some());
        assert!(faults.hit("GET", "/x", NOW * 2).is_none());
    }

    #[test]
    fn the_oldest_of_several_hits_and_they_can_be_taken_away() {
        let mut faults = Faults::default();
        let ids: Vec<_> = (0..3).map(|_| faults.add(fault(None, None), NOW).unwrap().id).collect();
        assert_eq!(faults.hit("GET", "/x", NOW).unwrap().id, ids[0]);
        assert_eq!(faults.remove(Some(ids[0])), 1);
        assert_eq!(faults.hit("GET", "/x", NOW).unwrap().id, ids[1]);
        assert_eq!((faults.remove(None), faults.remove(None)), (2, 0));
    }

    #[test]
    fn there_are_at_most_100() {
        let mut faults = Faults::default();
        let added = (0..=MOST).filter(|_| faults.add(fault(None, None), NOW).is_some()).count();
        assert_eq!(added, MOST);
    }
}
