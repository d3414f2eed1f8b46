//! A stage: a simulated Discord, bots on it, and what a test asks of both.
//!
//! From: options and scripts. For: every test. A story that fails is told with the bots' last words and the ledger. One that
//! ends well has also broken no rule, unless it was played for that, and everything that was asked was answered once.
//! Deliberately absent: what the stories are about.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use discord_sim::{
    DropConnections, How, Ledger, MadeMessage, NewMessage, Options, ReplyWait, ShardOf, Simulator, Snowflake,
};

use crate::bot::{Bot, Script};

/// Longer than anything takes, even with all cores busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Libraries count their 5 s by clocks of their own, from when they sent; Discord counts from when it was reached. On a machine
/// whose cores are all busy the one may be some milliseconds later than the other, and a window of Discord's is that much
/// shorter here (150 ms), as if the way to it never varied.
const TIME_FACTOR: f64 = 1.03;

/// A simulated Discord and the bots on it.
#[derive(Debug)]
pub struct Stage {
    pub simulator: Simulator,
    bots: Vec<Bot>,
}

/// Plays a story in which no rule may be broken.
pub async fn play(
    options: Options,
    scripts: &[Script],
    story: impl AsyncFnOnce(&Stage) -> Result<()>,
) -> Result<()> {
    let lawful = async |stage: &Stage| {
        story(stage).await?;
        let ledger = stage.simulator.ledger();
        ensure!(ledger.violations == 0, "{} rules were broken", ledger.violations);
        let events = ledger.events;
        ensure!(events.answered == events.asking && events.doubled == 0, "lost or doubled: {events:?}");
        Ok(())
    };
    play_with_breaches(options, scripts, lawful).await
}

/// Plays a story in which a library breaks a rule that the story then names.
pub async fn play_with_breaches(
    options: Options,
    scripts: &[Script],
    story: impl AsyncFnOnce(&Stage) -> Result<()>,
) -> Result<()> {
    let options = Options { time_factor: options.time_factor.max(TIME_FACTOR), ..options };
    let simulator = Simulator::start(options).await.context("start the simulator")?;
    let bots = scripts.iter().map(|script| Bot::start(script, &simulator)).collect::<Result<_>>()?;
    let mut stage = Stage { simulator, bots };
    let ended = match story(&stage).await {
        Ok(()) => stage.has_seen_nothing_strange(),
        failed => failed,
    };
    let ended = ended.map_err(|error| anyhow!("{error:#}\n  {}", stage.seen()));
    stage.bots.clear();
    stage.simulator.stop().await;
    ended
}

impl Stage {
    /// The first bot.
    pub fn bot(&self) -> &Bot {
        &self.bots[0]
    }

    /// The ledger as soon as it satisfies a condition.
    pub async fn ledger_when(&self, what: &str, condition: impl FnMut(&Ledger) -> bool) -> Result<Ledger> {
        let waited = self.simulator.wait_for(PATIENCE, condition).await;
        waited.map_err(|_| anyhow!("waited {} s until {what}", PATIENCE.as_secs()))
    }

    /// Waits until every shard of a total has a session with a connection, and the bot has told its guilds.
    pub async fn is_up(&self, total: u32) -> Result<()> {
        for shard in 0..total {
            let guilds = self.guilds_of(shard, total).len();
            self.bot().says(&format!("shard {shard} of {total}: {guilds} guilds")).await?;
        }
        let is_up = |ledger: &Ledger| {
            let mut shards: Vec<_> = ledger
                .sessions
                .iter()
                .filter(|session| session.connected)
                .map(|session| session.shard)
                .collect();
            shards.sort_unstable();
            shards == (0..total).collect::<Vec<_>>()
        };
        self.ledger_when("each shard has one session", is_up).await.map(drop)
    }

    /// The guilds of a shard, by the formula that Discord documents.
    pub fn guilds_of(&self, shard: u32, total: u32) -> Vec<Snowflake> {
        let guilds = self.simulator.control().world.guilds();
        let is_here = |guild: &Snowflake| (guild.0 >> 22) % u64::from(total) == u64::from(shard);
        guilds.iter().copied().filter(is_here).collect()
    }

    /// A user asks in this guild.
    pub fn ask(&self, guild: Snowflake, content: &str) -> Result<MadeMessage> {
        let message = NewMessage { content: content.into(), guild_id: Some(guild), ..NewMessage::default() };
        Ok(self.simulator.control().post_message(message)?)
    }

    /// Waits for the answer, which must be this one and the only one.
    pub async fn is_answered(&self, made: &MadeMessage, expected: &str) -> Result<()> {
        let most = u64::try_from(PATIENCE.as_millis())?;
        let wait = ReplyWait { wait_ms: most, contains: Some(expected.into()), edits: None };
        let replies = self.simulator.control().replies(made.message_id, &wait).await?;
        let found: Vec<_> = replies.iter().map(|reply| reply.content.as_str()).collect();
        ensure!(found == [expected], "expected the answer {expected:?}, found {found:?}");
        Ok(())
    }

    /// Asks for a Fibonacci number that nothing else asks for, and gets it.
    pub async fn answers(&self, guild: Snowflake) -> Result<()> {
        let made = self.ask(guild, "!fib 90")?;
        self.is_answered(&made, "fib 90 is 2880067194370816120").await
    }

    /// Ends the only connection of a shard.
    pub fn drop_connection(&self, shard: ShardOf, how: How) -> Result<()> {
        let request = DropConnections::of(shard, how);
        let dropped = self.simulator.control().drop_connection(request)?.dropped;
        ensure!(dropped == 1, "{dropped} connections were dropped instead of one");
        Ok(())
    }

    /// What no story may end with.
    fn has_seen_nothing_strange(&self) -> Result<()> {
        let ledger = self.simulator.ledger();
        ensure!(ledger.token_resets == 0, "the token was reset");
        ensure!(ledger.unknown_routes == 0, "routes are missing: {:?}", ledger.unknown_route_details);
        ensure!(
            ledger.cut_off == 0,
            "{} connections were cut off since the bot did not read",
            ledger.cut_off
        );
        Ok(())
    }

    /// What happened so far, for a person.
    fn seen(&self) -> String {
        let words: Vec<_> = self.bots.iter().map(Bot::last_words).collect();
        let ledger = serde_json::to_string(&self.simulator.ledger()).unwrap_or_default();
        format!("{}\n  the ledger: {ledger}", words.join("\n  "))
    }
}
