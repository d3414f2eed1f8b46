//! Generating: makes messages, reactions and interactions at a rate, or as fast as it goes.
//!
//! From: the generator's work. For: the sessions and the ledger. Its choices depend on the seed and the event's number alone.
//! It makes events in batches under one lock, and lets connections write after some batches: to write a single event costs
//! several times as much as to make it, so that a burst has to leave each of many sessions more than one.
//! Deliberately absent: what an event looks like (`talk.rs`, `reactions.rs`, `interactions.rs`).

use std::sync::Arc;
use std::time::Duration;

use super::{Discord, State};
use crate::chat::Place;
use crate::generator::Work;
use crate::world::mix;

/// Events made under one lock.
const BATCH: u64 = 256;
/// Batches made before connections have their turn.
const ROUND: u32 = 16;
/// The shortest wait: what is due meanwhile is made together.
const TICK: Duration = Duration::from_millis(1);

/// What to do after a batch.
enum Next {
    /// Nothing until it is started again.
    Rest,
    /// Look again after so long.
    Wait(Duration),
    /// Go on once others have had their turn.
    GoOn,
}

/// Makes events whenever there is something to make, until the simulator ends.
pub(crate) async fn run(discord: Arc<Discord>) {
    let generator = &discord.generator;
    let mut batches = 0_u32;
    while !discord.stop.is_cancelled() {
        let next = generator.work().as_mut().map_or(Next::Rest, |work| discord.step(work));
        match next {
            Next::GoOn => {
                batches = batches.wrapping_add(1);
                if batches.is_multiple_of(ROUND) {
                    tokio::task::yield_now().await;
                }
            }
            Next::Wait(time) => tokio::select! {
                biased;
                () = generator.bell.notified() => {}
                () = discord.stop.cancelled() => {}
                () = tokio::time::sleep(time) => {}
            },
            Next::Rest => tokio::select! {
                biased;
                () = generator.bell.notified() => {}
                () = discord.stop.cancelled() => {}
            },
        }
    }
}

impl Discord {
    /// Makes what is due, at most a batch.
    fn step(&self, work: &mut Work) -> Next {
        let now = self.now();
        if work.ends.is_some_and(|ends| work.rate.is_none() && now >= ends) {
            work.is_over = true;
        }
        if work.is_over {
            return Next::Rest;
        }
        let open = work.due(now).saturating_sub(work.made).min(BATCH);
        if open > 0 {
            if work.paced && self.most_behind() > self.options.replay_events as u64 / 2 {
                work.waits += 1;
                return Next::Wait(TICK);
            }
            let mut state = self.change();
            for _ in 0..open {
                self.make(work, &mut state);
                if work.is_over {
                    return Next::Rest;
                }
                work.made += 1;
            }
        }
        let is_last = work.count.is_some_and(|count| work.made >= count)
            || work.ends.is_some_and(|ends| now >= ends && work.due(now) <= work.made);
        if is_last {
            work.is_over = true;
        }
        if work.due(now) > work.made { Next::GoOn } else { Next::Wait(work.wait(now).max(TICK)) }
    }

    fn make(&self, work: &mut Work, state: &mut State) {
        let chance = mix(self.options.seed ^ mix(work.made));
        let seen_text = |guild| self.world.access.seen_text(guild);
        let guild = self.world.one_up_where(&work.guilds, chance, |guild| seen_text(guild).is_some());
        let Some((guild, channel)) = guild.and_then(|guild| Some((guild, seen_text(guild)?))) else {
            // Every guild of the run has gone, is down, or has no text channel that the bots may view.
            work.is_over = true;
            return;
        };
        let place = Place { channel, guild: Some(guild) };
        let author = self.world.member_of(guild, chance >> 8);
        let [messages, reactions, interactions] = work.shares;
        let kind = mix(chance) % (messages + reactions + interactions).max(1);
        if kind >= messages + reactions && self.make_interaction(state, place, &author, chance) {
            return;
        }
        if let (true, Some((of, message))) = (kind >= messages, work.newest) {
            self.make_reaction(state, of, message, &author);
        } else {
            let content = if work.content.contains("{n}") {
                work.content.replace("{n}", &work.made.to_string())
            } else {
                work.content.clone()
            };
            let message = self.make_message(state, place, author, content);
            work.newest = Some((guild, message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::Generate;
    use crate::options::Options;

    fn work(request: &Generate, discord: &Discord) -> Work {
        let time = request.for_ms.map(Duration::from_millis);
        Work::new(request, discord.world.guilds().to_vec(), time, discord.now())
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_makes_what_is_due_and_no_more() {
        let discord = Discord::new(Options { guilds: 5, ..Options::default() });
        let request = Generate { rate: Some(100.0), for_ms: Some(1000), ..Generate::default() };
        let mut work = work(&request, &discord);
        for (advance, made, is_over) in [(0, 0, false), (55, 5, false), (445, 50, false), (900, 100, true)] {
            tokio::time::advance(Duration::from_millis(advance)).await;
            discord.step(&mut work);
            assert_eq!((work.made, work.is_over), (made, is_over));
        }
        assert_eq!(discord.ledger().events.made, 100);
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_makes_its_count_in_batches() {
        let discord = Discord::new(Options { guilds: 5, ..Options::default() });
        let request = Generate { count: Some(600), reactions: 1, ..Generate::default() };
        let mut work = work(&request, &discord);
        while !matches!(discord.step(&mut work), Next::Rest) {}
        let ledger = discord.ledger();
        assert_eq!(ledger.events.made, 600);
        assert!(ledger.events.asking > 200 && ledger.events.asking < 400, "{}", ledger.events.asking);
    }

    #[test]
    fn the_seed_decides_what_is_made() {
        let made = |seed| {
            let discord = Discord::new(Options { guilds: 50, seed, ..Options::default() });
            let mut work = work(&Generate { count: Some(20), ..Generate::default() }, &discord);
            discord.step(&mut work);
            let query = crate::LedgerQuery { events: Some(crate::EventFilter::All), ..Default::default() };
            let events = discord.ledger_of(&query).event_details;
            events.into_iter().map(|event| event.guild_id).collect::<Vec<_>>()
        };
        assert_eq!(made(1), made(1));
        assert_ne!(made(1), made(2));
    }
}
