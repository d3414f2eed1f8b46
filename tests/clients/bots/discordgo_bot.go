// A bot of discordgo: one Session for each shard, opened in a loop, as anybody could write it; there is no client of shards.
//
// Only the first lines of main differ: discordgo has no option for another Discord, so its own package variables say where it
// is. Environment: DISCORD_BASE (http://host:port), DISCORD_TOKEN, SHARD_COUNT (default: as recommended), SHARD_IDS (such as
// 0,2), UNSPACED (anything: open all shards at once), SLASH (anything: register /ping first).
package main

import (
	"fmt"
	"log"
	"math/big"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/bwmarrin/discordgo"
)

// What Discord wants between two IDENTIFYs of a bucket, and a little more: Open returns with READY, but it is the sending that
// counts, and clocks differ.
const span = 5*time.Second + 100*time.Millisecond

func main() {
	discordgo.EndpointDiscord = os.Getenv("DISCORD_BASE") + "/"
	discordgo.EndpointAPI = discordgo.EndpointDiscord + "api/v" + discordgo.APIVersion + "/"
	discordgo.EndpointGuilds = discordgo.EndpointAPI + "guilds/"
	discordgo.EndpointChannels = discordgo.EndpointAPI + "channels/"
	discordgo.EndpointUsers = discordgo.EndpointAPI + "users/"
	discordgo.EndpointGateway = discordgo.EndpointAPI + "gateway"
	discordgo.EndpointGatewayBot = discordgo.EndpointGateway + "/bot"
	discordgo.EndpointWebhooks = discordgo.EndpointAPI + "webhooks/"
	discordgo.EndpointApplications = discordgo.EndpointAPI + "applications"

	first := session(0, 1)
	gateway, err := first.GatewayBot()
	check(err)
	total := gateway.Shards
	if count := os.Getenv("SHARD_COUNT"); count != "" {
		total, err = strconv.Atoi(count)
		check(err)
	}
	for place, shard := range shards(total) {
		// As many at once as are allowed, then a pause.
		if place > 0 && place%gateway.SessionStartLimit.MaxConcurrency == 0 && os.Getenv("UNSPACED") == "" {
			time.Sleep(span)
		}
		check(session(shard, total).Open())
	}
	select {}
}

func shards(total int) []int {
	var ids []int
	if chosen := os.Getenv("SHARD_IDS"); chosen != "" {
		for _, id := range strings.Split(chosen, ",") {
			shard, err := strconv.Atoi(id)
			check(err)
			ids = append(ids, shard)
		}
		return ids
	}
	for shard := 0; shard < total; shard++ {
		ids = append(ids, shard)
	}
	return ids
}

func session(shard, total int) *discordgo.Session {
	session, err := discordgo.New("Bot " + os.Getenv("DISCORD_TOKEN"))
	check(err)
	session.ShardID, session.ShardCount = shard, total
	session.Identify.Intents = discordgo.IntentsGuilds | discordgo.IntentsGuildMessages | discordgo.IntentsMessageContent

	// Guilds that this shard was told of and has not seen yet.
	var lock sync.Mutex
	guilds, missing := 0, map[string]bool{}
	// Handlers are goroutines: a guild may be heard of before READY is.
	seen := map[string]bool{}
	told := func() {
		if guilds > 0 && len(missing) == 0 {
			fmt.Printf("shard %d of %d: %d guilds\n", shard, total, guilds)
		}
	}
	session.AddHandler(func(s *discordgo.Session, ready *discordgo.Ready) {
		if shard == 0 && os.Getenv("SLASH") != "" {
			register(s, ready.Application.ID)
		}
		lock.Lock()
		defer lock.Unlock()
		guilds = len(ready.Guilds)
		for _, guild := range ready.Guilds {
			if !seen[guild.ID] {
				missing[guild.ID] = true
			}
		}
		told()
	})
	session.AddHandler(func(_ *discordgo.Session, guild *discordgo.GuildCreate) {
		lock.Lock()
		defer lock.Unlock()
		seen[guild.ID] = true
		if missing[guild.ID] {
			delete(missing, guild.ID)
			told()
		}
	})
	session.AddHandler(answer)
	session.AddHandler(func(s *discordgo.Session, interaction *discordgo.InteractionCreate) {
		if interaction.Type == discordgo.InteractionApplicationCommand && interaction.ApplicationCommandData().Name == "ping" {
			pong := &discordgo.InteractionResponseData{Content: "pong"}
			response := &discordgo.InteractionResponse{Type: discordgo.InteractionResponseChannelMessageWithSource, Data: pong}
			check(s.InteractionRespond(interaction.Interaction, response))
		}
	})
	return session
}

func register(s *discordgo.Session, application string) {
	ping := &discordgo.ApplicationCommand{Name: "ping", Description: "Answers pong"}
	commands, err := s.ApplicationCommandBulkOverwrite(application, "", []*discordgo.ApplicationCommand{ping})
	check(err)
	for _, command := range commands {
		fmt.Printf("registered /%s\n", command.Name)
	}
}

func answer(s *discordgo.Session, message *discordgo.MessageCreate) {
	if message.Author.Bot {
		return
	}
	content := ""
	command, argument, _ := strings.Cut(message.Content, " ")
	switch command {
	case "!ping":
		content = "pong"
	case "!hidden":
		guild, err := s.State.Guild(message.GuildID)
		check(err)
		hidden := 0
		s.State.RLock()
		for _, channel := range guild.Channels {
			if channel.Name == "___hidden___" {
				hidden++
			}
		}
		s.State.RUnlock()
		content = fmt.Sprintf("%d hidden", hidden)
	case "!fib":
		n, err := strconv.Atoi(argument)
		check(err)
		a, b := big.NewInt(0), big.NewInt(1)
		for i := 0; i < n; i++ {
			a, b = b, a.Add(a, b)
		}
		content = fmt.Sprintf("fib %d is %s", n, a)
	default:
		return
	}
	_, err := s.ChannelMessageSendReply(message.ChannelID, content, message.Reference())
	check(err)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
