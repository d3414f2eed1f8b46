// A bot of JDA: a ShardManager as anybody could write it.
//
// Only the gateway's address is unusual: JDA never uses the one that Discord's REST names, so a SessionController says it.
// Environment: DISCORD_BASE (http://host:port), DISCORD_TOKEN, SHARD_COUNT (default: as recommended), SHARD_IDS (such as
// 0,2), SLASH (anything: register /ping first).

import java.math.BigInteger;
import java.util.Arrays;
import net.dv8tion.jda.api.entities.Message;
import net.dv8tion.jda.api.events.interaction.command.SlashCommandInteractionEvent;
import net.dv8tion.jda.api.events.message.MessageReceivedEvent;
import net.dv8tion.jda.api.events.session.ReadyEvent;
import net.dv8tion.jda.api.hooks.ListenerAdapter;
import net.dv8tion.jda.api.interactions.commands.Command;
import net.dv8tion.jda.api.interactions.commands.build.Commands;
import net.dv8tion.jda.api.requests.GatewayIntent;
import net.dv8tion.jda.api.requests.RestConfig;
import net.dv8tion.jda.api.sharding.DefaultShardManagerBuilder;
import net.dv8tion.jda.api.utils.ConcurrentSessionController;

public final class JdaBot extends ListenerAdapter {
    private static final String BASE = System.getenv("DISCORD_BASE");

    public static void main(String[] arguments) {
        var builder = DefaultShardManagerBuilder.createDefault(
                System.getenv("DISCORD_TOKEN"),
                GatewayIntent.GUILD_MESSAGES,
                GatewayIntent.MESSAGE_CONTENT);
        builder.setRestConfig(new RestConfig().setBaseUrl(BASE + "/api/v10/"));
        builder.setSessionController(new ConcurrentSessionController() {
            @Override
            public String getGateway() {
                return BASE.replaceFirst("http", "ws") + "/";
            }
        });
        var count = System.getenv("SHARD_COUNT");
        if (count != null) {
            builder.setShardsTotal(Integer.parseInt(count));
        }
        var ids = System.getenv("SHARD_IDS");
        if (ids != null) {
            builder.setShards(Arrays.stream(ids.split(",")).mapToInt(Integer::parseInt).toArray());
        }
        builder.addEventListeners(new JdaBot());
        builder.build();
    }

    @Override
    public void onReady(ReadyEvent event) {
        var shard = event.getJDA().getShardInfo();
        System.out.printf(
                "shard %d of %d: %d guilds%n", shard.getShardId(), shard.getShardTotal(), event.getGuildAvailableCount());
        if (shard.getShardId() == 0 && System.getenv("SLASH") != null) {
            var ping = Commands.slash("ping", "Answers pong");
            for (Command command : event.getJDA().updateCommands().addCommands(ping).complete()) {
                System.out.printf("registered /%s%n", command.getName());
            }
        }
    }

    @Override
    public void onMessageReceived(MessageReceivedEvent event) {
        if (event.getAuthor().isBot()) {
            return;
        }
        Message message = event.getMessage();
        var words = message.getContentRaw().split(" ");
        if (words[0].equals("!ping")) {
            message.reply("pong").queue();
        } else if (words[0].equals("!hidden")) {
            var channels = event.getGuild().getChannels().stream();
            message.reply(channels.filter(channel -> channel.getName().equals("___hidden___")).count() + " hidden").queue();
        } else if (words[0].equals("!fib")) {
            BigInteger a = BigInteger.ZERO;
            BigInteger b = BigInteger.ONE;
            for (int i = 0; i < Integer.parseInt(words[1]); i += 1) {
                BigInteger sum = a.add(b);
                a = b;
                b = sum;
            }
            message.reply("fib " + words[1] + " is " + a).queue();
        }
    }

    @Override
    public void onSlashCommandInteraction(SlashCommandInteractionEvent event) {
        if (event.getName().equals("ping")) {
            event.reply("pong").queue();
        }
    }
}
