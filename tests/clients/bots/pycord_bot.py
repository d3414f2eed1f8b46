"""A bot of py-cord: an AutoShardedBot as anybody could write it.

Only the first line differs: py-cord has no option for another Discord, so its own class attribute says where it is.
Environment: DISCORD_BASE (http://host:port), DISCORD_TOKEN, SHARD_COUNT (default: as recommended), SHARD_IDS (such as 0,2),
SLASH (anything: register /ping first).
"""

import os

import discord
from discord.ext import commands

discord.http.Route.API_BASE_URL = os.environ["DISCORD_BASE"] + "/api/v{API_VERSION}"

shard_count = os.environ.get("SHARD_COUNT")
shard_ids = os.environ.get("SHARD_IDS")
intents = discord.Intents.default()
intents.message_content = True


class Bot(commands.AutoShardedBot):
    async def on_connect(self):
        if os.environ.get("SLASH"):
            await self.sync_commands()
            for command in self.application_commands:
                if command.id:
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


@bot.slash_command(name="ping", description="Answers pong")
async def slash_ping(ctx: discord.ApplicationContext):
    await ctx.respond("pong")


bot.run(os.environ["DISCORD_TOKEN"])
