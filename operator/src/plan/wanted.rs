//! Which layout there should be next.
//!
//! From the layouts that are known, the total that is wanted and what the spec and the budget say, to what becomes of each. Deliberately
//! absent: what else forbids to change anything now ([`super::keep`]).

use super::change::Change;
use super::objects::stateful_set::identity;
use super::recreate;
use super::rollout::{LayoutSeen, Rollout, SetSeen};
use super::spec::Spec;
use crate::model::budget::kept_for_live;
use crate::model::{Note, Observed, Reason, Verdict};
use shard_contract::layout::pods_for;

/// The layout with duty if its set may stand for what the spec asks for, though it was written otherwise, and the identity of what is
/// written now. Whoever has the fleet restarted wants other pods, though they be the same.
#[must_use]
pub fn in_doubt<'r, 'a>(
    spec: &Spec,
    rollout: &'r Rollout<'a>,
    observed: &Observed,
    total: u32,
) -> Option<(&'r LayoutSeen<'a>, &'r SetSeen<'a>, String)> {
    let layout = rollout.duty()?;
    let set = layout.living()?;
    // One that lost its identity may have lost the mark with it.
    let marked = set.is_stripped() && set.restarted_at.is_none()
        || set.restarted_at.as_deref() == Some(spec.restarted_at.as_deref().unwrap_or_default());
    if !layout.is_arranged(spec, total) || !marked || layout.matches(spec) {
        return None;
    }
    let wanted = identity(spec, total, layout.arrangement.pods, layout.arrangement.revision);
    let asked = observed.answers.alike.as_ref();
    let known = asked.is_some_and(|alike| alike.layout == layout.number() && alike.identity == wanted);
    (!known).then_some((layout, set, wanted))
}

/// What to do about layouts to get to this total, as far as spec and budget go.
#[must_use]
pub fn change<'a>(spec: &Spec, rollout: &Rollout<'a>, observed: &Observed, total: u32) -> Change<'a> {
    let keep = |verdict| Change::keep(rollout, verdict, &[]);
    let duty = rollout.duty();
    if let Some(duty) = duty.filter(|layout| layout.fits(spec, total)) {
        // What is wanted may yet change with what the fleet says.
        let others = rollout.living().filter(|layout| layout.number() != duty.number() && observed.heard);
        let others: Vec<_> = others.map(LayoutSeen::number).collect();
        return Change::keep(rollout, Verdict::Settled, &others);
    }
    if let Some(note) = spec.refused.clone().filter(|_| total > 0) {
        return keep(Verdict::Stalled(note));
    }
    let stands = rollout.living().filter(|layout| layout.fits(spec, total)).last();
    let next = stands.map_or_else(
        || rollout.next(total, pods_for(total, spec.shards_per_pod)),
        |layout| layout.arrangement,
    );
    let idle = rollout.with_sets().next().is_none() && rollout.left(next.number) == 0;
    if idle && total == 0 {
        return keep(Verdict::Settled);
    }
    // A change that has begun goes on: a bot without any fleet is not a safe point to pause at.
    let unfinished = rollout.layouts.iter().filter_map(|layout| layout.told).any(|told| told.total > 0);
    let begun = duty.is_none() && (!idle || unfinished);
    if spec.paused && !begun {
        return keep(Verdict::Moving(Note::new(
            Reason::Paused,
            "spec.paused holds a change of the layout; set it to false to carry the change out",
        )));
    }
    if duty.is_some()
        && let Some(note) = wait(spec, total, observed)
    {
        return keep(Verdict::Moving(note));
    }
    recreate::step(spec, rollout, observed, (total > 0).then_some(next))
}

/// What a running fleet waits for before it is stopped for another. The gate knows of grants that Discord's last answer does
/// not, and Discord of IDENTIFYs that the gate does not: the smaller count is the safer.
fn wait(spec: &Spec, total: u32, observed: &Observed) -> Option<Note> {
    if total == 0 {
        return None;
    }
    let Some(gateway) = observed.discord.answer.as_ref() else {
        return Some(Note::new(
            Reason::AskingDiscord,
            "the change needs IDENTIFYs; Discord is asked how many are left",
        ));
    };
    let reserve = u64::from(kept_for_live(gateway.total, spec.reserve_percent));
    let remaining = observed.gate.map_or(gateway.remaining, |gate| gate.remaining.min(gateway.remaining));
    let (needs, left) = (u64::from(total), u64::from(remaining).saturating_sub(reserve));
    (needs > left).then(|| {
        Note::new(
            Reason::WaitingForBudget,
            format!(
                "the change needs {needs} IDENTIFYs; {remaining} of {} are left today and {reserve} are kept for live shards; the budget is full again at {}{}",
                gateway.total,
                gateway.resets_at,
                if needs + reserve > u64::from(gateway.total) {
                    ", but even then it does not fit: lower spec.shards or spec.identify.reservePercent"
                } else {
                    ""
                }
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::change::{LayoutPlanned, SetStep};
    use super::super::spec::check;
    use super::*;
    use crate::crd::ShardedBot;
    use crate::model::{Admission, Child, DiscordSeen, GateFigures, GatewaySeen, PodSeen, Refusal};
    use crate::names::IDENTITY_ANNOTATION;
    use k8s_openapi::jiff::Timestamp;
    use serde_json::{Value, json};
    use shard_contract::layouts::{Layout, Role};
    use shard_contract::report::Report;

    fn told(number: u32, role: Role, session_group: u32, fallback_slot: u32) -> Layout {
        Layout { number, total: 16, pods: 2, role, session_group, fallback_slot }
    }

    fn spec(image: &str, more: &Value) -> Spec {
        let mut pod = json!({ "containers": [{ "name": "bot", "image": image }] });
        pod.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let spec =
            json!({ "tokenSecretRef": { "name": "token" }, "shardsPerPod": 8, "template": { "spec": pod } });
        check(&ShardedBot::new("b", serde_json::from_value(spec).unwrap())).unwrap()
    }

    /// The set of a layout of 16 shards on 2 pods that is all that this spec asks for.
    fn fitting(spec: &Spec, number: u32) -> Child {
        let mut set = Child::set(number, &[], 2);
        set.live["metadata"]["annotations"][IDENTITY_ANNOTATION] = identity(spec, 16, 2, 2).into();
        set
    }

    fn answer(remaining: u32) -> GatewaySeen {
        GatewaySeen {
            shards: 1,
            total: 1_000,
            remaining,
            resets_at: Timestamp::UNIX_EPOCH,
            max_concurrency: 1,
            asked_at: Timestamp::UNIX_EPOCH,
        }
    }

    /// Budget is left.
    fn asked(sets: Vec<Child>, layouts: Vec<Layout>) -> Observed {
        let discord = DiscordSeen { answer: Some(answer(1_000)), problem: None };
        Observed { discord, ..Observed::of(sets, layouts) }
    }

    fn of(change: &Change<'_>, step: SetStep) -> Vec<u32> {
        let layouts = change.layouts.iter().filter(|planned| planned.set == step);
        layouts.map(|planned| planned.layout.number()).collect()
    }

    fn in_role(change: &Change<'_>, role: Role) -> Vec<u32> {
        change
            .layouts
            .iter()
            .filter(|planned| planned.is(role))
            .map(|planned| planned.layout.number())
            .collect()
    }

    #[test]
    fn a_set_that_never_had_duty_goes_and_the_one_that_has_it_stays() {
        let spec = spec("bot:1", &json!({}));
        let gone = |numbers: [u32; 2], document: Vec<_>, serving: Option<u32>| {
            let mut observed = asked(numbers.map(|number| fitting(&spec, number)).into(), document);
            let online = |layout| {
                let shard = json!({ "id": 0, "state": "online", "guilds": 1, "unavailableGuilds": 0, "identifies": 1, "resumes": 0, "events": 0 });
                let shards = vec![serde_json::from_value(shard).unwrap()];
                let report = Some(Report { layout, shards, ..Report::default() });
                PodSeen { layout, report, ..PodSeen::running() }
            };
            observed.pods = serving.map(online).into_iter().collect();
            let rollout = Rollout::read(&observed);
            let change = change(&spec, &rollout, &observed, 16);
            (of(&change, SetStep::Remove), in_role(&change, Role::Active))
        };
        assert_eq!(
            gone([1, 2], vec![told(2, Role::Active, 0, 0)], None),
            (vec![1], vec![2]),
            "made too late"
        );
        let both = vec![told(1, Role::Active, 0, 0), told(2, Role::Standby, 0, 1)];
        assert_eq!(gone([1, 2], both, None), (vec![2], vec![1]), "not asked for any more");
        let both = vec![told(1, Role::Active, 0, 0), told(2, Role::Active, 0, 1)];
        assert_eq!(gone([1, 2], both, Some(1)), (vec![2], vec![1, 2]), "what has sessions goes on with them");
    }

    #[test]
    fn where_nobody_can_say_whether_pods_would_be_admitted_the_next_set_is_made_first() {
        let (before, after) = (spec("bot:1", &json!({})), spec("bot:2", &json!({})));
        let active = || told(1, Role::Active, 0, 0);
        let answered = |admission| {
            let mut observed = asked(vec![fitting(&before, 1)], vec![active()]);
            observed.answers.admission = Some(admission);
            let rollout = Rollout::read(&observed);
            let change = change(&after, &rollout, &observed, 16);
            (of(&change, SetStep::Make), of(&change, SetStep::Remove), in_role(&change, Role::Active))
        };
        assert_eq!(answered(Admission::Admitted), (vec![], vec![1], vec![1]));
        assert_eq!(answered(Admission::Unknown("no right".into())), (vec![2], vec![], vec![1]));

        let stands = |pods: Vec<PodSeen>, refusals: Vec<Refusal>| {
            let sets = vec![fitting(&before, 1), fitting(&after, 2)];
            let layouts = vec![active(), told(2, Role::Standby, 0, 1)];
            let observed = Observed { refusals, pods, ..asked(sets, layouts) };
            let rollout = Rollout::read(&observed);
            let change = change(&after, &rollout, &observed, 16);
            let Verdict::Moving(note) = &change.verdict else { panic!("{:?}", change.verdict) };
            (of(&change, SetStep::Remove), in_role(&change, Role::Standby), note.reason)
        };
        let refusal = |lacks_room| vec![Refusal { layout: 2, said: "no class named x".into(), lacks_room }];
        assert_eq!(stands(vec![], vec![]), (vec![], vec![2], Reason::StartingPods));
        assert_eq!(stands(vec![], refusal(false)), (vec![], vec![2], Reason::PodsFailing));
        assert_eq!(
            stands(vec![], refusal(true)),
            (vec![1], vec![2], Reason::Recreating),
            "once there is room"
        );
        let pod = PodSeen { layout: 2, ..PodSeen::running() };
        assert_eq!(stands(vec![pod], vec![]), (vec![1], vec![2], Reason::Recreating), "one was admitted");
    }

    #[test]
    fn what_was_made_beside_the_old_layout_and_is_wanted_no_more_goes_and_never_has_duty() {
        let before = spec("bot:1", &json!({}));
        let sets = || vec![fitting(&before, 1), fitting(&spec("bot:2", &json!({})), 2)];
        let layouts = || vec![told(1, Role::Active, 0, 0), told(2, Role::Standby, 0, 1)];
        let third = spec("bot:3", &json!({}));
        let mut observed = asked(sets(), layouts());
        for (admission, made, gone) in [
            (Admission::Unknown("no right".into()), vec![3], vec![2]),
            (Admission::Admitted, vec![], vec![1, 2]),
        ] {
            observed.answers.admission = Some(admission);
            let rollout = Rollout::read(&observed);
            let change = change(&third, &rollout, &observed, 16);
            assert_eq!((of(&change, SetStep::Make), of(&change, SetStep::Remove)), (made, gone));
            assert_eq!((in_role(&change, Role::Active), in_role(&change, Role::Standby)), (vec![1], vec![3]));
            assert!(change.granted().keys().eq([&1]), "who never had duty identifies nothing");
        }
    }

    #[test]
    fn a_fleet_that_runs_with_what_is_refused_today_is_kept_and_can_be_stopped() {
        let spec = spec("bot:1", &json!({ "hostNetwork": true }));
        let observed = asked(vec![fitting(&spec, 1)], vec![told(1, Role::Active, 0, 0)]);
        let rollout = Rollout::read(&observed);
        let wanted = |total| change(&spec, &rollout, &observed, total);
        let kept = |change: &Change<'_>| change.serving().map(|_| change.verdict.clone());
        assert_eq!(kept(&wanted(16)), Some(Verdict::Settled));
        let refused = kept(&wanted(32)).unwrap();
        assert!(matches!(refused, Verdict::Stalled(note) if note.message.contains("hostNetwork")));
        let stopped = wanted(0);
        assert_eq!(
            (of(&stopped, SetStep::Remove), stopped.next().map(|_: &LayoutPlanned<'_>| ())),
            (vec![1], None)
        );
    }

    #[test]
    fn a_change_needs_what_both_discord_and_the_gate_have_left() {
        let spec = Spec { reserve_percent: 20, ..spec("bot:1", &json!({})) };
        let waits = |discord: u32, gate: Option<u32>| {
            let observed = Observed {
                discord: DiscordSeen { answer: Some(answer(discord)), problem: None },
                gate: gate.map(|remaining| GateFigures { remaining, ..GateFigures::default() }),
                ..Observed::of(Vec::new(), Vec::new())
            };
            wait(&spec, 100, &observed).map(|note| note.message)
        };
        assert_eq!((waits(300, None), waits(300, Some(300))), (None, None));
        assert!(waits(300, Some(299)).unwrap().contains("; 299 of 1000 are left"), "grants since");
        assert!(waits(299, Some(300)).unwrap().contains("; 299 of 1000 are left"), "others' since");
    }
}
