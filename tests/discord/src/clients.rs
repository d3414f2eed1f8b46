//! What is known of the three libraries as clients, and how it was seen; where they differ, a bot's author may be surprised.
//!
//! From: the tests in `tests/clients` **\[test\]**, a look at the wire between bot and simulator **\[wire\]**, and the libraries'
//! sources at the pinned versions **\[source\]**. For: whoever changes the simulator, since real clients depend on these, and
//! whoever wonders about a ledger. Deliberately absent: opinions, and code.
//!
//! ## What they need of a Discord, beyond what the documentation says
//!
//! | need | who | how it was seen |
//! | --- | --- | --- |
//! | Frames in *binary* WebSocket messages, though they are JSON and `encoding=json` was asked for | hikari sends all of its frames so | wire: a simulator that answers 4002 to binary never gets to READY |
//! | A `Via` header on a 429; without it, the answer is taken for a ban by Cloudflare, raised as an error, never retried | discord.py (`http.py`: `if not response.headers.get('Via')`) | source; test `waits_and_tries_again_when_it_is_refused` fails without it |
//! | `Content-Type: application/json` without a charset | discord.py compares it whole | source |
//! | A heartbeat may come before IDENTIFY and RESUME | discord.py | wire |
//! | `GET /oauth2/applications/@me` at login | discord.py | test: the ledger's REST counts |
//! | RESUME on the same connection after op 9 with `true`, if that connection is left open | @discordjs/ws | wire, with a simulator that leaves it open |
//! | The first part of the token is a number in base64 | hikari | source |
//! | `resume_gateway_url` points back here | all three | wire |
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
