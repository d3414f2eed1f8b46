//! Calls to the operator: JSON over plain HTTP, with the pod's projected service-account token.
//!
//! From a path and a body to the answer or the reason why there is none; for [`crate::identify::gate`] and [`crate::seen::report`]. The
//! address is read from the layouts document at each call and the bearer from its file, since both may be replaced under
//! a running pod. A 421 that names the leader is followed, at most two hops a call; the leader is then asked first until
//! it fails or says 421 itself. The document's address spreads over replicas, so after each failure there the next try
//! makes a connection of its own instead of going back to the replica that failed.
//!
//! **What counts as an answer.** For the fallback schedule: any answer of a leader, that is a success or a [`Refusal`] that is
//! none of 421, 502 and 504. A leader that says no (403, 429, or 503 because the gate is closed for this bot) must not be gone round by the fallback schedule;
//! replicas that all say 421 and have no leader, as while the API server is away, are no gate, nor is a leader that cannot
//! ask the API server who calls or has too many bodies to read (502, 504), and the fleet must live on without. That is safe, since the gate reckons by the successes that it knows the pod heard, which are fewer. For
//! fencing ([`crate::session::fence`]): any HTTP answer, since it proves that the pod is not cut off; a leader's that says that this pod is gone
//! counts against it ([`Refusal::pod_is_there`]). Deliberately absent: trying
//! again later, which each caller does its own way.

mod answers;

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use reqwest::{Client, Response, StatusCode, Url, redirect};
use serde::Serialize;
use shard_contract::{
    identify::{ANSWER_HEADER, HEARD_HEADER, Refusal},
    layouts::Layouts,
    pace::Pace,
};
use shard_machine::Names;
use tokio::{sync::watch, task::JoinError, time::Instant};

pub(crate) use self::answers::Answers;
use self::answers::{By, Heard};
use crate::edges::resolver::Resolver;

/// How long the TCP connection to the operator may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A call that the gate holds is on a silent connection: probes notice within about ten seconds that the other side is gone.
const PROBE_AFTER: Duration = Duration::from_secs(5);
/// How often one call may be sent on to another replica.
const MAX_HOPS: usize = 2;

/// Where and how to call the operator. Clones share connections and what was learnt.
#[derive(Clone, Debug)]
pub(crate) struct Operator(Arc<Line>);

#[derive(Debug)]
struct Line {
    layouts: watch::Receiver<Layouts>,
    bearer: PathBuf,
    http: Mutex<Client>,
    resolver: Resolver,
    leader: Mutex<Option<Leader>>,
    heard: Heard,
}

/// The replica that leads, as far as known.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Leader {
    base: String,
    /// The document's address under which it was found; another one is another operator.
    of: String,
}

/// A successful answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) response: Response,
    /// When the request that was answered began to be sent.
    pub(crate) sending: Instant,
}

/// A call had no usable answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("the layouts document names no gate address")]
    NoAddress,
    #[error("could not read {}, which proves to the gate which pod is asking", path.display())]
    Bearer { path: PathBuf, source: io::Error },
    #[error("no answer")]
    NoAnswer(#[source] reqwest::Error),
    #[error("no answer in time")]
    Late,
    #[error("refused with {status}: {reason}")]
    Refused { status: StatusCode, reason: String },
    #[error("could not read the answer")]
    Garbled(#[source] reqwest::Error),
    #[error("the call broke off; this is a defect")]
    Broken(#[source] JoinError),
}

/// What follows one try.
enum Next {
    /// Nothing: this is the outcome.
    Done(Result<Answer, CallError>),
    /// Ask there; if that is not allowed any more, the error is the outcome.
    Ask(String, CallError),
}

/// One request as it is sent to each replica alike.
struct Sent<'a, B> {
    path: &'a str,
    bearer: &'a str,
    body: &'a B,
    deadline: Instant,
}

impl Operator {
    pub(crate) fn new(
        layouts: watch::Receiver<Layouts>,
        bearer: PathBuf,
        names: Names,
    ) -> Result<Self, reqwest::Error> {
        let resolver = Resolver::new(names);
        let http = Mutex::new(client(&resolver)?);
        let heard = Heard::new(Instant::now());
        Ok(Self(Arc::new(Line { layouts, bearer, http, resolver, leader: Mutex::new(None), heard })))
    }

    /// Posts `body` and returns the successful answer, of whichever replica gave it, within `timeout` in all.
    pub(crate) async fn post(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
        timeout: Duration,
    ) -> Result<Answer, CallError> {
        let line = &*self.0;
        let bearer = std::fs::read_to_string(&line.bearer)
            .map_err(|source| CallError::Bearer { path: line.bearer.clone(), source })?;
        let sent = Sent { path, bearer: bearer.trim(), body, deadline: Instant::now() + timeout };
        let mut base = line.first()?;
        let mut hops = 0;
        loop {
            match line.ask(&base, &sent).await {
                Next::Done(outcome) => return outcome,
                Next::Ask(elsewhere, error) => {
                    if hops == MAX_HOPS || Instant::now() >= sent.deadline {
                        return Err(error);
                    }
                    base = elsewhere;
                }
            }
            hops += 1;
        }
    }

    /// When a leader, and when any replica, answered last; before the first answer: when the pod began, or what was said then.
    pub(crate) fn answers(&self) -> Answers {
        self.0.heard.answers()
    }

    /// Nobody has answered this pod since then.
    pub(crate) fn silent_since(self, at: Instant) -> Self {
        self.0.heard.silent_since(at);
        self
    }

    /// Wakes its holder after each answer.
    pub(crate) fn watch_answers(&self) -> watch::Receiver<Answers> {
        self.0.heard.watch()
    }

    /// No call that is made before then names an answer, so that the gate still keeps clear of this pod's last slot.
    pub(crate) fn name_from(&self, at: Instant) {
        self.0.heard.name_from(at);
    }

    /// How fast Discord's time passes, as the document says now.
    pub(crate) fn pace(&self) -> Pace {
        self.0.layouts.borrow().discord.time_factor
    }

    /// The document as it is now.
    pub(crate) fn layouts(&self) -> watch::Ref<'_, Layouts> {
        self.0.layouts.borrow()
    }
}

#[cfg(test)]
impl Operator {
    /// As if the last answer had come then.
    pub(crate) fn heard_last(self, at: Instant) -> Self {
        self.0.heard.pretend(at);
        self
    }

    /// From when on calls name an answer.
    pub(crate) fn names_from(&self) -> Option<Instant> {
        self.0.heard.names_from()
    }
}

impl Line {
    /// The document's address, without a trailing slash.
    fn address(&self) -> Result<String, CallError> {
        let base = self.layouts.borrow().gate.url.trim_end_matches('/').to_owned();
        if base.is_empty() { Err(CallError::NoAddress) } else { Ok(base) }
    }

    /// Whom to ask first.
    fn first(&self) -> Result<String, CallError> {
        let address = self.address()?;
        let leader = lock(&self.leader).clone().filter(|leader| leader.of == address);
        Ok(leader.map_or(address, |leader| leader.base))
    }

    /// One try at one replica.
    async fn ask<B: Serialize + Sync>(&self, base: &str, sent: &Sent<'_, B>) -> Next {
        let sending = Instant::now();
        let http = lock(&self.http).clone();
        let mut request = http
            .post(format!("{base}{}", sent.path))
            .bearer_auth(sent.bearer)
            .timeout(sent.deadline.saturating_duration_since(sending))
            .json(sent.body);
        if let Some(word) = self.heard.word(sending) {
            request = request.header(HEARD_HEADER, word);
        }
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return self.leave(base, no_answer(error)),
        };
        let now = Instant::now();
        let status = response.status();
        if status.is_success() {
            self.heard.success(response.headers().get(ANSWER_HEADER), now);
            return Next::Done(Ok(Answer { response, sending }));
        }
        self.refused(base, status, response.json().await.ok(), now)
    }

    /// A replica answered, and not with a success.
    fn refused(&self, base: &str, status: StatusCode, refusal: Option<Refusal>, now: Instant) -> Next {
        let replica = refusal.is_some();
        self.heard.refusal(by(status, refusal.as_ref()), now);
        let (reason, leader) = match refusal {
            Some(refusal) => (refusal.error, refusal.leader),
            None => ("(no reason given)".to_owned(), None),
        };
        let error = CallError::Refused { status, reason };
        // A leader that only cannot grant stays the one to ask.
        if replica && status != StatusCode::MISDIRECTED_REQUEST {
            return Next::Done(Err(error));
        }
        let leader = leader.filter(|_| status == StatusCode::MISDIRECTED_REQUEST);
        match leader.as_deref().and_then(usable).filter(|leader| leader != base) {
            Some(leader) => {
                if let Ok(of) = self.address() {
                    *lock(&self.leader) = Some(Leader { base: leader.clone(), of });
                }
                Next::Ask(leader, error)
            }
            None => self.leave(base, error),
        }
    }

    /// This replica does not help: forgets it, also its connections, and goes by the document's address again.
    fn leave(&self, base: &str, error: CallError) -> Next {
        if let Ok(http) = client(&self.resolver) {
            *lock(&self.http) = http;
        }
        let mut leader = lock(&self.leader);
        if leader.as_ref().is_some_and(|leader| leader.base == base) {
            *leader = None;
        }
        match self.address() {
            Ok(address) if address != base => Next::Ask(address, error),
            _ => Next::Done(Err(error)),
        }
    }
}

/// Who refuses with this status: whether it leads, so that it could grant what another asks for, and whether this pod is gone to it.
fn by(status: StatusCode, refusal: Option<&Refusal>) -> By {
    let Some(refusal) = refusal else { return By::Another };
    match status {
        StatusCode::MISDIRECTED_REQUEST | StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => {
            By::Another
        }
        _ if refusal.pod_is_there == Some(false) => By::Stranger,
        _ => By::Leader,
    }
}

fn client(resolver: &Resolver) -> Result<Client, reqwest::Error> {
    Client::builder()
        .dns_resolver(resolver.clone())
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_keepalive(PROBE_AFTER)
        .tcp_keepalive_interval(Duration::from_secs(2))
        .tcp_keepalive_retries(3)
        // The bearer is for the operator alone.
        .redirect(redirect::Policy::none())
        .no_proxy()
        .build()
}

fn no_answer(error: reqwest::Error) -> CallError {
    if error.is_timeout() && !error.is_connect() { CallError::Late } else { CallError::NoAnswer(error) }
}

/// The base URL of a leader that may be asked, without a trailing slash.
fn usable(leader: &str) -> Option<String> {
    let url = Url::parse(leader).ok()?;
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    (matches!(url.scheme(), "http" | "https") && url.has_host() && plain && url.fragment().is_none())
        .then(|| leader.trim_end_matches('/').to_owned())
}

/// What is kept stays usable when a task panicked: each change is one assignment.
fn lock<T>(kept: &Mutex<T>) -> MutexGuard<'_, T> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
