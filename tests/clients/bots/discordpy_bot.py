"""A bot of discord.py: an AutoShardedBot as anybody could write it.

Only the first lines differ: discord.py has no option for another Discord, so its own class attributes say where it is.
Environment: DISCORD_BASE (http://host:port), DISCORD_TOKEN, SHARD_COUNT (default: as recommended), SHARD_IDS (such as 0,2),
SLASH (anything: register /ping first).
"""

import os

import discord
import yarl
from discord.ext import commands

BASE = os.environ["DISCORD_BASE"]
discord.http.Route.BASE = f"{BASE}/api/v10"
discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(BASE.replace("http", "ws", 1) + "/")

shard_count = os.environ.get("SHARD_COUNT")
shard_ids = os.environ.get("SHARD_IDS")
intents = discord.Intents.default()
intents.message_content = True


class Bot(commands.AutoShardedBot):
    async def setup_hook(self):
        if os.environ.get("SLASH"):
            for command in await self.tree.sync():
                print(f"registered /{command.name}", flush=True)


bot = Bot(
    command_prefix="!",
    intents=intents,
    shard_count=int(shard_count) if shard_count else None,
    shard_ids=[int(shard_id) for shard_id in shard_ids.split(",")] if shard_ids else None,
)


@bot.event
async def on_ready():
    for shard_id in bot.shards:
        guilds = sum(guild.shard_id == shard_id for guild in bot.guilds)
        print(f"shard {shard_id} of {bot.shard_count}: {guilds} guilds", flush=True)


@bot.command()
async def ping(ctx):
    await ctx.reply("pong")


@bot.command()
async def fib(ctx, n: int):
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    await ctx.reply(f"fib {n} is {a}")


@bot.command()
async def hidden(ctx):
    await ctx.reply(f"{sum(channel.name == '___hidden___' for channel in ctx.guild.channels)} hidden")


@bot.tree.command(name="ping", description="Answers pong")
async def slash_ping(interaction: discord.Interaction):
    await interaction.response.send_message("pong")


bot.run(os.environ["DISCORD_TOKEN"])
