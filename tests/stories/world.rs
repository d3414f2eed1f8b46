//! The world of a story: what happens to it, and what a plan does to it.
//!
//! Objects live as the API server would keep them, as far as planning looks; StatefulSets make no pods by themselves, so
//! that a story says when they come and go.

mod answers;
mod document;
mod pods;
mod troubles;

use self::document::Named;
use crate::kept::Secrets;
use crate::transcript;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shard_operator::crd::ShardedBot;
use shard_operator::model::{
    Addresses, Answers, Applied, Child, Contest, DiscordProblem, DiscordSeen, Failure, Fingerprint,
    GateFigures, GatewaySeen, Kind, NodeLoss, NodeSeen, Note, Object, Observed, Phase, PodSeen, Reason,
    Refusal, Step, TokenSeen,
};
use shard_operator::plan::{plan, question};
use shard_operator::report::{conditions, status};
use std::collections::{BTreeMap, BTreeSet};

const UID: &str = "11111111-1111-1111-1111-111111111111";

pub struct World {
    spec: Value,
    status: shard_operator::crd::ShardedBotStatus,
    generation: i64,
    unreadable: Option<Note>,
    token: TokenSeen,
    token_immutable_since: Option<Timestamp>,
    token_untold: BTreeSet<String>,
    rival: Option<String>,
    waits_for_others: bool,
    refusals: Vec<Refusal>,
    contest: Contest,
    discord: DiscordSeen,
    children: Vec<Child>,
    pods: Vec<PodSeen>,
    secrets: Secrets,
    nodes: BTreeMap<String, NodeSeen>,
    named: Named,
    on_node_loss: NodeLoss,
    fresh: bool,
    gate: GateFigures,
    refuses_template: bool,
    answers: answers::Knows,
    now: Timestamp,
}

impl World {
    pub fn new() -> Self {
        let template = json!({ "spec": { "containers": [{ "name": "bot", "image": "bot:1" }] } });
        let mut world = Self {
            spec: json!({ "tokenSecretRef": { "name": "token" }, "shards": 16, "shardsPerPod": 8, "template": template }),
            status: shard_operator::crd::ShardedBotStatus::default(),
            generation: 1,
            unreadable: None,
            token: TokenSeen::Present(Fingerprint([1; 16])),
            token_immutable_since: None,
            token_untold: BTreeSet::new(),
            rival: None,
            waits_for_others: false,
            refusals: Vec::new(),
            contest: Contest::Alone,
            discord: DiscordSeen::default(),
            children: Vec::new(),
            pods: Vec::new(),
            secrets: Secrets::default(),
            nodes: BTreeMap::new(),
            named: Named::new(),
            on_node_loss: NodeLoss::Replace,
            fresh: false,
            gate: GateFigures { judged: true, ..GateFigures::default() },
            refuses_template: false,
            answers: answers::Knows::default(),
            now: "2026-01-01T00:00:00Z".parse().unwrap(),
        };
        world.discord.answer = Some(world.answer(9, 1_000));
        world
    }

    /// Lets something happen, then plans until nothing is left to do; returns what was planned.
    pub fn happen(&mut self, event: &str) -> String {
        let (verb, rest) = event.split_once(' ').unwrap_or((event, ""));
        match verb {
            "spec" => self.edit(rest),
            "token" => self.set_token(rest),
            "contender" => self.set_contender(rest),
            "rival" => self.rival = (!rest.is_empty()).then(|| rest.to_owned()),
            "others" => self.waits_for_others = rest == "unknown",
            "refusal" => self.set_refusal(rest),
            "alike" => self.answers.makes(rest),
            "admits" => self.answers.admits(rest),
            "refuse-template" => self.refuses_template = rest == "yes",
            "unreadable" => self.set_unreadable(rest),
            "discord" => self.set_discord(rest),
            "pods" => self.set_pods(rest),
            "pod" => self.change_pod(rest),
            "node" => self.change_node(rest),
            "on-node-loss" => self.set_on_node_loss(rest),
            "leader" => {
                self.fresh = rest == "fresh";
                // What the one before counted is not known to it.
                (self.gate.judged, self.gate.unattributed) = (!self.fresh, 0);
            }
            "breaker" => self.set_breaker(rest),
            "back-off" => self.set_back_off(rest),
            "unattributed" => self.gate.unattributed = rest.parse().unwrap(),
            "records" => self.change_records(rest),
            "wait" => self.wait(rest.parse().unwrap()),
            "delete" => {
                let secret = self.secrets.delete(rest);
                let others = self.children.len();
                self.children.retain(|child| child.name != rest);
                assert!(secret || self.children.len() < others, "{rest} is not there");
            }
            "strange" => self.put_strange(rest),
            "strip" => self.strip(rest),
            "annotate" => self.annotate(rest),
            "edit" => self.edit_set(rest),
            "full" => self.fill(rest.parse().unwrap()),
            "reconcile" => {}
            other => panic!("{other}: not something that happens in a story"),
        }
        self.now = self.now.checked_add(SignedDuration::from_secs(1)).unwrap();
        let mut text = String::new();
        for _ in 0..5 {
            let mut observed = self.observed();
            let bot = self.bot();
            while let Some(question) = question(&bot, &observed) {
                text += &self.answers.answer(&question, &mut observed.answers);
            }
            let plan = plan(&bot, &observed);
            let applied = self.apply(&plan.steps);
            let outcome = status::outcome(&observed, &plan, &applied);
            let status = status::status(&bot, &observed, &plan, &outcome, &self.status);
            let transitions = conditions::transitions(&self.status.conditions, &status.conditions);
            self.status = status;
            text += &transcript::round(&plan, &self.status, &transitions);
            if applied.failure.is_some() || plan.steps.iter().all(|step| matches!(step, Step::Try(_))) {
                return text + &self.told_of_records(verb);
            }
        }
        text + "  does not come to rest\n"
    }

    fn told_of_records(&self, verb: &str) -> String {
        let about = matches!(verb, "records" | "delete" | "pods" | "pod").then(|| self.secrets.told());
        about.filter(|told| !told.is_empty()).map_or_else(String::new, |told| format!("  records {told}\n"))
    }

    pub fn bot(&self) -> ShardedBot {
        let mut bot = ShardedBot::new("mybot", serde_json::from_value(self.spec.clone()).unwrap());
        bot.metadata.namespace = Some("bots".into());
        bot.metadata.uid = Some(UID.into());
        bot.metadata.generation = Some(self.generation);
        bot
    }

    fn observed(&mut self) -> Observed {
        let document = self.document();
        Observed {
            now: self.now,
            addresses: Addresses {
                installation: "team-a/shard-operator".into(),
                gate: "http://gate".into(),
                on_node_loss: self.on_node_loss,
                ..Addresses::default()
            },
            unreadable: self.unreadable.clone(),
            token: self.token.clone(),
            token_immutable_since: self.token_immutable_since,
            token_untold: std::mem::take(&mut self.token_untold),
            token_bad_for: None,
            rival: self.rival.clone(),
            waits_for_others: self.waits_for_others,
            refusals: self.refusals.clone(),
            contest: self.contest.clone(),
            discord: self.discord.clone(),
            named: self.named(document.as_ref()),
            document,
            children: self.children.clone(),
            secrets: self.secrets.seen("mybot", 128),
            pods: self.pods.clone(),
            nodes: self.nodes.clone(),
            heard: !self.fresh
                || self.pods.iter().all(|pod| pod.phase != Phase::Running || pod.report.is_some()),
            gate: self.discord.answer.map(|answer| GateFigures { remaining: answer.remaining, ..self.gate }),
            answers: Answers::default(),
        }
    }

    fn apply(&mut self, steps: &[Step]) -> Applied {
        let mut applied = Applied::default();
        for step in steps {
            match step {
                Step::Try(_) if self.refuses_template => {
                    let note = Note::new(Reason::TemplateRefused, "spec.template: the API server refuses it");
                    applied.failure = Some(Failure { note, stalled: true });
                    return applied;
                }
                Step::Try(_) => {}
                Step::Create(object) if object.kind == Kind::Secret => self.secrets.create(object),
                Step::Patch { secret, operations } => self.secrets.patch(secret, operations),
                Step::ForceDelete { pod, uid } => {
                    let before = self.pods.len();
                    self.pods.retain(|one| (&one.name, &one.uid) != (pod, uid));
                    assert!(self.pods.len() < before, "{pod} is not there");
                }
                Step::Create(object) => {
                    assert!(!self.exists(object.kind, &object.name), "{} is made twice", object.name);
                    self.children.push(kept(object));
                }
                Step::Apply(object) => {
                    assert!(self.exists(object.kind, &object.name), "{} is not there", object.name);
                    self.children.retain(|child| (child.kind, &child.name) != (object.kind, &object.name));
                    self.children.push(kept(object));
                }
                Step::Merge(object) => self.merge(object),
                Step::PutBack(object, _) => {
                    self.merge(object);
                    self.child(&object.name).hand = None;
                }
                Step::Delete(kind, name) => {
                    assert!(self.exists(*kind, name), "{name} is not there");
                    self.children.retain(|child| (child.kind, &child.name) != (*kind, name));
                }
            }
            applied.done += 1;
        }
        applied
    }

    fn exists(&self, kind: Kind, name: &str) -> bool {
        self.children.iter().any(|child| (child.kind, child.name.as_str()) == (kind, name))
    }

    fn edit(&mut self, merge: &str) {
        let patch: Value = serde_json::from_str(merge).unwrap();
        for (key, value) in patch.as_object().unwrap() {
            if value.is_null() {
                self.spec.as_object_mut().unwrap().remove(key);
            } else {
                self.spec[key] = value.clone();
            }
        }
        self.generation += 1;
    }

    fn set_discord(&mut self, what: &str) {
        match what.split_once(' ') {
            Some(("recommends", shards)) => {
                self.discord =
                    DiscordSeen { answer: Some(self.answer(shards.parse().unwrap(), 1_000)), problem: None };
            }
            Some(("budget", left)) => {
                self.discord =
                    DiscordSeen { answer: Some(self.answer(9, left.parse().unwrap())), problem: None };
            }
            _ if what == "refuses" => {
                self.discord = DiscordSeen { answer: None, problem: Some(DiscordProblem::TokenRefused) };
            }
            _ => self.discord.problem = Some(DiscordProblem::Unreachable("connection refused".into())),
        }
        if what == "unknown" {
            self.discord.answer = None;
        }
    }

    fn answer(&self, shards: u32, remaining: u32) -> GatewaySeen {
        let resets_at = self.now.checked_add(SignedDuration::from_hours(20)).unwrap();
        GatewaySeen { shards, total: 1_000, remaining, resets_at, max_concurrency: 1, asked_at: self.now }
    }
}

fn kept(object: &Object) -> Child {
    Child {
        kind: object.kind,
        name: object.name.clone(),
        uid: object.name.clone(),
        ours: true,
        version: String::new(),
        generation: 0,
        of_a_bot: true,
        deleting: false,
        hand: None,
        live: object.body.clone(),
    }
}
