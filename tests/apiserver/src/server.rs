//! The server: everything that is kept, and what a test may do to it.
//!
//! From a CRD, a clock and a seed to services by identity. All calls are carried out one after the other, each at once. Guarantees:
//! the same calls at the same times give the same answers. Deliberately absent: who may do what.

use crate::clock::Clock;
use crate::hooks::{Call, Hook, Nobody, Written};
use crate::kinds::Kinds;
use crate::schema::SchemaError;
use crate::service::Service;
use crate::store::Store;
use crate::tokens::Tokens;
use crate::{After, Before, collect, meta, tokens};
use kube::Client;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Changes that are kept for watches and older lists.
const HISTORY: usize = 4_096;
/// What generated names end with, as the real server has it: no vowels, nothing that is mistaken.
const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// How a server is made.
pub struct Options {
    /// The CRD, as YAML.
    pub definition: String,
    /// Its time.
    pub clock: Clock,
    /// What UIDs and generated names come from.
    pub seed: u64,
    /// Changes that are kept.
    pub history: usize,
}

impl Options {
    /// With a CRD and otherwise as usual.
    #[must_use]
    pub fn new(definition: impl Into<String>) -> Self {
        Self { definition: definition.into(), clock: Clock::default(), seed: 0, history: HISTORY }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("seed", &self.seed)
            .field("history", &self.history)
            .finish_non_exhaustive()
    }
}

/// An API server. Its clones are the same server.
#[derive(Clone)]
pub struct Server(Arc<Mutex<State>>);

/// What is kept.
pub(crate) struct State {
    pub(crate) kinds: Arc<Kinds>,
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) tokens: Tokens,
    hook: Box<dyn Hook>,
    trace: Vec<Written>,
    seed: u64,
    made: u64,
}

/// Why a call ends without its answer.
#[derive(Debug)]
pub(crate) enum Stop {
    Refused(crate::status::Refusal),
    Broken,
    Silent,
}

impl From<crate::status::Refusal> for Stop {
    fn from(refusal: crate::status::Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Server {
    /// A server that has nothing but the namespaces `default` and `kube-system`.
    ///
    /// # Errors
    /// When the CRD has something that is not known here.
    pub fn new(options: Options) -> Result<Self, SchemaError> {
        let Options { definition, clock, seed, history } = options;
        let mut state = State {
            kinds: Arc::new(Kinds::new(&definition)?),
            store: Store::new(history),
            clock,
            tokens: Tokens::default(),
            hook: Box::new(Nobody),
            trace: Vec::new(),
            seed,
            made: 0,
        };
        for name in ["default", "kube-system"] {
            crate::write::make_namespace(&mut state, name);
        }
        Ok(Self(Arc::new(Mutex::new(state))))
    }

    /// A client with an identity and a namespace.
    #[must_use]
    pub fn client(&self, user: &str, namespace: &str) -> Client {
        Client::new(self.service(user), namespace)
    }

    /// What such a client calls.
    #[must_use]
    pub fn service(&self, user: &str) -> Service {
        Service::new(self.clone(), user.to_owned())
    }

    /// Has somebody take part from now on, in the place of whoever did.
    pub fn hook(&self, hook: impl Hook + 'static) {
        self.state().hook = Box::new(hook);
    }

    /// Nobody takes part any more.
    pub fn unhook(&self) {
        self.state().hook = Box::new(Nobody);
    }

    /// Everything that was written since this was last asked, in order.
    #[must_use]
    pub fn take_trace(&self) -> Vec<Written> {
        std::mem::take(&mut self.state().trace)
    }

    /// Forgets the history: older versions are answered with 410 from now on, and watches that have not seen it end so.
    pub fn compact(&self) {
        self.state().store.compact();
    }

    /// Ends every watch with 410, as when the server that it stands on has started anew: whoever watches lists again.
    pub fn expire_watches(&self) {
        self.state().store.expire();
    }

    /// One step of the garbage collector: what belongs to nobody that is there goes, and foreground deletions that have nothing
    /// left to wait for end. Returns how many objects it changed; a test calls it until that is 0.
    #[must_use]
    pub fn collect_garbage(&self) -> usize {
        collect::step(&mut self.state())
    }

    /// The newest version.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.state().store.version()
    }

    /// Whether tokens that are bound to the pod of this UID are still its own.
    #[must_use]
    pub fn knows_pod(&self, uid: &str) -> bool {
        let state = self.state();
        let pods = state.store.shelf("pods");
        pods.values().any(|pod| meta::uid(pod) == uid && tokens::are_valid_of(pod, state.clock.now()))
    }

    /// The UID of an object, if it is there: `plural` with its group, such as `statefulsets.apps`.
    #[must_use]
    pub fn uid_of(&self, plural: &str, namespace: &str, name: &str) -> Option<String> {
        let key = (plural.to_owned(), format!("{namespace}/{name}"));
        self.state().store.get(&key).map(|object| meta::uid(object).to_owned())
    }

    /// The version of the last change to objects of this kind: `plural` with its group, such as `statefulsets.apps`.
    #[must_use]
    pub fn version_of(&self, plural: &str) -> u64 {
        self.state().store.last(plural)
    }

    /// Every object as it is kept, with the `plural` of its kind and its group, such as `statefulsets.apps`.
    #[must_use]
    pub fn objects(&self) -> Vec<(String, Value)> {
        self.state().store.all().map(|(key, object)| (key.0.clone(), Value::clone(object))).collect()
    }

    /// An object as it is kept, for assertions: `plural` with its group, such as `statefulsets.apps`.
    #[must_use]
    pub fn object(&self, plural: &str, namespace: &str, name: &str) -> Option<Value> {
        let key = (plural.to_owned(), format!("{namespace}/{name}"));
        self.state().store.get(&key).map(|object| Value::clone(object))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

impl State {
    /// Sixteen bytes that nobody had before.
    fn fresh(&mut self) -> [u8; 16] {
        self.made += 1;
        let digest =
            Sha256::new().chain_update(self.seed.to_be_bytes()).chain_update(self.made.to_be_bytes());
        let digest = digest.finalize();
        std::array::from_fn(|at| digest[at])
    }

    /// A UID in the usual shape.
    pub(crate) fn uid(&mut self) -> String {
        let mut bytes = self.fresh();
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let mut text = String::new();
        for (at, byte) in bytes.iter().enumerate() {
            let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
            // Writing to a String cannot fail.
            let _ = write!(text, "{dash}{byte:02x}");
        }
        text
    }

    /// Five letters for the end of a name.
    pub(crate) fn suffix(&mut self) -> String {
        let bytes = self.fresh();
        bytes.iter().take(5).map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()])).collect()
    }

    /// Asks whether a write may be done.
    pub(crate) fn begin(&mut self, call: &Call) -> Result<(), Stop> {
        stop(self.hook.before(call))
    }

    /// Asks whether a read may be done.
    pub(crate) fn read(&mut self, call: &Call) -> Result<(), Stop> {
        stop(self.hook.read(call))
    }

    /// As of which version a read is answered that asks for the newest.
    pub(crate) fn as_of(&mut self, call: &Call) -> Option<u64> {
        self.hook.as_of(call)
    }

    /// Whether a watch tells of a change.
    pub(crate) fn tells(&mut self, call: &Call, version: u64) -> bool {
        self.hook.tells(call, version)
    }

    /// Tells of a write that was done.
    pub(crate) fn end(&mut self, call: &Call, version: u64) -> Result<(), Stop> {
        let written = Written { call: call.clone(), version };
        let after = self.hook.after(&written);
        self.trace.push(written);
        match after {
            After::Answer => Ok(()),
            After::Break => Err(Stop::Broken),
            After::Hang => Err(Stop::Silent),
        }
    }
}

fn stop(before: Before) -> Result<(), Stop> {
    match before {
        Before::GoOn => Ok(()),
        Before::Refuse(status) => Err(Stop::Refused(crate::status::Refusal(Box::new(status)))),
        Before::Break => Err(Stop::Broken),
        Before::Hang => Err(Stop::Silent),
    }
}
