//! The nouns that the verbs exchange: what was observed, what is planned, what was applied.
//!
//! Plain data, comparable and printable, so that golden files and dry runs cost nothing. Time is a field of
//! [`Observed`]. Deliberately absent: clients, clocks, behaviour beyond small look-ups.

pub mod budget;
mod late;
mod node;
mod note;
mod object;
mod question;
mod reason;
mod refusal;
mod secret;

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;
use shard_contract::layouts::Layouts;
use shard_contract::pace::Pace;
use shard_contract::report::Report;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

pub use late::late;
pub use node::{NodeSeen, NodeState};
pub use note::Note;
pub use object::{Kind, Object};
pub use question::{Admission, Alike, Answers, Question, Same};
pub use reason::Reason;
pub use refusal::Refusal;
pub use secret::{Belongs, RecordSeen, SecretFound, SecretSeen};

/// Everything a round knows of the world. Read in one place, before planning.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// When it was read.
    pub now: Timestamp,
    /// What the operator was started with and pods must know.
    pub addresses: Addresses,
    /// What cannot be read of the spec, and the remedy.
    pub unreadable: Option<Note>,
    /// The bot's token, as far as it could be read.
    pub token: TokenSeen,
    /// When the token's Secret was made, if it is immutable: a kubelet gives pods that were made before the token that they began with.
    pub token_immutable_since: Option<Timestamp>,
    /// Pods that began with another token than the Secret holds now, by UID, and whose kubelets were not told to look.
    pub token_untold: BTreeSet<String>,
    /// For how long there has been no token that Discord takes, if there is none.
    pub token_bad_for: Option<Duration>,
    /// Another bot that holds the same token and is older: `namespace/name`.
    pub rival: Option<String>,
    /// Whether older bots, which may hold the same token, have not all been looked at yet.
    pub waits_for_others: bool,
    /// Why pods of sets could not be made.
    pub refusals: Vec<Refusal>,
    /// What Discord says; empty while there is no token to ask with.
    pub discord: DiscordSeen,
    /// Objects at the names that this bot uses.
    pub children: Vec<Child>,
    /// The document in the ConfigMap, if there is a readable one of ours.
    pub document: Option<Layouts>,
    /// The Secrets with the records of this bot's sessions that were looked for.
    pub secrets: Vec<SecretSeen>,
    /// Pods with this bot's label.
    pub pods: Vec<PodSeen>,
    /// Nodes of pods that are silent and not ready, by name; those that were asked for.
    pub nodes: BTreeMap<String, NodeSeen>,
    /// Whether this process has heard every pod that runs since it leads, or has waited long enough for it.
    pub heard: bool,
    /// Whether another installation watches the bot's namespace as well.
    pub contest: Contest,
    /// For how long the document has named each pod that is taken for gone, by UID; anew once the pod is no longer there.
    pub named: BTreeMap<String, Duration>,
    /// What the gate counted.
    pub gate: Option<GateFigures>,
    /// What the API server answered to what a plan had to know.
    pub answers: Answers,
}

/// Whether another installation watches the namespace that this one keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contest {
    /// None does.
    Alone,
    /// One did before this process looked.
    Unsure,
    /// This one does, by the namespace and name of its own Lease; it does nothing there.
    With(String),
}

/// What is the same for all bots; most of it pods must know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// The installation's name: the namespace and name of its own Lease.
    pub installation: String,
    /// Base URL of the gate, without a trailing slash.
    pub gate: String,
    /// Base URL of Discord's REST API; none: Discord itself.
    pub discord: Option<String>,
    /// How fast Discord's time passes.
    pub time_factor: Pace,
    /// What to do about pods on a lost node.
    pub on_node_loss: NodeLoss,
}

/// What to do about pods on a lost node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NodeLoss {
    /// Delete them by force when it is sure enough that they are gone, so that they are made anew elsewhere.
    #[default]
    Replace,
    /// Leave them to a person.
    Wait,
}

/// A bot's token. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Takes a token as it was typed: surrounding white space and a leading `Bot ` do not count.
    ///
    /// # Errors
    /// Says what is wrong with it, without saying it.
    pub fn new(typed: &str) -> Result<Self, &'static str> {
        let trimmed = typed.trim();
        let bare = trimmed.strip_prefix("Bot ").unwrap_or(trimmed).trim_start();
        if bare.is_empty() || bare == "Bot" {
            return Err("it is empty");
        }
        if bare.len() > 512 || !bare.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("it is not a token: at most 512 printable characters without spaces");
        }
        Ok(Self(bare.to_owned()))
    }

    /// The token itself, for the edge that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Token(redacted)")
    }
}

/// Names the bot of a token without saying it: the first 16 bytes of a SHA-256. Kept in memory only.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub [u8; 16]);

impl fmt::Debug for Fingerprint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Fingerprint(redacted)")
    }
}

/// What the Secret held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSeen {
    /// A token.
    Present(Fingerprint),
    /// There is no such Secret.
    SecretMissing,
    /// The Secret has no such key; these are the keys it has.
    KeyMissing(Vec<String>),
    /// The value is no token; why, without saying it.
    Unusable(&'static str),
}

/// What is known from Discord: its last answer, and why there is no newer one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiscordSeen {
    /// The last good answer; none after the token was refused.
    pub answer: Option<GatewaySeen>,
    /// Why the last try gave none.
    pub problem: Option<DiscordProblem>,
}

/// Discord's answer to `GET /gateway/bot`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GatewaySeen {
    /// The recommended total.
    pub shards: u32,
    /// IDENTIFYs per 24 hours.
    pub total: u32,
    /// What is left of them.
    pub remaining: u32,
    /// When they are full again.
    pub resets_at: Timestamp,
    /// How many shards may identify in the same 5 s.
    pub max_concurrency: u32,
    /// When Discord was asked.
    pub asked_at: Timestamp,
}

/// Why Discord gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiscordProblem {
    /// 401: the token is not valid.
    TokenRefused,
    /// Anything else; for people, without the token.
    Unreachable(String),
}

/// An object that exists at a name this bot uses.
#[derive(Clone, Debug, PartialEq)]
pub struct Child {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its resourceVersion.
    pub version: String,
    /// Its generation: it rises with its spec alone.
    pub generation: i64,
    /// Whether this bot is its controller, by UID.
    pub ours: bool,
    /// Whether some ShardedBot is among its owners.
    pub of_a_bot: bool,
    /// Whether it is on its way out.
    pub deleting: bool,
    /// Of a StatefulSet: who else wrote to its spec.
    pub hand: Option<Hand>,
    /// The object as it stands, as far as a plan looks; of what is not ours nothing.
    pub live: Value,
}

/// Who wrote to the spec of a StatefulSet of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hand {
    /// Anybody, and not to what pods are made from.
    Beside,
    /// `kubectl rollout restart`, or who restarts by the same annotation, which restarts nothing here.
    Rollout,
    /// Anybody else.
    Somebody,
}

impl Child {
    /// Of a StatefulSet of ours: the number of its layout, the end of its name, which nobody can edit.
    #[must_use]
    pub fn layout(&self) -> Option<u32> {
        self.name.rsplit_once('-')?.1.parse().ok()
    }

    /// A label's value.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        self.live.get("metadata")?.get("labels")?.get(key)?.as_str()
    }

    /// An annotation's value.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.live.get("metadata")?.get("annotations")?.get(key)?.as_str()
    }
}

/// How far a pod is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its containers were not started yet.
    Pending,
    /// Its containers were started and have not ended for good, or nobody knows.
    Running,
    /// Its containers have ended for good: it holds nothing up.
    Ended,
}

/// A pod of the bot.
#[derive(Clone, Debug, PartialEq)]
pub struct PodSeen {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Number of its layout.
    pub layout: u32,
    /// Its ordinal.
    pub ordinal: u32,
    /// When it was made.
    pub made: Option<Timestamp>,
    /// Whether Kubernetes calls it ready.
    pub ready: bool,
    /// Whether it is on its way out.
    pub deleting: bool,
    /// When the time that it has for its way out is over.
    pub grace_ends: Option<Timestamp>,
    /// Who keeps its object although it is on its way out; the first few.
    pub finalizers: Vec<String>,
    /// How far it is, as far as the API server knows.
    pub phase: Phase,
    /// The node that it is bound to.
    pub node: Option<String>,
    /// How long nothing was heard of it.
    pub silent: Duration,
    /// Why it does not run, if the kubelet or the scheduler says so.
    pub trouble: Option<String>,
    /// Its last report, unless it is too old.
    pub report: Option<Report>,
}

/// What the gate counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GateFigures {
    /// What is left of the daily budget, counted down by grants.
    pub remaining: u32,
    /// Shards that wait for a grant.
    pub waiting: u32,
    /// Why the breaker is open, if it is: IDENTIFYs were burned without READY, and one probe at a time is let through.
    pub breaker: Option<Tripped>,
    /// IDENTIFYs of this token that nobody here was granted, since Discord's answers show them: somebody else uses it too.
    pub unattributed: u32,
    /// Whether this leader has compared Discord's count with its grants at least once; before that, none are known.
    pub judged: bool,
    /// Pods that may be identifying by the fallback schedule, as far as the gate can know.
    pub on_fallback_schedule: u32,
    /// Shards that have to wait after IDENTIFYs that failed or sessions that ended soon.
    pub backing_off: Option<BackingOff>,
}

/// Shards that back off; those that came online meanwhile are among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackingOff {
    /// How many.
    pub shards: u32,
    /// The longest that one of them has to wait, in seconds.
    pub longest_seconds: u64,
}

/// An open breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tripped {
    /// IDENTIFYs in a row that did not reach READY.
    pub failures: u32,
    /// How long until the next probe, in seconds.
    pub next_probe_seconds: u64,
}

/// What one round does, with no choice left.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What to do, in this order; the first refusal ends it.
    pub steps: Vec<Step>,
    /// Pods whose kubelets are to look at the token's Secret now; nothing hangs on it.
    pub remounts: Vec<Remount>,
    /// How the gate is set.
    pub gate: GateSetting,
    /// The layouts that exist, as pods are told.
    pub layouts: Vec<shard_contract::layouts::Layout>,
    /// How things stand.
    pub verdict: Verdict,
    /// What became of pods on lost nodes, if there are any.
    pub node_loss: Option<Note>,
    /// When to look again, even if nothing happens.
    pub next_check: Duration,
}

/// A pod whose kubelet is to look at the token's Secret now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remount {
    /// Its name.
    pub pod: String,
    /// Its UID.
    pub uid: String,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Ask the API server whether it would accept this, strictly.
    Try(Object),
    /// Make it; it must not exist.
    Create(Object),
    /// Make it so; it exists and is ours.
    Apply(Object),
    /// Make these fields of it so; it exists and is ours.
    Merge(Object),
    /// Replace these fields of its spec, which somebody edited; it exists and is ours.
    PutBack(Object, Hand),
    /// Remove it; it is ours.
    Delete(Kind, String),
    /// Change places of a Secret of ours by JSON Patch; the patch itself tests that it is still as it was read.
    Patch {
        /// Its name.
        secret: String,
        /// The operations of RFC 6902.
        operations: Vec<Value>,
    },
    /// Take this pod of a lost node away without its kubelet's word, if it is still this one.
    ForceDelete {
        /// Its name.
        pod: String,
        /// Its UID.
        uid: String,
    },
}

/// How the gate is set for a bot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GateSetting {
    /// It grants nothing; why, for the pods.
    Closed(String),
    /// It cannot know what it may grant, which pods may know by themselves: they may go on by the fallback schedule. Why.
    Blind(String),
    /// It grants by these limits.
    Open {
        /// The token whose buckets and budget count.
        token: Fingerprint,
        /// Share of the total that only live shards may use, in percent.
        reserve_percent: u32,
        /// What Discord said last.
        gateway: GatewaySeen,
        /// Each layout that may identify, to check what a pod asks for, and to keep clear of its slots.
        layouts: BTreeMap<u32, GateLayout>,
        /// The pods that run, over all layouts: each may be on the fallback schedule until it was heard.
        pods: Vec<GatePod>,
    },
}

/// What the gate must know of a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateLayout {
    /// The total that Discord routes by.
    pub total: u32,
    /// How many pods share it.
    pub pods: u32,
    /// Its slot in the fallback schedule.
    pub fallback_slot: u32,
}

/// What the gate must know of a pod that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatePod {
    /// Its UID.
    pub uid: String,
    /// Number of its layout.
    pub layout: u32,
    /// Its ordinal.
    pub ordinal: u32,
}

/// How things stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The spec is reached, as far as objects go.
    Settled,
    /// Something is under way.
    Moving(Note),
    /// Nothing will happen until a person acts.
    Stalled(Note),
}

/// What came of the steps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Applied {
    /// How many steps were carried out.
    pub done: usize,
    /// Objects that were made or changed, as `Kind/name`.
    pub changed: Vec<String>,
    /// What somebody had edited and was put back, with the way to what he meant.
    pub put_back: Vec<Note>,
    /// What refused the first step that failed.
    pub failure: Option<Failure>,
}

/// A step that failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// The verdict it leads to.
    pub note: Note,
    /// Whether only a person can mend it.
    pub stalled: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    impl PodSeen {
        /// A pod that runs, not yet ready, of which nothing was heard.
        pub(crate) fn running() -> Self {
            Self {
                name: "b-1-0".into(),
                uid: "u".into(),
                layout: 1,
                ordinal: 0,
                made: None,
                ready: false,
                deleting: false,
                grace_ends: None,
                finalizers: Vec::new(),
                phase: Phase::Running,
                node: Some("n".into()),
                silent: Duration::ZERO,
                trouble: None,
                report: None,
            }
        }
    }

    impl Child {
        /// An object of this bot, as it is after it was made.
        pub(crate) fn ours(kind: Kind, name: &str, live: Value) -> Self {
            Self {
                kind,
                name: name.into(),
                uid: format!("uid-of-{name}"),
                version: String::new(),
                generation: 0,
                ours: true,
                of_a_bot: true,
                deleting: false,
                hand: None,
                live,
            }
        }
    }

    // A world in which nothing was found, for tests that say what they are about and no more.
    impl Observed {
        /// Nothing, at the beginning of time; the fleet has been heard.
        pub(crate) fn nothing() -> Self {
            Self {
                now: Timestamp::UNIX_EPOCH,
                addresses: Addresses::default(),
                unreadable: None,
                token: TokenSeen::SecretMissing,
                token_immutable_since: None,
                token_untold: BTreeSet::new(),
                token_bad_for: None,
                rival: None,
                waits_for_others: false,
                refusals: Vec::new(),
                discord: DiscordSeen::default(),
                children: Vec::new(),
                document: None,
                secrets: Vec::new(),
                pods: Vec::new(),
                nodes: BTreeMap::new(),
                heard: true,
                named: BTreeMap::new(),
                contest: Contest::Alone,
                gate: None,
                answers: Answers::default(),
            }
        }
    }

    #[test]
    fn a_token_is_never_printed_and_its_ornaments_do_not_count() {
        let token = Token::new(" Bot abc.def \n").unwrap();
        assert_eq!(token.expose(), "abc.def");
        assert!(!format!("{token:?}").contains("abc"));
        for bad in ["", "  ", "Bot ", "two words", &"x".repeat(600)] {
            assert!(Token::new(bad).is_err(), "{bad:?}");
        }
    }
}
