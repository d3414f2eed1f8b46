//! `!shards`: the guilds of each shard of this pod.
//!
//! As many whole lines as a message has room for, this shard's among them, and how many more there are. Deliberately absent: the
//! fleet's other pods, which `kubectl get shardedbots` tells of.

/// Characters that Discord takes in a message.
const MOST_CHARACTERS: usize = 2_000;
/// All that stands around head and lines, at its longest.
const FRAME: &str = "\n```\n```and 4294967295 more";

use shard_bot::{Command, CommandError, Context, Input, Reply, ShardStatus};

/// Lists the pod's shards.
pub struct Shards;

impl Command for Shards {
    fn name(&self) -> &'static str {
        "shards"
    }

    fn description(&self) -> &'static str {
        "The guilds of each shard of this pod"
    }

    async fn run(&self, _: Input, ctx: Context) -> Result<Reply, CommandError> {
        Ok(Reply::text(list(&ctx.shards(), ctx.shard(), ctx.total())))
    }
}

fn list(shards: &[ShardStatus], here: u32, total: u32) -> String {
    let guilds: u32 = shards.iter().map(|shard| shard.guilds).sum();
    let head = format!("{} of {total} shards in this pod, {guilds} guilds", shards.len());
    let line = |shard: &ShardStatus| {
        let ShardStatus { id, state, guilds, latency, .. } = shard;
        let latency = latency.map_or_else(|| "-".to_owned(), |latency| format!("{} ms", latency.as_millis()));
        let mark = if *id == here { "  <- you are here" } else { "" };
        format!("shard {id:>3}  {state:?}  {guilds:>5} guilds  {latency:>6}{mark}\n")
    };
    let lines: Vec<_> = shards.iter().map(line).collect();
    fit(&head, &lines, shards.iter().position(|shard| shard.id == here))
}

/// The head, and as many of the lines as there is room for; `needed` is among them in its place.
fn fit(head: &str, lines: &[String], needed: Option<usize>) -> String {
    let length = |text: &str| text.chars().count();
    let taken = length(head) + FRAME.len() + needed.map_or(0, |place| length(&lines[place]));
    let mut room = MOST_CHARACTERS.saturating_sub(taken);
    let mut told = String::new();
    let mut left_out = 0;
    for (place, line) in lines.iter().enumerate() {
        match room.checked_sub(length(line)) {
            _ if Some(place) == needed => {}
            Some(less) if left_out == 0 => room = less,
            _ => {
                left_out += 1;
                continue;
            }
        }
        told.push_str(line);
    }
    let more = if left_out > 0 { format!("and {left_out} more") } else { String::new() };
    format!("{head}\n```\n{told}```{more}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_shards_whole_lines_are_told_and_how_many_more_there_are() {
        let lines = |count: u32| -> Vec<_> {
            (0..count).map(|id| format!("shard {id:>3}  Online   2500 guilds   102 ms\n")).collect()
        };
        let few = fit("head", &lines(2), Some(1));
        assert_eq!(few, format!("head\n```\n{}```", lines(2).concat()));
        let all = lines(64);
        let text = fit("64 of 64 shards in this pod, 160000 guilds", &all, Some(63));
        assert!(text.chars().count() <= MOST_CHARACTERS, "{}", text.chars().count());
        let (_, block) = text.split_once("```\n").unwrap();
        let (told, more) = block.split_once("```").unwrap();
        let told: Vec<_> = told.split_inclusive('\n').map(str::to_owned).collect();
        assert_eq!(told.last(), all.last(), "the one that answers");
        assert_eq!(told[..told.len() - 1], all[..told.len() - 1], "whole lines, from the first");
        assert_eq!(more, format!("and {} more", 64 - told.len()));
        assert!(told.len() > 40, "{}", told.len());
    }
}
