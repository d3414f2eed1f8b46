//! One injected fault at a counted moment: whoever has just done its n-th write dies, or the n-th event of a watch is lost.
//!
//! From an [`Injection`] to what it met, and to how many such moments there were: a story is told without a fault first, and then once for each
//! of its moments. Writes are counted that change what the fleet is; leases and events are not among them. Deliberately absent: faults
//! that last (`storm.rs`), and calls that are tampered with ([`Tamper`](crate::fleet::proxy::Tamper)).

use super::World;
use anyhow::{Context, Result};
use apiserver_sim::{After, Before, Call, Hook, Written};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use strum::{Display, EnumIter, EnumString};
use tokio::sync::watch;
use tokio::time::Instant;

/// What every replica of the operator is called, before its number.
const OPERATOR: &str = "shard-operator-";
/// After so long a killed operator is started again, as its Deployment does.
const AGAIN: Duration = Duration::from_secs(2);
/// After so long whoever watches lists again.
const RESYNC: Duration = Duration::from_mins(1);
/// At most so long reads are old.
const OLD: Duration = Duration::from_mins(1);

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Display, EnumIter, EnumString)]
#[strum(serialize_all = "kebab-case")]
pub enum Kind {
    /// An operator dies when its write is done, before it hears of it.
    OperatorDies,
    /// The same, and until the next one has written something, all that it reads is one write old.
    OperatorDiesAndTheNextReadsOld,
    /// An operator's watch misses an event, until it lists again.
    OperatorMisses,
    /// A pod's container dies when its write is done, before it hears of it.
    PodDies,
    /// A pod's watch misses an event, until it lists again.
    PodMisses,
}

/// What happens, at which of its moments, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Injection {
    /// What.
    pub kind: Kind,
    /// At which moment.
    pub at: u64,
}

impl fmt::Display for Injection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.at)
    }
}

impl FromStr for Injection {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = |(kind, at): (&str, &str)| Some(Self { kind: kind.parse().ok()?, at: at.parse().ok()? });
        text.split_once(':')
            .and_then(read)
            .ok_or_else(|| format!("found {text:?}; use for example pod-dies:3"))
    }
}

/// The moments of each kind that a story had.
pub type Moments = BTreeMap<Kind, u64>;

/// Counts moments, and strikes at one of them.
#[derive(Clone, Debug)]
pub struct Injector(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    injection: Option<Injection>,
    state: Mutex<State>,
    /// Who dies.
    struck: watch::Sender<Option<String>>,
}

#[derive(Debug, Default)]
struct State {
    moments: Moments,
    /// It was killed, and does nothing any more until it is gone.
    dying: Option<String>,
    old: Option<Old>,
}

/// Reads that are old.
#[derive(Debug)]
struct Old {
    /// As of this version.
    version: u64,
    /// But not what this host reads, which is dead.
    not: String,
    until: Instant,
}

impl Injector {
    /// Who strikes so, or only counts.
    #[must_use]
    pub fn new(injection: Option<Injection>) -> Self {
        Self(Arc::new(Shared { injection, state: Mutex::default(), struck: watch::Sender::new(None) }))
    }

    /// The moments so far.
    #[must_use]
    pub fn moments(&self) -> Moments {
        self.0.state().moments.clone()
    }

    /// Tells a story during which it strikes.
    ///
    /// # Errors
    /// Those of the story, and when who was killed cannot be started again.
    pub async fn during(&self, world: &World, story: impl Future<Output = Result<()>>) -> Result<()> {
        world.api.hook(self.clone());
        let ended = tokio::select! {
            biased;
            failed = self.strike(world) => failed,
            ended = story => ended,
        };
        world.api.unhook();
        ended
    }

    /// Waits until its moment has come, if it has one.
    ///
    /// # Errors
    /// When it does not come in that time.
    pub async fn met(&self, within: Duration) -> Result<()> {
        let Some(injection) = self.0.injection else { return Ok(()) };
        let mut struck = self.0.struck.subscribe();
        let met = tokio::time::timeout(within, struck.wait_for(Option::is_some)).await;
        met.with_context(|| format!("{injection} did not come, so that nothing was injected"))??;
        Ok(())
    }

    /// Does what follows from it; ends only when that fails.
    async fn strike(&self, world: &World) -> Result<()> {
        let mut struck = self.0.struck.subscribe();
        let host = struck.wait_for(Option::is_some).await?.clone().unwrap_or_default();
        if let Some(Kind::OperatorMisses | Kind::PodMisses) = self.0.injection.map(|injection| injection.kind)
        {
            tokio::time::sleep(RESYNC).await;
            world.api.expire_watches();
        } else {
            match host.strip_prefix(OPERATOR) {
                Some(number) => world.operators.kill(number.parse()?),
                None => world.kubelet.kill_uid(&host),
            }
            self.0.state().dying = None;
            tokio::time::sleep(AGAIN).await;
            world.operators.revive_all().await.context("start an operator again")?;
        }
        std::future::pending().await
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a moment of these kinds; the one among them whose moment it is.
    fn count(&self, kinds: &[Kind]) -> Option<Kind> {
        let mut state = self.state();
        let mut met = None;
        for kind in kinds {
            let count = state.moments.entry(*kind).or_default();
            *count += 1;
            if self.injection == Some(Injection { kind: *kind, at: *count }) {
                met = Some(*kind);
            }
        }
        met
    }
}

/// Who a call is from, where that counts.
enum Who {
    Operator,
    Pod,
}

fn who(call: &Call) -> Option<Who> {
    match call.from.as_str() {
        "" => None,
        host if host.starts_with(OPERATOR) => Some(Who::Operator),
        _ => Some(Who::Pod),
    }
}

/// Whether a call is about what the fleet is.
fn counts(call: &Call) -> bool {
    !["/leases", "/events", "/tokenreviews"].iter().any(|kind| call.path.contains(kind))
}

impl Hook for Injector {
    fn before(&mut self, call: &Call) -> Before {
        let mut state = self.0.state();
        if state.dying.as_ref() == Some(&call.from) {
            return Before::Hang;
        }
        // Who decided on what was old has done so.
        if counts(call) && matches!(who(call), Some(Who::Operator)) {
            state.old = None;
        }
        Before::GoOn
    }

    fn after(&mut self, written: &Written) -> After {
        let Some(who) = who(&written.call).filter(|_| counts(&written.call)) else { return After::Answer };
        let met = self.0.count(match who {
            Who::Operator => &[Kind::OperatorDies, Kind::OperatorDiesAndTheNextReadsOld],
            Who::Pod => &[Kind::PodDies],
        });
        let Some(kind) = met else { return After::Answer };
        tracing::info!(path = %written.call.path, from = %written.call.from, "who wrote this dies");
        let mut state = self.0.state();
        let host = written.call.from.clone();
        state.dying = Some(host.clone());
        if kind == Kind::OperatorDiesAndTheNextReadsOld {
            let (version, until) = (written.version.saturating_sub(1), Instant::now() + OLD);
            state.old = Some(Old { version, not: host.clone(), until });
        }
        drop(state);
        self.0.struck.send_replace(Some(host));
        After::Hang
    }

    fn read(&mut self, call: &Call) -> Before {
        if self.0.state().dying.as_ref() == Some(&call.from) { Before::Hang } else { Before::GoOn }
    }

    fn as_of(&mut self, call: &Call) -> Option<u64> {
        let is_meant = counts(call) && matches!(who(call), Some(Who::Operator));
        let state = self.0.state();
        let old = state.old.as_ref().filter(|old| is_meant && old.not != call.from)?;
        (Instant::now() < old.until).then_some(old.version)
    }

    fn tells(&mut self, call: &Call, _: u64) -> bool {
        let met = match who(call) {
            Some(Who::Operator) => self.0.count(&[Kind::OperatorMisses]),
            Some(Who::Pod) => self.0.count(&[Kind::PodMisses]),
            None => None,
        };
        if met.is_some() {
            tracing::info!(path = %call.path, to = %call.from, "an event of this watch is lost");
            self.0.struck.send_replace(Some(call.from.clone()));
        }
        met.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_injection_is_read_as_it_is_written() {
        let injection = Injection { kind: Kind::OperatorDiesAndTheNextReadsOld, at: 7 };
        assert_eq!(injection.to_string(), "operator-dies-and-the-next-reads-old:7");
        assert_eq!(injection.to_string().parse(), Ok(injection));
        assert!("pod-dies".parse::<Injection>().is_err() && "pod:1".parse::<Injection>().is_err());
    }

    fn call(from: &str, path: &str) -> Call {
        Call { verb: "patch", path: path.to_owned(), user: String::new(), from: from.to_owned() }
    }

    #[tokio::test]
    async fn the_second_write_of_a_pod_is_its_last_and_leases_do_not_count() {
        let mut injector = Injector::new(Some(Injection { kind: Kind::PodDies, at: 2 }));
        let written = |from: &str, path: &str| Written { call: call(from, path), version: 9 };
        for (from, path) in
            [("pod", "/secrets/a"), ("", "/secrets/a"), ("shard-operator-0", "/x"), ("pod", "/leases/a")]
        {
            assert_eq!(injector.after(&written(from, path)), After::Answer, "{from} {path}");
        }
        assert_eq!(injector.after(&written("pod", "/secrets/a")), After::Hang);
        assert_eq!(injector.before(&call("pod", "/secrets/a")), Before::Hang);
        assert_eq!(injector.before(&call("another", "/secrets/a")), Before::GoOn);
        assert_eq!(injector.moments()[&Kind::PodDies], 2);
    }

    #[tokio::test]
    async fn the_next_operator_reads_what_was_until_it_writes() {
        let mut injector =
            Injector::new(Some(Injection { kind: Kind::OperatorDiesAndTheNextReadsOld, at: 1 }));
        let [dead, next] = ["shard-operator-0", "shard-operator-1"];
        let _ = injector.after(&Written { call: call(dead, "/configmaps/a"), version: 9 });
        assert_eq!(injector.as_of(&call(next, "/pods")), Some(8));
        assert_eq!(injector.as_of(&call(next, "/leases/a")), None);
        assert_eq!(
            (injector.as_of(&call(dead, "/pods")), injector.as_of(&call("pod", "/pods"))),
            (None, None)
        );
        let _ = injector.before(&call(next, "/leases/a"));
        assert_eq!(injector.as_of(&call(next, "/pods")), Some(8));
        let _ = injector.before(&call(next, "/configmaps/a"));
        assert_eq!(injector.as_of(&call(next, "/pods")), None);
    }
}
