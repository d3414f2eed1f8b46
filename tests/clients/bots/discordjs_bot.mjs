// A bot of discord.js, put together from its parts: @discordjs/core on @discordjs/ws and @discordjs/rest.
//
// Environment: DISCORD_BASE (http://host:port), DISCORD_TOKEN, SHARD_COUNT (default: as recommended), SHARD_IDS (such as
// 0,2), COMPRESSION (zlib; default none), SLASH (anything: register /ping first).

import { Client, GatewayDispatchEvents, GatewayIntentBits } from '@discordjs/core';
import { REST } from '@discordjs/rest';
import { CompressionMethod, WebSocketManager } from '@discordjs/ws';

const { DISCORD_BASE, DISCORD_TOKEN, SHARD_COUNT, SHARD_IDS, COMPRESSION, SLASH } = process.env;

const rest = new REST({ version: '10', api: `${DISCORD_BASE}/api` }).setToken(DISCORD_TOKEN);
const gateway = new WebSocketManager({
  token: DISCORD_TOKEN,
  rest,
  intents: GatewayIntentBits.Guilds | GatewayIntentBits.GuildMessages | GatewayIntentBits.MessageContent,
  shardCount: SHARD_COUNT ? Number(SHARD_COUNT) : null,
  shardIds: SHARD_IDS ? SHARD_IDS.split(',').map(Number) : null,
  compression: COMPRESSION === 'zlib' ? CompressionMethod.ZlibNative : null,
});
const client = new Client({ rest, gateway });

// Of each channel its guild and its name; these parts have no cache of their own.
const channels = new Map();
// Guilds that a shard was told of and has not seen yet.
const awaited = new Map();

client.on(GatewayDispatchEvents.Ready, async ({ data, shardId, api }) => {
  awaited.set(shardId, { guilds: data.guilds.length, missing: new Set(data.guilds.map((guild) => guild.id)) });
  if (SLASH && shardId === 0) {
    const ping = { name: 'ping', description: 'Answers pong' };
    for (const command of await api.applicationCommands.bulkOverwriteGlobalCommands(data.application.id, [ping])) {
      console.log(`registered /${command.name}`);
    }
  }
});

client.on(GatewayDispatchEvents.GuildCreate, async ({ data, shardId }) => {
  for (const { id, name } of data.channels) channels.set(id, { guild: data.id, name });
  const shard = awaited.get(shardId);
  shard.missing.delete(data.id);
  if (shard.missing.size === 0) {
    console.log(`shard ${shardId} of ${await gateway.getShardCount()}: ${shard.guilds} guilds`);
  }
});

client.on(GatewayDispatchEvents.ChannelUpdate, ({ data }) => {
  channels.set(data.id, { guild: data.guild_id, name: data.name });
});

client.on(GatewayDispatchEvents.MessageCreate, async ({ data, api }) => {
  if (data.author.bot) return;
  const reply = (content) =>
    api.channels.createMessage(data.channel_id, { content, message_reference: { message_id: data.id } });
  const [command, argument] = data.content.split(' ');
  if (command === '!ping') {
    await reply('pong');
  } else if (command === '!hidden') {
    const hidden = [...channels.values()].filter(({ guild, name }) => guild === data.guild_id && name === '___hidden___');
    await reply(`${hidden.length} hidden`);
  } else if (command === '!fib') {
    let [a, b] = [0n, 1n];
    for (let i = 0; i < Number(argument); i += 1) [a, b] = [b, a + b];
    await reply(`fib ${argument} is ${a}`);
  }
});

client.on(GatewayDispatchEvents.InteractionCreate, async ({ data, api }) => {
  if (data.data?.name === 'ping') {
    await api.interactions.reply(data.id, data.token, { content: 'pong' });
  }
});

gateway.on('socketError', (error, shardId) => console.log(`shard ${shardId}: ${error}`));
await gateway.connect();
