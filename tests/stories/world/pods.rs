//! The pods of a story's world: they come, say how their shards are, and go.

use super::World;
use jiff::SignedDuration;
use shard_contract::layout::shards_of;
use shard_contract::report::{Report, ShardReport, ShardState};
use shard_operator::model::{Kind, Phase, PodSeen};
use std::time::Duration;

impl World {
    /// `start N`: pods of layout N exist; `online N`; `refused N CODE`; `failing N`; `gone N`.
    pub(super) fn set_pods(&mut self, what: &str) {
        let words: Vec<_> = what.split(' ').collect();
        let layout: u32 = words[1].parse().unwrap();
        if words[0] == "gone" {
            self.pods.retain(|pod| pod.layout != layout);
            return;
        }
        let set = self
            .children
            .iter()
            .find(|child| child.kind == Kind::StatefulSet && child.name == format!("mybot-{layout}"));
        let of = |label: &str| {
            set.unwrap().label(&format!("shard-operator.dev/{label}")).unwrap().parse::<u32>().unwrap()
        };
        let (total, pods) = (of("total"), of("pods"));
        self.gate.waiting = if words[0] == "waiting" { total } else { 0 };
        self.pods.retain(|pod| pod.layout != layout);
        for ordinal in 0..pods {
            let state = if words[0] == "online" { ShardState::Online } else { ShardState::Waiting };
            let code = (words[0] == "refused").then(|| words[2].parse().unwrap());
            let shards = shards_of(ordinal, pods, total).map(|id| ShardReport {
                id,
                state,
                guilds: 10,
                unavailable_guilds: 0,
                latency_ms: None,
                identifies: 0,
                resumes: 0,
                events: 0,
                redelivered: 0,
                idle_ms: None,
                fatal_close: code,
                waits_for: None,
            });
            let report = Report { layout, shards: shards.collect(), ..Report::default() };
            self.pods.push(PodSeen {
                name: format!("mybot-{layout}-{ordinal}"),
                uid: format!("{layout}-{ordinal}"),
                layout,
                ordinal,
                made: Some(self.now),
                ready: words[0] == "online",
                deleting: false,
                grace_ends: None,
                finalizers: Vec::new(),
                phase: if matches!(words[0], "start" | "failing") { Phase::Pending } else { Phase::Running },
                node: Some(format!("node-{ordinal}")),
                silent: Duration::ZERO,
                trouble: (words[0] == "failing")
                    .then(|| "container bot: ImagePullBackOff no such image".into()),
                report: (!matches!(words[0], "start" | "failing")).then_some(report),
            });
        }
    }

    /// `NAME deleted`, `NAME ended`, `NAME kept FINALIZER`, `NAME silent`, `NAME on-fallback-schedule`, `NAME fenced`, `NAME online`, `NAME waiting`, `NAME new UID`.
    pub(super) fn change_pod(&mut self, what: &str) {
        let words: Vec<_> = what.split(' ').collect();
        let grace_ends = self.now.checked_add(SignedDuration::from_secs(30)).unwrap();
        let pod = self.pods.iter_mut().find(|pod| pod.name == words[0]).unwrap();
        let mut report = pod.report.clone().unwrap_or_default();
        match words[1] {
            "deleted" => {
                pod.deleting = true;
                pod.grace_ends = Some(grace_ends);
                return;
            }
            "kept" => {
                pod.deleting = true;
                pod.grace_ends = Some(self.now);
                pod.finalizers = vec![words[2].to_owned()];
                return;
            }
            "ended" => {
                (pod.phase, pod.ready) = (Phase::Ended, false);
                pod.report = None;
                return;
            }
            "silent" => {
                pod.ready = false;
                pod.report = None;
                return;
            }
            "new" => words[2].clone_into(&mut pod.uid),
            "on-fallback-schedule" => report.on_fallback_schedule = true,
            "fenced" => report.isolated = true,
            "online" | "waiting" => {}
            other => panic!("{other}: not something that becomes of a pod"),
        }
        let state = if matches!(words[1], "online" | "on-fallback-schedule") {
            ShardState::Online
        } else {
            ShardState::Waiting
        };
        for shard in &mut report.shards {
            shard.state = state;
        }
        if words[1] == "online" {
            (report.on_fallback_schedule, report.isolated) = (false, false);
        }
        pod.ready = state == ShardState::Online;
        (pod.report, pod.silent) = (Some(report), Duration::ZERO);
    }

    /// How many guilds each shard has.
    pub(super) fn fill(&mut self, guilds: u32) {
        let shards =
            self.pods.iter_mut().filter_map(|pod| pod.report.as_mut()).flat_map(|report| &mut report.shards);
        shards.for_each(|shard| shard.guilds = guilds);
    }
}
