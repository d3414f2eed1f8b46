//! The gate: hands out permission to IDENTIFY, one task per token.
//!
//! From pods' calls and the limits that plans set, to grants by the rules of [`rules`], given by the tasks of [`keeper`]. It is
//! part of the world for the reconcile loop, which sets its limits and reads its figures and never calls it otherwise. It
//! starts closed: a fresh leader grants nothing before one identify window has passed and Discord's budget is known, and
//! nobody grants without the lease. Each answer is named by a word that tells when it was given, so that a pod that repeats the
//! word has surely heard it. Deliberately absent: HTTP, and who may call.

mod caller;
mod held;
mod keeper;
pub mod rules;
mod totals;

use crate::lease::Leadership;
use crate::model::{Fingerprint, GateFigures, GateLayout, GateSetting, GatewaySeen};
pub use caller::{Caller, Refused};
use held::Held;
use k8s_openapi::jiff::Timestamp;
use keeper::{Command, Keeper, Setting, millis, moment};
pub use keeper::{Counted, Grants};
use rand::Rng as _;
use rules::{DiscordTime, Limits, Millis, Request};
use shard_contract::identify::{IdentifyAnswer, IdentifyRequest, Outcome};
use shard_contract::layout::shards_of;
use shard_contract::pace::Pace;
use shard_machine::{Machine, Tasks, WallClock};
use shard_serve::Shares;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;
pub use totals::GateTotals;

/// Calls of one pod that may wait. A pod needs one, and a few more while connections break.
const MOST_OF_A_POD: usize = 8;
/// Calls that may wait in all.
const MOST: usize = 50_000;

/// The gate's handle.
#[derive(Clone)]
pub struct Gate {
    /// Whether this installation keeps the bots of a namespace at this moment.
    is_kept: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    started: Instant,
    /// What no other leader begins its words with.
    leader: u64,
    wall: WallClock,
    tasks: Tasks,
    pace: Pace,
    leadership: watch::Receiver<Leadership>,
    inner: Arc<Mutex<Inner>>,
    /// Calls that may still come to wait, and those that wait, by the pod's UID.
    places: Arc<Semaphore>,
    held: Shares<String>,
}

/// Total, pods and fallback slot of each layout that may identify.
type Layouts = BTreeMap<u32, GateLayout>;

#[derive(Debug, Default)]
struct Inner {
    closed: bool,
    bots: BTreeMap<(String, String), GateSetting>,
    tokens: BTreeMap<Fingerprint, TokenGate>,
    /// Tokens whose gates were closed, since another installation may have granted to them; the next ones open as a fresh leader's.
    anew: BTreeSet<Fingerprint>,
}

#[derive(Clone, Debug)]
struct TokenGate {
    commands: mpsc::Sender<Command>,
    counted: watch::Receiver<Counted>,
    /// Discord's last answer and the limits that follow from it, taken when it was new: the wall clock may jump later.
    limits: Option<(Timestamp, Limits)>,
}

impl Gate {
    /// A gate that grants while this process leads and its installation keeps the bot's namespace, for a Discord whose time passes so fast.
    #[must_use]
    pub fn new(
        pace: Pace,
        leadership: watch::Receiver<Leadership>,
        is_kept: impl Fn(&str) -> bool + Send + Sync + 'static,
        machine: &Machine,
    ) -> Self {
        Self {
            is_kept: Arc::new(is_kept),
            started: Instant::now(),
            leader: machine.random.rng().random(),
            wall: machine.wall.clone(),
            tasks: machine.tasks.clone(),
            pace,
            leadership,
            inner: Arc::default(),
            places: Arc::new(Semaphore::new(MOST)),
            held: Shares::new(MOST_OF_A_POD),
        }
    }

    /// Sets the gate for a bot, as planned.
    pub async fn set(&self, namespace: &str, bot: &str, setting: GateSetting) {
        let order = {
            let mut inner = self.lock();
            inner.bots.insert((namespace.to_owned(), bot.to_owned()), setting.clone());
            match setting {
                GateSetting::Open { token, reserve_percent, gateway, layouts, pods } => {
                    let gate = self.of_token(&mut inner, token);
                    let limits = match gate.limits {
                        Some((asked_at, limits)) if asked_at == gateway.asked_at => limits,
                        _ => self.limits(&gateway),
                    };
                    gate.limits = Some((gateway.asked_at, limits));
                    let limits = Limits { reserve_percent, ..limits };
                    Some((gate.commands.clone(), Setting { limits, layouts, pods }))
                }
                GateSetting::Closed(_) | GateSetting::Blind(_) => None,
            }
        };
        if let Some((commands, setting)) = order {
            // The task ends only with the gate, so a failed send means that this round ends too.
            let _ = commands.send(Command::Set(Box::new(setting))).await;
        }
    }

    /// Drops what is a bot's own once it is gone: what its pods are let in by and its figures are told by. What is its token's
    /// stays, since another bot may hold the token at once: buckets, budget and the grants under way. Which shards failed is
    /// forgotten with the last bot of the token: the next one's layouts have the same numbers.
    pub fn forget(&self, namespace: &str, bot: &str) {
        let mut inner = self.lock();
        if let Some(token) = inner.remove(namespace, bot)
            && let Some(gate) = inner.tokens.get(&token)
        {
            // Where there is no room for it, shards wait a while longer than they need.
            let _ = gate.commands.try_send(Command::Anew);
        }
    }

    /// Forgets a bot that another installation may have granted to, and its token's gate if no other bot here has the token: of what was
    /// granted since, and of what pods heard, this one knows nothing.
    pub fn begin_anew(&self, namespace: &str, bot: &str) {
        let mut inner = self.lock();
        if let Some(token) = inner.remove(namespace, bot)
            && let Some(TokenGate { commands, .. }) = inner.tokens.remove(&token)
        {
            inner.anew.insert(token);
            // It must not grant to those that wait beside the one that is opened next.
            self.tasks.spawn(async move { commands.send(Command::Close).await });
        }
    }

    /// Holds a pod's call until one of its shards may identify, or says when to ask again.
    ///
    /// # Errors
    /// [`Refused`] when the gate is closed for the bot, the request is not the caller's to make, or too many calls wait.
    pub async fn identify(
        &self,
        caller: &Caller,
        request: IdentifyRequest,
    ) -> Result<IdentifyAnswer, Refused> {
        let commands = self.check(caller, &request)?;
        let _held = self.hold(caller)?;
        let (reply, answer) = oneshot::channel();
        let IdentifyRequest { layout, shards, priority } = request.clone();
        let mut seen = BTreeSet::new();
        let shards = shards.into_iter().filter(|shard| seen.insert(*shard)).collect();
        let ask = Command::Ask {
            pod: caller.uid.clone(),
            request: Request { layout, shards, priority },
            arrived: Instant::now(),
            reply,
        };
        let ended = || Refused::Closed("the operator is stopping; ask again".into());
        commands.send(ask).await.map_err(|_| ended())?;
        let answer = answer.await.map_err(|_| ended())?;
        if let IdentifyAnswer::Granted { grant, .. } = answer
            && let Err(refused) = self.check(caller, &request)
        {
            // The gate was closed for it while it waited.
            let unused = Command::Outcome { pod: caller.uid.clone(), grant, outcome: Outcome::Unused };
            let _ = commands.send(unused).await;
            return Err(refused);
        }
        self.check_claim(caller)?;
        Ok(answer)
    }

    /// Takes note of what became of a grant.
    ///
    /// # Errors
    /// [`Refused::Closed`] when the bot has no gate.
    pub async fn identified(&self, caller: &Caller, grant: u64, outcome: Outcome) -> Result<(), Refused> {
        let commands = self.lock().of(caller)?.1.commands.clone();
        commands
            .send(Command::Outcome { pod: caller.uid.clone(), grant, outcome })
            .await
            .map_err(|_| Refused::Closed("the operator is stopping".into()))
    }

    /// Whether an answer to this pod would let it believe that the gate can grant, and it cannot: such an answer is not named, so that
    /// both sides count the time since the last one that was.
    #[must_use]
    pub fn is_blind(&self, caller: &Caller) -> bool {
        !(self.is_kept)(&caller.namespace) || matches!(self.lock().of(caller), Err(Refused::Blind(_)))
    }

    /// The word for an answer that is given now.
    #[must_use]
    pub fn word(&self) -> String {
        format!("{:016x}-{}", self.leader, moment(self.started, Instant::now()).0)
    }

    /// Takes note of the word that a call repeats. Words of other leaders, and what is no word, change nothing.
    pub fn heard(&self, caller: &Caller, word: &str) {
        let given_at = word.split_once('-').and_then(|(leader, at)| {
            let ours = u64::from_str_radix(leader, 16).ok()? == self.leader;
            at.parse().ok().filter(|_| ours).map(Millis)
        });
        let Some(given_at) = given_at else { return };
        let commands = self.lock().of(caller).ok().map(|(_, gate)| gate.commands.clone());
        if let Some(commands) = commands {
            // A full channel: the pod's next call says it again.
            let _ = commands.try_send(Command::Heard { pod: caller.uid.clone(), given_at });
        }
    }

    /// Takes note of what Discord's clock showed, in milliseconds since 1970, in an answer to a question of this token.
    pub fn dated(&self, token: Fingerprint, said_ms: u64, asked_at: Instant, answered_at: Instant) {
        let at = |instant| moment(self.started, instant);
        // Cut to whole milliseconds, so the answer may have come one later.
        let time = DiscordTime { said_ms, asked_at: at(asked_at), answered_at: at(answered_at).after(1) };
        let commands = self.of_token(&mut self.lock(), token).commands.clone();
        // A full channel: Discord is asked again within a minute.
        let _ = commands.try_send(Command::Time(time));
    }

    /// Closes for good: answers everybody who waits and grants nothing more. A successor may begin to grant 9 s after its
    /// own start, so this comes before anything else that ends the process.
    pub async fn close(&self) {
        let tokens: Vec<_> = {
            let mut inner = self.lock();
            inner.closed = true;
            inner.tokens.values().map(|gate| gate.commands.clone()).collect()
        };
        for commands in tokens {
            // A task that has ended already grants nothing either.
            let _ = commands.send(Command::Close).await;
            commands.closed().await;
        }
    }

    /// What the gate counted for a token.
    #[must_use]
    pub fn figures(&self, token: Fingerprint) -> Option<GateFigures> {
        let inner = self.lock();
        inner.tokens.get(&token)?.counted.borrow().figures
    }

    /// What it counted for each bot that it grants to, by namespace and name.
    #[must_use]
    pub fn counted(&self) -> Vec<(String, String, Counted)> {
        let inner = self.lock();
        let of = |((namespace, bot), setting): (&(String, String), &GateSetting)| {
            let GateSetting::Open { token, .. } = setting else { return None };
            (self.is_kept)(namespace).then_some(())?;
            let counted = *inner.tokens.get(token)?.counted.borrow();
            Some((namespace.clone(), bot.clone(), counted))
        };
        inner.bots.iter().filter_map(of).collect()
    }

    /// Sums over all tokens.
    #[must_use]
    pub fn totals(&self) -> GateTotals {
        self.lock().tokens.values().map(|gate| *gate.counted.borrow()).sum()
    }

    /// Whether this process leads now.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.leadership.borrow().holds(Instant::now())
    }

    fn check(&self, caller: &Caller, request: &IdentifyRequest) -> Result<mpsc::Sender<Command>, Refused> {
        if request.shards.is_empty() || request.shards.len() > 256 {
            let found = request.shards.len();
            return Err(Refused::Malformed(format!(
                "shards: found {found}; name 1 to 256 shards of this pod"
            )));
        }
        self.check_claim(caller)?;
        let inner = self.lock();
        let (layouts, gate) = inner.of(caller)?;
        if request.layout != caller.layout {
            return Err(Refused::NotYours(format!(
                "layout: found {}; pod {} belongs to layout {}",
                request.layout, caller.pod, caller.layout
            )));
        }
        let &GateLayout { total, pods, fallback_slot: _ } = layouts.get(&caller.layout).ok_or_else(|| {
            Refused::Closed(format!("layout {} is not among those that may identify now", caller.layout))
        })?;
        let own = shards_of(caller.ordinal, pods, total);
        match request.shards.iter().find(|shard| !own.contains(shard)) {
            None => Ok(gate.commands.clone()),
            Some(strange) => Err(Refused::NotYours(format!(
                "shards: found {strange}; pod {} holds {} to {} of {total}",
                caller.pod,
                own.start,
                own.end.saturating_sub(1)
            ))),
        }
    }

    fn check_claim(&self, caller: &Caller) -> Result<(), Refused> {
        if (self.is_kept)(&caller.namespace) {
            return Ok(());
        }
        Err(Refused::Blind(format!(
            "this installation does not keep the bots of namespace {} now; ask again",
            caller.namespace
        )))
    }

    /// Counts a call among those that wait, until what is returned is dropped, with the call or before.
    fn hold(&self, caller: &Caller) -> Result<Held, Refused> {
        let place = self.places.clone().try_acquire_owned();
        let place =
            place.map_err(|_| Refused::TooMany(format!("{MOST} calls wait already; ask again later")))?;
        let share = self.held.take(caller.uid.clone()).ok_or_else(|| {
            Refused::TooMany(format!(
                "{MOST_OF_A_POD} calls of pod {} wait already; wait for their answers",
                caller.pod
            ))
        })?;
        Ok(Held::new(place, share))
    }

    fn of_token<'a>(&self, inner: &'a mut Inner, token: Fingerprint) -> &'a mut TokenGate {
        let not_before = inner.anew.remove(&token).then(Instant::now);
        inner.tokens.entry(token).or_insert_with(|| self.open(not_before))
    }

    fn open(&self, not_before: Option<Instant>) -> TokenGate {
        let (commands, receiver) = mpsc::channel(4_096);
        let (sender, counted) = watch::channel(Counted::default());
        let keeper = Keeper {
            started: self.started,
            // Small enough to be counted from, and for readers of JSON that know no larger integers.
            // A token's gate may be opened twice, and grants of the first be spoken of at the second.
            numbered_from: (self.leader >> 16) + moment(self.started, Instant::now()).0,
            pace: self.pace,
            leadership: self.leadership.clone(),
            not_before,
            commands: receiver,
            counted: sender,
        };
        self.tasks.spawn(keeper.run());
        TokenGate { commands, counted, limits: None }
    }

    /// From Discord's answer, which speaks of wall-clock time, to the gate's own clock.
    fn limits(&self, gateway: &GatewaySeen) -> Limits {
        let now = moment(self.started, Instant::now());
        let ago = self.wall.now().duration_since(gateway.asked_at).unsigned_abs();
        let until = self.wall.now().duration_until(gateway.resets_at);
        let reset = if until.is_negative() { Duration::ZERO } else { until.unsigned_abs() };
        Limits {
            total: gateway.total,
            remaining: gateway.remaining,
            asked_at: Millis(now.0.saturating_sub(millis(ago))),
            resets_at: now.after(millis(reset)),
            max_concurrency: gateway.max_concurrency,
            reserve_percent: 0,
            pace: self.pace,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Removes a bot; returns the token that no other bot holds since.
    fn remove(&mut self, namespace: &str, bot: &str) -> Option<Fingerprint> {
        let GateSetting::Open { token, .. } = self.bots.remove(&(namespace.to_owned(), bot.to_owned()))?
        else {
            return None;
        };
        let holds = |setting: &GateSetting| matches!(setting, GateSetting::Open { token: held, .. } if *held == token);
        (!self.bots.values().any(holds)).then_some(token)
    }

    fn of(&self, caller: &Caller) -> Result<(&Layouts, &TokenGate), Refused> {
        if self.closed {
            return Err(Refused::Closed("the operator is stopping; ask again".into()));
        }
        let unknown =
            || Refused::Closed(format!("the operator has not planned for {} yet; ask again", caller.bot));
        match self.bots.get(&(caller.namespace.clone(), caller.bot.clone())).ok_or_else(unknown)? {
            GateSetting::Closed(why) => Err(Refused::Closed(why.clone())),
            GateSetting::Blind(why) => Err(Refused::Blind(why.clone())),
            GateSetting::Open { token, layouts, .. } => {
                Ok((layouts, self.tokens.get(token).ok_or_else(unknown)?))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::GatePod;
    use k8s_openapi::jiff::SignedDuration;
    use shard_contract::identify::{HOLD_MS, Priority};

    fn pod(ordinal: u32) -> Caller {
        Caller {
            namespace: "bots".into(),
            bot: "mybot".into(),
            layout: 1,
            ordinal,
            pod: format!("mybot-1-{ordinal}"),
            uid: format!("u{ordinal}"),
        }
    }

    fn asks(ordinal: u32) -> IdentifyRequest {
        IdentifyRequest { layout: 1, shards: vec![ordinal], priority: Priority::Live }
    }

    /// Sixteen pods of one shard each, one bucket.
    async fn open(pods: Vec<GatePod>) -> (Gate, watch::Sender<Leadership>) {
        let since = Instant::now();
        let leading = Leadership::Leading { since, until: since + Duration::from_secs(86_400) };
        let (sender, leadership) = watch::channel(leading);
        let gate = Gate::new(Pace::REAL, leadership, |_| true, &Machine::this());
        gate.set("bots", "mybot", opened(pods)).await;
        (gate, sender)
    }

    fn opened(pods: Vec<GatePod>) -> GateSetting {
        let now = Timestamp::now();
        GateSetting::Open {
            token: Fingerprint([1; 16]),
            reserve_percent: 20,
            gateway: GatewaySeen {
                shards: 16,
                total: 1_000,
                remaining: 900,
                resets_at: now + SignedDuration::from_hours(1),
                max_concurrency: 1,
                asked_at: now,
            },
            layouts: BTreeMap::from([(1, GateLayout { total: 16, pods: 16, fallback_slot: 1 })]),
            pods,
        }
    }

    fn grant(answer: &IdentifyAnswer) -> Option<u64> {
        match answer {
            IdentifyAnswer::Granted { grant, .. } => Some(*grant),
            IdentifyAnswer::NotYet { .. } => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_fresh_leader_holds_calls_until_its_opening_is_over_and_answers_them_in_order() {
        let (gate, _leads) = open(Vec::new()).await;
        let started = Instant::now();
        let ask = |ordinal: u32| {
            let gate = gate.clone();
            async move {
                let pod = pod(ordinal);
                let answer = gate.identify(&pod, asks(ordinal)).await.unwrap();
                gate.identified(&pod, grant(&answer).unwrap(), Outcome::Sent).await.unwrap();
                started.elapsed().as_millis() / 100
            }
        };
        let (first, second, third) = tokio::join!(ask(3), ask(1), ask(2));
        assert_eq!([first, second, third], [90, 141, 192]);
    }

    #[tokio::test(start_paused = true)]
    async fn without_the_lease_nothing_is_granted_and_with_it_again_it_is() {
        let (gate, leads) = open(Vec::new()).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        let since = leads.borrow().since().unwrap();
        leads.send_replace(Leadership::Leading { since, until: Instant::now() });
        let answer = gate.identify(&pod(0), asks(0)).await.unwrap();
        assert_eq!(grant(&answer), None, "{answer:?}");
        assert_eq!(gate.totals().grants, Grants::default());
        let waits = tokio::spawn({
            let gate = gate.clone();
            async move { gate.identify(&pod(0), asks(0)).await }
        });
        tokio::time::sleep(Duration::from_secs(3)).await;
        let until = Instant::now() + Duration::from_secs(10);
        leads.send_replace(Leadership::Leading { since, until });
        let held = Instant::now();
        assert!(grant(&waits.await.unwrap().unwrap()).is_some());
        assert!(held.elapsed() <= Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_is_gone_is_forgotten_and_others_take_its_turn() {
        let (gate, _leads) = open(Vec::new()).await;
        let gone = tokio::spawn({
            let gate = gate.clone();
            async move { gate.identify(&pod(0), asks(0)).await }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(gate.totals().calls, 1);
        gone.abort();
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(gate.totals().calls, 0);
        assert_eq!((gate.places.available_permits(), gate.held.is_empty()), (MOST, true));
        assert!(grant(&gate.identify(&pod(1), asks(1)).await.unwrap()).is_some());
        assert_eq!(gate.totals().grants.live, 1, "none was given to who had gone");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_has_at_most_eight_calls_waiting() {
        let (gate, _leads) = open(Vec::new()).await;
        let mut calls: Vec<_> = (0..8)
            .map(|_| {
                let gate = gate.clone();
                tokio::spawn(async move { gate.identify(&pod(0), asks(0)).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(10)).await;
        let refused = gate.identify(&pod(0), asks(0)).await.unwrap_err();
        assert!(matches!(refused, Refused::TooMany(_)), "{refused}");
        calls.pop().unwrap().abort();
        tokio::time::sleep(Duration::from_millis(10)).await;
        let ninth = tokio::time::timeout(Duration::from_secs(1), gate.identify(&pod(0), asks(0))).await;
        assert!(ninth.is_err(), "it waits like the others");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_is_asked_to_call_again_at_once_and_is_heard_by_the_word_it_names() {
        let listed = GatePod { uid: "u0".into(), layout: 1, ordinal: 0 };
        let (gate, _leads) = open(vec![listed]).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        let called = Instant::now();
        let first = gate.identify(&pod(0), asks(0)).await.unwrap();
        let IdentifyAnswer::NotYet { ask_again_after_ms: 0, .. } = first else { panic!("{first:?}") };
        assert_eq!(called.elapsed(), Duration::ZERO);
        gate.heard(&pod(0), "0123456789abcdef-9999");
        gate.heard(&pod(0), "no word");
        let unheard = gate.identify(&pod(0), asks(0)).await.unwrap();
        assert_eq!(
            grant(&unheard),
            None,
            "another leader's word proves nothing, and Discord's time is unknown"
        );
        let held = called.elapsed().as_millis();
        assert!((u128::from(HOLD_MS * 4 / 5)..=u128::from(HOLD_MS)).contains(&held), "{held}");
        gate.heard(&pod(0), &gate.word());
        assert!(grant(&gate.identify(&pod(0), asks(0)).await.unwrap()).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_told_not_yet_and_asks_again_has_not_lost_its_place_in_line() {
        let (gate, _leads) = open(Vec::new()).await;
        let (served, mut order) = tokio::sync::mpsc::unbounded_channel();
        // One bucket and no word of what became of a grant: one in 8 s, so most calls are answered "not yet" once or more.
        for ordinal in 0..10 {
            let (gate, served) = (gate.clone(), served.clone());
            tokio::spawn(async move {
                while grant(&gate.identify(&pod(ordinal), asks(ordinal)).await.unwrap()).is_none() {}
                served.send(ordinal).unwrap();
            });
            tokio::time::sleep(Duration::from_secs(6)).await;
        }
        drop(served);
        for ordinal in 0..10 {
            assert_eq!(order.recv().await, Some(ordinal));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_bot_that_is_gone_leaves_bucket_and_budget_to_the_next_with_its_token() {
        let (gate, _leads) = open(Vec::new()).await;
        let setting = gate.lock().bots.values().next().unwrap().clone();
        assert!(grant(&gate.identify(&pod(0), asks(0)).await.unwrap()).is_some());
        let given = Instant::now();
        assert_eq!(gate.counted().len(), 1);
        gate.forget("bots", "mybot");
        assert!(gate.counted().is_empty(), "no metric of it stays");
        assert!(matches!(gate.identify(&pod(1), asks(1)).await, Err(Refused::Closed(_))));
        gate.set("bots", "mybot", setting).await;
        assert!(grant(&gate.identify(&pod(1), asks(1)).await.unwrap()).is_some());
        let after = given.elapsed();
        assert!(after >= Duration::from_secs(8), "the first grant and 5 s after its end: {after:?}");
        assert_eq!(gate.figures(Fingerprint([1; 16])).unwrap().remaining, 898);
    }

    #[tokio::test(start_paused = true)]
    async fn the_shards_of_a_bot_that_is_made_anew_do_not_wait_for_what_became_of_the_one_before() {
        let (gate, _leads) = open(Vec::new()).await;
        let setting = gate.lock().bots.values().next().unwrap().clone();
        let online_after = async || {
            let begun = Instant::now();
            loop {
                if let Some(grant) = grant(&gate.identify(&pod(0), asks(0)).await.unwrap()) {
                    gate.identified(&pod(0), grant, Outcome::Sent).await.unwrap();
                    gate.identified(&pod(0), grant, Outcome::Ready).await.unwrap();
                    return begun.elapsed().as_secs();
                }
            }
        };
        for _ in 0..5 {
            online_after().await;
        }
        let figures = || gate.figures(Fingerprint([1; 16])).unwrap().backing_off;
        assert!(online_after().await >= 100, "its sessions end again and again");
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(figures().unwrap().shards, 1);
        gate.forget("bots", "mybot");
        gate.set("bots", "mybot", setting).await;
        assert!(online_after().await <= 6, "it is another shard");
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(figures(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_gate_that_begins_anew_grants_to_nobody_who_waited_and_opens_as_a_fresh_leaders() {
        let (gate, _leads) = open(Vec::new()).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert!(grant(&gate.identify(&pod(0), asks(0)).await.unwrap()).is_some());
        let waits = {
            let gate = gate.clone();
            tokio::spawn(async move { gate.identify(&pod(1), asks(1)).await })
        };
        tokio::time::sleep(Duration::from_millis(100)).await;
        gate.begin_anew("bots", "mybot");
        gate.set("bots", "mybot", opened(Vec::new())).await;
        let begun = Instant::now();
        assert!(waits.await.unwrap().is_err(), "it was answered by the gate before");
        assert!(grant(&gate.identify(&pod(1), asks(1)).await.unwrap()).is_some());
        assert!(begun.elapsed() >= Duration::from_secs(9), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn closing_answers_everybody_and_only_the_owner_speaks_of_a_grant() {
        let (gate, _leads) = open(Vec::new()).await;
        let answer = gate.identify(&pod(0), asks(0)).await.unwrap();
        gate.identified(&pod(1), grant(&answer).unwrap(), Outcome::Unused).await.unwrap();
        let waits = tokio::spawn({
            let gate = gate.clone();
            async move { gate.identify(&pod(1), asks(1)).await }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(
            gate.figures(Fingerprint([1; 16])).unwrap().remaining,
            899,
            "another pod gives nothing back"
        );
        gate.close().await;
        assert!(matches!(waits.await.unwrap(), Err(Refused::Closed(_))));
        assert!(matches!(gate.identify(&pod(1), asks(1)).await, Err(Refused::Closed(_))));
    }
}
