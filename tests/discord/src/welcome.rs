//! The first words of the binary: where everything is, how to point each library at it, and a few things to try.
//!
//! From: the options and the simulator as it started. For: people at a terminal, who should need no other page to begin.
//! The lines for libraries are those that their newest versions take without changes; `clients.rs` tells how they behave, and tests run them.
//! Deliberately absent: printing; the binary does that.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::options::{FAKE_TOKEN, Options, Token};
use crate::simulator::Simulator;
use crate::snowflake::Snowflake;

/// Guilds that a shard may have.
const MOST_GUILDS: usize = 2500;

/// What the binary says when it listens.
pub fn welcome(simulator: &Simulator, options: &Options) -> String {
    let at = reachable(simulator.addr());
    let ws = options.public_url.clone().unwrap_or_else(|| format!("ws://{at}"));
    [
        summary(simulator, at),
        too_few(simulator).unwrap_or_default(),
        patience(simulator).unwrap_or_default(),
        libraries(&at.to_string(), &ws, token(options)),
        places(&at.to_string()),
        things_to_try(&at.to_string(), simulator.ledger().recommended_shards),
    ]
    .concat()
}

/// A wildcard is an address to listen at, not one to call.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        let is_v4 = address.is_ipv4();
        address.set_ip(if is_v4 { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { IpAddr::V6(Ipv6Addr::LOCALHOST) });
    }
    address
}

fn token(options: &Options) -> &'static str {
    if options.tokens.contains(&Token::new(FAKE_TOKEN)) { FAKE_TOKEN } else { "YOUR_TOKEN" }
}

fn summary(simulator: &Simulator, at: SocketAddr) -> String {
    let ledger = simulator.ledger();
    let elsewhere = if at == simulator.addr() { String::new() } else { format!(" ({})", simulator.addr()) };
    format!(
        "discord-sim at http://{at}{elsewhere}: {guilds}, {shards} recommended, {buckets}, {left} of {total} IDENTIFYs left, \
time factor {factor}\n",
        guilds = count(ledger.guilds, "guild"),
        shards = count(ledger.recommended_shards.into(), "shard"),
        buckets = count(ledger.max_concurrency.into(), "bucket"),
        left = ledger.budget.remaining,
        total = ledger.budget.total,
        factor = ledger.time_factor,
    )
}

fn count(number: u64, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

/// Where a bot that follows the recommendation will be refused.
fn too_few(simulator: &Simulator) -> Option<String> {
    let guilds = simulator.control().world.guilds();
    let total = simulator.ledger().recommended_shards;
    let most = fullest(&guilds, total);
    if most <= MOST_GUILDS {
        return None;
    }
    let mut enough = u32::try_from(guilds.len() / MOST_GUILDS).unwrap_or(u32::MAX).max(total);
    while fullest(&guilds, enough) > MOST_GUILDS {
        enough += 1;
    }
    Some(format!(
        "\nWARNING: --shards {total} is too few for {} guilds: a shard would have {most}, and one with more than \
{MOST_GUILDS} is refused (4011); use --shards {enough} or leave it out\n",
        guilds.len(),
    ))
}

/// How long a start takes, where it takes time.
fn patience(simulator: &Simulator) -> Option<String> {
    let ledger = simulator.ledger();
    let total = ledger.recommended_shards;
    let waits = total.div_ceil(ledger.max_concurrency) - 1;
    let seconds = f64::from(waits) * 5.0 / ledger.time_factor;
    (waits > 0).then(|| {
        format!(
            "\nA start of all {total} shards takes {seconds:.1} s: one IDENTIFY for each bucket and 5 s, as at Discord. A \
higher --time-factor or --max-concurrency makes it shorter.\n"
        )
    })
}

/// The guilds of the fullest shard.
fn fullest(guilds: &[Snowflake], total: u32) -> usize {
    let mut shards = BTreeMap::<_, usize>::new();
    for guild in guilds {
        *shards.entry(guild.shard(total)).or_default() += 1;
    }
    shards.into_values().max().unwrap_or_default()
}

fn libraries(at: &str, ws: &str, token: &str) -> String {
    format!(
        "
  token           {token}

  twilight        let http = twilight_http::Client::builder().proxy(\"{at}\".to_owned(), true).token(token.clone()).build();
                  let config = twilight_gateway::ConfigBuilder::new(token, intents).proxy_url(\"{ws}\".to_owned()).build();
  discord.py      discord.http.Route.BASE = \"http://{at}/api/v10\"    # both before the client is made
                  discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(\"{ws}/\")
  py-cord         discord.http.Route.API_BASE_URL = \"http://{at}/api/v{{API_VERSION}}\"    # before the client is made
  hikari          bot = hikari.GatewayBot(token, rest_url=\"http://{at}/api/v10\")
                  bot.run(check_for_updates=False)
  discord.js      new Client({{ intents, rest: {{ api: \"http://{at}/api\" }} }})
  @discordjs/ws   const rest = new REST({{ version: \"10\", api: \"http://{at}/api\" }}).setToken(token)
                  new WebSocketManager({{ token, intents, rest }})
  oceanic.js      new Client({{ auth: `Bot ${{token}}`, rest: {{ baseURL: \"http://{at}/api/v10\" }} }})
  discordgo       discordgo.EndpointAPI = \"http://{at}/api/v9/\"    // before a session is made, and so on with what is made of it:
                  discordgo.EndpointGateway = discordgo.EndpointAPI + \"gateway\"
  JDA             builder.setRestConfig(new RestConfig().setBaseUrl(\"http://{at}/api/v10/\"))
                  builder.setSessionController(new ConcurrentSessionController() {{
                    @Override public String getGateway() {{ return \"{ws}/\"; }}    // it uses no address of the gateway but this
                  }})
"
    )
}

fn places(at: &str) -> String {
    format!(
        "
  people          http://{at}/                 shards, budget, violations, live
  programs        http://{at}/ledger           the same as JSON; ?details=false for the counters alone
  control         http://{at}/control/...      faults, load, guilds, time
"
    )
}

fn things_to_try(at: &str, shards: u32) -> String {
    let control = format!("http://{at}/control");
    let shard = shards.saturating_sub(1);
    format!(
        "
  a message       curl {control}/messages -d '{{\"content\":\"!ping\"}}'
  100 a second    curl {control}/generator -d '{{\"rate\":100,\"forMs\":10000,\"content\":\"!ping\"}}'
  a lost line     curl {control}/connections/drop -d '{{\"shard\":{shard},\"total\":{shards},\"how\":\"tcp\"}}'
  the verdict     curl 'http://{at}/ledger?details=false'

Ctrl-C ends it; nothing is kept.
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn text(options: Options) -> String {
        let simulator = Simulator::start(options.clone()).await.unwrap();
        let text = welcome(&simulator, &options);
        simulator.stop().await;
        text
    }

    #[tokio::test]
    async fn too_few_shards_for_the_guilds_are_warned_of_with_the_number_that_is_enough() {
        let few = text(Options { guilds: 5000, shards: Some(1), ..Options::default() }).await;
        assert!(few.contains("WARNING: --shards 1 is too few for 5000 guilds"), "{few}");
        let enough = few.split("use --shards ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        let shards = Some(enough.parse().unwrap());
        for shards in [shards, Some(4), None] {
            let fine = text(Options { guilds: 5000, shards, ..Options::default() }).await;
            assert!(!fine.contains("WARNING"), "{shards:?}: {fine}");
        }
    }

    #[tokio::test]
    async fn a_wildcard_is_never_what_a_bot_is_told_to_call() {
        let text = text(Options { listen: "0.0.0.0:0".parse().unwrap(), ..Options::default() }).await;
        assert_eq!(text.matches("0.0.0.0").count(), 1, "{text}");
        assert!(text.contains("proxy(\"127.0.0.1:"), "{text}");
    }

    #[tokio::test]
    async fn the_gateways_public_address_and_a_token_of_ones_own_are_used_and_not_shown() {
        let tokens = vec![Token::new("MTAw.secret.token")];
        let public_url = Some("wss://sim.example".to_owned());
        let text = text(Options { public_url, tokens, ..Options::default() }).await;
        assert!(text.contains("YOUR_TOKEN") && !text.contains("secret"), "{text}");
        assert!(text.contains("proxy_url(\"wss://sim.example\"") && !text.contains("ws://127"), "{text}");
    }
}
