//! What is known of the seven libraries as clients, and how it was seen; where they differ, a bot's author may be surprised.
//!
//! From: the tests in `tests/clients` **\[test\]**, a look at the wire between bot and simulator **\[wire\]**, the libraries'
//! sources at the pinned versions **\[source\]**, and runs on a scripted gateway that is not this one **\[run\]**. For: whoever
//! changes the simulator, since real clients depend on these, and whoever wonders about a ledger. Deliberately absent: opinions,
//! and code.
//!
//! ## What they need of a Discord, beyond what the documentation says
//!
//! | need | who | how it was seen |
//! | --- | --- | --- |
//! | Frames in *binary* WebSocket messages, though they are JSON and `encoding=json` was asked for | hikari sends all of its frames so | wire: a simulator that answers 4002 to binary never gets to READY |
//! | A `Via` header on a 429; without it, the answer is taken for a ban by Cloudflare, raised as an error, never retried | discord.py and py-cord (`http.py`: `if not response.headers.get('Via')`) | source; test `waits_and_tries_again_when_it_is_refused` fails without it |
//! | `Content-Type: application/json` without a charset | discord.py compares it whole | source |
//! | A heartbeat may come before IDENTIFY and RESUME | discord.py, py-cord, JDA | wire |
//! | `GET /oauth2/applications/@me` at login | discord.py | test: the ledger's REST counts |
//! | RESUME on the same connection after op 9 with `true`, if that connection is left open | @discordjs/ws, oceanic.js | wire, with a simulator that leaves it open |
//! | IDENTIFY on the same connection after op 9 with `false` | oceanic.js; discordgo, also after `true` | test: the ledger's closes |
//! | The first part of the token is a number in base64 | hikari | source |
//! | `resume_gateway_url` points back here | all but py-cord and discordgo, which never use it | wire |
//! | API and gateway of version 9 | discordgo, for all it does | test: nothing of it connects without |
//! | `"status": ""` in IDENTIFY's presence | discordgo, unless its bot sets one | test: nothing of it connects without |
//! | A body of `application/x-www-form-urlencoded` with `payload_json` | py-cord's answers to interactions | test `answers_a_slash_command` fails without |
//! | A command's `contexts` and `integration_types` as strings that hold numbers | JDA | test `answers_a_slash_command` fails without |
//! | The first host is `gateway.discord.gg`, whatever `GET /gateway/bot` says | JDA; only a `SessionController` of the bot's own says another | source; run |
//!
//! ## Channels that the bot may not view
//!
//! All keep such a channel in their caches among the others, as `___hidden___`, and show and hide it again as an update, which a
//! bot that logs changes takes for a new name (tests `knows_what_is_hidden`). Whether Discord sends the `bitrate` of a hidden voice
//! channel is not known. The simulator sends it unless `hiddenVoiceBitrate` is false; then:
//!
//! | who | what becomes of it | how it was seen |
//! | --- | --- | --- |
//! | py-cord, discord.js, oceanic.js, discordgo | Nothing; in discord.js and oceanic.js a voice channel that is hidden again keeps its old bitrate | tests `knows_what_is_hidden_without_a_bitrate`; run |
//! | discord.py | `KeyError`; `run()` raises, and the bot ends | run; not among the tests, which end no foreign program by what they send |
//! | hikari | `KeyError` in its handler of GUILD_CREATE: the guild does not become available | run; not among the tests |
//! | JDA | GUILD_CREATE is dropped with a warning, and the shard does not become ready | run; not among the tests |
//!
//! ## discord.py 2.7.1
//!
//! | what | fact | how it was seen |
//! | --- | --- | --- |
//! | Calls at the start | `GET /users/@me`, `GET /oauth2/applications/@me`, then `GET /gateway/bot`, the last only without `shard_count` | wire |
//! | Order and pace of IDENTIFYs | One shard after the other, 5.0 s between them, whatever `max_concurrency` is; the connection is opened first and waits those 5 s after HELLO | test `connects_with_four_shards`; wire |
//! | First shard of a process | Waits for nobody: two processes that start together break the identify limit | test `identifies_at_once_in_each_process` |
//! | IDENTIFY | Token without `Bot `, `compress: true` beside transport compression, `large_threshold` 250, no presence unless set | wire |
//! | Heartbeats | One at once after HELLO, before IDENTIFY or RESUME, without jitter; then each interval from a thread of its own; `d` null before READY | wire |
//! | Compression | `zstd-stream` where `zstandard` is installed (or Python is 3.14 or newer), else `zlib-stream`; never none | source; wire |
//! | TCP ends | RESUME at once, to the resume URL, with the same query | wire; test `resumes_after_a_dropped_connection_and_loses_nothing` |
//! | Op 7, op 9 `true` | Closes with 4000, connects again at once, RESUME | wire; tests `resumes_after_op_...` |
//! | Op 9 `false` | Closes with 1000, connects at once to the first URL, waits 5 s, IDENTIFY: never too early | wire; test `identifies_again_after_op_9_false` |
//! | Close codes it gives up at | 4004, 4010 to 4014; after any other, 4003, 4007 and 4009 among them, RESUME | source |
//! | Its own end | 1000: the session is gone; killed: nothing, and the session lives | source; ledger |
//! | 429 | Sleeps as long as `retry_after` in the body says, up to five tries; one refusal, one retry | test `waits_and_tries_again_when_it_is_refused` |
//! | Limits | Bucket by header and top-level resource; the first call to an unknown bucket goes alone; not refused once in 12 messages at once to a limit of 5 | test `is_not_refused_while_it_is_told_what_is_left` |
//! | Daily budget | Not looked at | source |
//!
//! ## hikari 2.7.0
//!
//! | what | fact | how it was seen |
//! | --- | --- | --- |
//! | Calls at the start | `GET /gateway/bot` alone, also where `shard_count` is given | test: the ledger's REST counts |
//! | Order and pace of IDENTIFYs | Windows of `max_concurrency` shards in the order of the list, in any order within a window; the next begins 5 s after the last READY of the one before | test `connects_with_four_shards` |
//! | Windows and buckets | A window takes the next shards of the list, whatever `shard % max_concurrency` is: shards 0 and 2 of 4 with a concurrency of 2 break the identify limit | test `takes_windows_for_buckets` |
//! | IDENTIFY | Token without `Bot `, `compress: false`, `large_threshold` 250, `capabilities` 0, a presence with the old key `game` | wire |
//! | Heartbeats | One right after IDENTIFY or RESUME, without jitter, then each interval | wire |
//! | Compression | `zstd-stream` where `backports.zstd` is installed (or Python is 3.14 or newer), else `zlib-stream` | source; wire (zlib-stream) |
//! | TCP ends, op 7, op 9 `true` | Closes with 3000, waits 1 to 2 s if the connection was younger than 30 s (then 1.85 times longer each), RESUME | wire; tests `resumes_after_...` |
//! | Op 9 `false` | Closes with 3000, waits the same 1 to 2 s and not for the bucket, IDENTIFY: too early after a fresh start, refused with another op 9, until its waits have grown | test `identifies_too_early_after_op_9_false` |
//! | Close codes it gives up at | All from 4000 on but 4000, 4002, 4007, 4008 and 4009: also 4001, 4003 and 4005, after which Discord documents a reconnect; the whole bot ends | source |
//! | Its own end | 1001, also at SIGTERM: the session is gone | wire |
//! | 429 | With scope `user` and nothing remaining it tries again *at once*, as often as its own count of the limit allows (4 of 5 here), and only then waits: up to `limit` refusals for one call | test `waits_and_tries_again_when_it_is_refused` |
//! | Limits | Not refused once in 12 messages at once to a limit of 5 | test `is_not_refused_while_it_is_told_what_is_left` |
//! | Daily budget | Refuses to start when less is left than it has shards | source |
//! | User-Agent | Its own for REST, aiohttp's for the gateway | wire |
//!
//! ## @discordjs/ws 2.0.4, @discordjs/rest 2.6.3, @discordjs/core 2.6.0
//!
//! | what | fact | how it was seen |
//! | --- | --- | --- |
//! | Calls at the start | `GET /gateway/bot` alone, also where `shardCount` is given; its answer is kept as long as its `reset_after` says | test: the ledger's REST counts; source |
//! | Order and pace of IDENTIFYs | All connections open at once; a queue for each `shard % max_concurrency`, 5 s and up to 1.5 s more, by chance, within one; queues do not wait for each other | test `connects_with_four_shards` |
//! | IDENTIFY | Token without `Bot `, `compress: false`, no `large_threshold` unless set | wire |
//! | Heartbeats | The first after `interval * random`, as documented, then each interval | source |
//! | Compression | None unless asked for; then `zlib-stream` through Node's own zlib | test `reads_zlib_stream` |
//! | WebSocket | Offers permessage-deflate; no User-Agent | wire |
//! | TCP ends | Waits 0.5 s, RESUME; but where the socket reports an error, such as a reset, it drops the session and identifies | test `resumes_after_a_dropped_connection_and_loses_nothing`; source |
//! | Op 7 | Closes with 4200, waits 0.5 s, RESUME | wire |
//! | Op 9 `true` | RESUME over the same connection; where that is closed meanwhile, another RESUME after 0.5 s | wire; test `resumes_after_op_9_true_and_loses_nothing` |
//! | Op 9 `true`, and TCP reset at the same moment | The process can end with "Tried to connect a shard that wasn't idle" | wire, once, through a proxy that cut the connection |
//! | Op 9 `false` | Closes with 1000, waits 0.5 s and for its queue, IDENTIFY: never too early | wire; test `identifies_again_after_op_9_false` |
//! | Close codes it identifies after | 1000, 4003, 4005, 4007, 4008; RESUME after 4000, 4001, 4002, 4009 and unknown ones; gives up at 4004, 4010 to 4014 | source |
//! | Its own end | `destroy()` closes with 1000 and deletes the session; killed: nothing, and the session lives | source; ledger |
//! | 429 | Waits as long as `Retry-After` says, and 50 ms; one refusal, one retry | test `waits_and_tries_again_when_it_is_refused` |
//! | Limits | One call of a bucket at a time; not refused once in 12 messages at once to a limit of 5 | test `is_not_refused_while_it_is_told_what_is_left` |
//! | Daily budget | Refuses to start when less is left than it has shards | source |
//!
//! ## py-cord 2.8.1
//!
//! discord.py's line of 2021, with which it shares the name of its package and much of its behaviour; what differs:
//!
//! | what | fact | how it was seen |
//! | --- | --- | --- |
//! | Calls at the start | `GET /users/@me`, then `GET /gateway/bot`, the last also by each reconnect as `GET /gateway` | test: the ledger's REST counts |
//! | Order and pace of IDENTIFYs | As discord.py: one after the other, 5.0 s between them | test `connects_with_four_shards` |
//! | Compression | `zlib-stream`, always | run |
//! | RESUME | To the general URL, asked anew; never to the resume URL | test: the ledger's REST counts; run |
//! | TCP ends; op 7, op 9 `true` | RESUME at once; the two ops after a close with 4000 | tests `resumes_after_...` |
//! | Op 9 `false` | Closes with 1000, connects at once, waits 5 s, IDENTIFY: never too early | test `identifies_again_after_op_9_false` |
//! | Its own end | 1000; at SIGTERM a single Client goes without a close frame | run |
//! | 429, limits | As discord.py: one refusal, one retry; not refused once in 12 messages | tests `waits_...`, `is_not_refused_...` |
//! | Daily budget | Not looked at | run |
//!
//! ## oceanic.js 1.15.0
//!
//! | what | fact | how it was seen |
//! | --- | --- | --- |
//! | Calls at the start | `GET /gateway/bot` alone | test: the ledger's REST counts |
//! | Order and pace of IDENTIFYs | A queue for each `shard % max_concurrency`, 5 s counted from READY, looked at each half second | test `connects_with_four_shards`; source |
//! | IDENTIFY | Token with `Bot `, `compress: false` (the transport's name where one is asked for), `large_threshold` 250 | run; source |
//! | Heartbeats | One at once after IDENTIFY with `d` 0, then each interval | run |
//! | Ready | When the last guild came, or 2 s after the last that came | test `connects_with_one_shard`; source |
//! | TCP ends | RESUME at once, to the resume URL | test `resumes_after_a_dropped_connection_and_loses_nothing` |
//! | Op 7 | Ends the connection without a close frame, RESUME at once | test: the ledger's closes |
//! | Op 9 `true` | RESUME on the same connection, at once | test: the ledger's closes |
//! | Op 9 `false` | IDENTIFY on the same connection, at once; refused, it does so again, without a pause, until the bucket is free or 120 frames are sent (then about 20 s pass before it comes back) | tests `identifies_again_after_op_9_false`, `floods_with_identifies_after_op_9_false` |
//! | Its own end | 1000; killed: nothing | run |
//! | 429, limits | Waits as long as it is told; not refused once in 12 messages | tests `waits_...`, `is_not_refused_...` |
//! | Daily budget | Not looked at | run |
//! | Errors of a shard | An `error` event; without a listener for it the process ends | source |
//! | User-Agent | Node's own, `node`, and not the one that Discord wants | run |
//!
//! ## discordgo 0.29.0
//!
//! | what | fact | how it was seen |
//! | --- | --- | --- |
//! | Shards | No client of them: one `Session` for each, and the bot's own loop of `Open` | source |
//! | Calls at the start | `GET /gateway` by the first `Open` of each session; `GET /gateway/bot` only where the bot asks | test: the ledger's REST counts |
//! | Pace of IDENTIFYs | None: a plain loop sends them all at once and breaks the identify limit; `Open` returns without an error although it was refused | test `opens_its_shards_without_a_pause` |
//! | IDENTIFY | Version 9, token with `Bot `, `compress: true`, a presence with status `""` and the old key `game`, `shard` only where it is set | run |
//! | Heartbeats | The first only after READY, at once then | run |
//! | TCP ends, op 7 | Waits 1 s (it closes the connection with 1000, at op 7 with 1012), RESUME to the URL of the start, never the resume URL | tests `resumes_after_...` |
//! | Op 9 | IDENTIFY on the same connection, at once, whether `d` is true or false: the session is given up | tests `identifies_after_op_9_true_and_loses_what_came_meanwhile`, `identifies_again_after_op_9_false` |
//! | Op 9, refused | Again, without a pause, until the bucket is free or 120 frames are sent | test `floods_with_identifies_after_op_9_false` |
//! | Close codes it gives up at | None: at 4014 it tries again after 1, 2, 4, 8, 16 s and so on | run |
//! | Its own end | 1000; `Close` sleeps for a second | run; source |
//! | Handlers | A goroutine for each event: they may be called in another order than Discord sent | source |
//! | 429, limits | Waits as long as it is told; not refused once in 12 messages | tests `waits_...`, `is_not_refused_...` |
//! | Daily budget | Not looked at | run |
//!
//! ## JDA 6.5.0
//!
//! | what | fact | how it was seen |
//! | --- | --- | --- |
//! | Calls at the start | `GET /gateway/bot` twice and `GET /users/@me` | test: the ledger's REST counts |
//! | Order and pace of IDENTIFYs | A queue for each `shard % max_concurrency`, 5 s within one, in any order | test `connects_with_four_shards` |
//! | `setShards(2, 5)` | The range from 2 to 5, not the two | run |
//! | IDENTIFY | Token without `Bot `, `shard` always | run |
//! | Heartbeats | One at once after HELLO with `d` 0, then each interval | run |
//! | Compression | `zlib-stream` unless told otherwise | run |
//! | Ready | When all guilds came; one that is missing holds it up for about 80 s | test `connects_with_one_shard`; run |
//! | TCP ends; op 7, op 9 `true` | RESUME at once, to the resume URL; the two ops after a close with 4900 | tests `resumes_after_...` |
//! | Op 9 `false` | Closes with 1000, waits 2 s and for its queue, IDENTIFY: never too early | test `identifies_again_after_op_9_false` |
//! | Its own end | 1000, also at SIGTERM | run |
//! | 429, limits | Waits as long as it is told; not refused once in 12 messages | tests `waits_...`, `is_not_refused_...` |
//! | Daily budget | Not looked at | run |
