"""A bot of hikari: a GatewayBot as anybody could write it.

Environment: DISCORD_BASE (http://host:port), DISCORD_TOKEN, SHARD_COUNT (default: as recommended), SHARD_IDS (such as 0,2),
SLASH (anything: register /ping first).
"""

import os

import hikari

bot = hikari.GatewayBot(
    os.environ["DISCORD_TOKEN"],
    rest_url=os.environ["DISCORD_BASE"] + "/api/v10",
    intents=hikari.Intents.ALL_UNPRIVILEGED | hikari.Intents.MESSAGE_CONTENT,
    banner=None,
)
# Guilds that a shard was told of and has not seen yet.
awaited = {}


@bot.listen()
async def register(_: hikari.StartingEvent):
    if os.environ.get("SLASH"):
        application = await bot.rest.fetch_application()
        ping = bot.rest.slash_command_builder("ping", "Answers pong")
        for command in await bot.rest.set_application_commands(application, [ping]):
            print(f"registered /{command.name}", flush=True)


@bot.listen()
async def ready(event: hikari.ShardReadyEvent):
    awaited[event.shard.id] = (len(event.unavailable_guilds), set(event.unavailable_guilds))


@bot.listen()
async def available(event: hikari.GuildAvailableEvent):
    guilds, missing = awaited[event.shard.id]
    missing.discard(event.guild_id)
    if not missing:
        print(f"shard {event.shard.id} of {event.shard.shard_count}: {guilds} guilds", flush=True)


@bot.listen()
async def command(event: hikari.GuildMessageCreateEvent):
    if not event.is_human or not event.content:
        return
    if event.content == "!ping":
        await event.message.respond("pong", reply=True)
    elif event.content == "!hidden":
        channels = bot.cache.get_guild_channels_view_for_guild(event.guild_id).values()
        hidden = sum(channel.name == "___hidden___" for channel in channels)
        await event.message.respond(f"{hidden} hidden", reply=True)
    elif event.content.startswith("!fib "):
        n = int(event.content.removeprefix("!fib "))
        a, b = 0, 1
        for _ in range(n):
            a, b = b, a + b
        await event.message.respond(f"fib {n} is {a}", reply=True)


@bot.listen()
async def interaction(event: hikari.InteractionCreateEvent):
    if isinstance(event.interaction, hikari.CommandInteraction) and event.interaction.command_name == "ping":
        await event.interaction.create_initial_response(hikari.ResponseType.MESSAGE_CREATE, "pong")


shard_count = os.environ.get("SHARD_COUNT")
shard_ids = os.environ.get("SHARD_IDS")
bot.run(
    # The one call that would go to another place than Discord.
    check_for_updates=False,
    shard_count=int(shard_count) if shard_count else None,
    shard_ids=[int(shard_id) for shard_id in shard_ids.split(",")] if shard_ids else None,
)
