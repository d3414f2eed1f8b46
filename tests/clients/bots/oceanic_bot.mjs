// A bot of oceanic.js: its Client with all shards in one process, as anybody could write it.
//
// Environment: DISCORD_BASE (http://host:port), DISCORD_TOKEN, SHARD_COUNT (default: as recommended), SHARD_IDS (such as
// 0,2), SLASH (anything: register /ping first).

import { ApplicationCommandTypes, Client, Intents, InteractionTypes } from 'oceanic.js';

const { DISCORD_BASE, DISCORD_TOKEN, SHARD_COUNT, SHARD_IDS, SLASH } = process.env;

const client = new Client({
  auth: `Bot ${DISCORD_TOKEN}`,
  rest: { baseURL: `${DISCORD_BASE}/api/v10` },
  gateway: {
    intents: Intents.GUILDS | Intents.GUILD_MESSAGES | Intents.MESSAGE_CONTENT,
    maxShards: SHARD_COUNT ? Number(SHARD_COUNT) : 'auto',
    shardIDs: SHARD_IDS ? SHARD_IDS.split(',').map(Number) : [],
  },
});

client.on('shardReady', (shardId) => {
  const guilds = client.guilds.filter((guild) => guild.shard.id === shardId).length;
  console.log(`shard ${shardId} of ${client.shards.options.maxShards}: ${guilds} guilds`);
});

client.on('ready', async () => {
  if (!SLASH) return;
  const ping = { type: ApplicationCommandTypes.CHAT_INPUT, name: 'ping', description: 'Answers pong' };
  for (const command of await client.application.bulkEditGlobalCommands([ping])) {
    console.log(`registered /${command.name}`);
  }
});

client.on('messageCreate', async (message) => {
  if (message.author.bot) return;
  const reply = (content) =>
    client.rest.channels.createMessage(message.channelID, { content, messageReference: { messageID: message.id } });
  const [command, argument] = message.content.split(' ');
  if (command === '!ping') {
    await reply('pong');
  } else if (command === '!hidden') {
    const hidden = client.guilds.get(message.guildID).channels.filter(({ name }) => name === '___hidden___');
    await reply(`${hidden.length} hidden`);
  } else if (command === '!fib') {
    let [a, b] = [0n, 1n];
    for (let i = 0; i < Number(argument); i += 1) [a, b] = [b, a + b];
    await reply(`fib ${argument} is ${a}`);
  }
});

client.on('interactionCreate', async (interaction) => {
  if (interaction.type === InteractionTypes.APPLICATION_COMMAND && interaction.data.name === 'ping') {
    await interaction.createMessage({ content: 'pong' });
  }
});

// Without a listener for it, an error of a shard would end the process.
client.on('error', (error, shardId) => console.log(`shard ${shardId}: ${error}`));
await client.connect();
