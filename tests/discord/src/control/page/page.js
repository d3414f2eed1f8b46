// The page's life: it reads the ledger once a second and shows it. It asks nobody else, and remembers nothing.
//
// What bots sent is among the texts, so texts only ever become text nodes. What did not change is left alone, so that
// selections, focus and scrolling survive. Deliberately absent: anything that changes the simulator.
"use strict";

const EVERY_MS = 1000;
const PATIENCE_MS = 5000;
const LOG = 50;
const FEW = 100; // Up to so many shards have their numbers in their boxes.
const MOST_BUCKETS = 16;
const IDENTIFY_MS = 5000;
const STATES = { c: "connected", w: "without connection", n: "never ready" };

const $ = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat("en");
const count = (number) => whole.format(number);
const plural = (number, one, many) => `${count(number)} ${number === 1 ? one : many}`;

function element(tag, text, name) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  return made;
}

function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function span(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 1000) return `${ms} ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

const about = (ms) => (ms < 60_000 ? `${Math.floor(ms / 1000)} s` : span(ms));

let startedAt = 0;
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 1 });
const at = (ms) => clock.format(new Date(startedAt + ms));
const place = (of) => (of.total === null ? "–" : `${of.shard} of ${of.total}`);
const clip = (text, most = 400) => (text.length > most ? `${text.slice(0, most)} ...` : text);
// "identifyRate" as a person reads it.
const words = (name) => name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);

// Replaces children only where what they say changed; `key` is that.
const shown = new WeakMap();
function show(node, key, make) {
  const text = JSON.stringify(key);
  if (shown.get(node) === text) return;
  shown.set(node, text);
  node.replaceChildren(...make());
}

// Rows are arrays of texts and numbers; columns of numbers stand to the right, the last column takes what room there is.
// With a single bot its column says nothing.
let bots = 1;
function table(name, all) {
  const into = document.querySelector(`[data-table="${name}"]`);
  const isShown = (column) => bots > 1 || column !== "bot";
  const columns = into.dataset.columns.split(",").filter(isShown);
  const rows = all.map((row) => row.filter((_, index) => isShown(into.dataset.columns.split(",")[index])));
  show(into, rows, () => {
    if (rows.length === 0) return into.dataset.none ? [element("p", into.dataset.none)] : [];
    const made = element("table");
    made.append(element("caption", into.dataset.caption));
    const style = rows[0].map((cell, index) => (typeof cell === "number" ? "number" : index === columns.length - 1 ? "wide" : ""));
    const head = made.createTHead().insertRow();
    columns.forEach((column, index) => {
      const cell = element("th", column, style[index]);
      cell.scope = "col";
      head.append(cell);
    });
    const body = made.createTBody();
    for (const row of rows) {
      const line = body.insertRow();
      row.forEach((cell, index) => line.append(element("td", typeof cell === "number" ? count(cell) : clip(cell), style[index])));
    }
    // What scrolls must be reachable by keyboard.
    into.tabIndex = 0;
    return [made];
  });
}

// ---- Shards

const grids = new Map();
let chosen = null; // { application, total, shard }

const isChosen = (grid, shard) => chosen !== null && chosen.application === grid.applicationId && chosen.total === grid.total && chosen.shard === shard;

function drawBox(box, letter, shard, isFew) {
  box.className = `box ${letter}`;
  box.ariaLabel = `shard ${shard}: ${STATES[letter]}`;
  box.title = box.ariaLabel;
  if (isFew && box.textContent === "") box.textContent = shard;
}

function newGrid(grid) {
  const isFew = grid.total <= FEW;
  const outer = element("details", undefined, "total");
  const summary = outer.appendChild(element("summary"));
  const name = bots > 1 ? `, bot ${grid.applicationId}` : "";
  summary.append(element("h3", `${plural(grid.total, "shard", "shards")}${name}`));
  const facts = summary.appendChild(element("span", "", "quiet"));
  const field = outer.appendChild(element("div", undefined, isFew ? "few" : "many"));
  field.role = "group";
  field.ariaLabel = `Shards of total ${grid.total}${name}`;
  const away = outer.appendChild(element("p", "", "away"));
  const boxes = [];
  let into = field;
  for (let shard = 0; shard < grid.states.length; shard++) {
    if (!isFew && shard % 100 === 0) {
      const block = field.appendChild(element("div", undefined, "block"));
      block.append(element("span", `${shard}–${Math.min(shard + 99, grid.total - 1)}`));
      into = block.appendChild(element("div"));
    }
    const box = element("button");
    box.type = "button";
    box.tabIndex = shard === 0 ? 0 : -1;
    drawBox(box, grid.states[shard], shard, isFew);
    into.append(box);
    boxes.push(box);
  }
  const made = { outer, facts, away, boxes, field, isFew, states: grid.states, isOpen: null, applicationId: grid.applicationId, total: grid.total };
  field.addEventListener("click", (event) => {
    const shard = boxes.indexOf(event.target.closest("button"));
    if (shard >= 0) choose(made, shard);
  });
  field.addEventListener("keydown", (event) => moveFocus(event, made));
  return made;
}

function moveFocus(event, grid) {
  const { boxes, isFew } = grid;
  const here = boxes.indexOf(document.activeElement);
  if (here < 0) return;
  const row = isFew ? Math.max(1, boxes.findIndex((box) => box.offsetTop > boxes[0].offsetTop)) : 10;
  const to = { ArrowLeft: here - 1, ArrowRight: here + 1, ArrowUp: here - row, ArrowDown: here + row, Home: 0, End: boxes.length - 1 }[event.key];
  if (to === undefined || to < 0 || to >= boxes.length) return;
  event.preventDefault();
  focusOn(boxes, to);
}

function focusOn(boxes, shard) {
  for (const box of boxes) if (box.tabIndex === 0) box.tabIndex = -1;
  boxes[shard].tabIndex = 0;
  boxes[shard].focus();
}

function redrawGrid(known, grid, isNewest) {
  for (let shard = 0; shard < grid.states.length; shard++) {
    if (known.states[shard] !== grid.states[shard]) drawBox(known.boxes[shard], grid.states[shard], shard, known.isFew);
    const pressed = String(isChosen(grid, shard));
    if (known.boxes[shard].ariaPressed !== pressed) known.boxes[shard].ariaPressed = pressed;
  }
  known.states = grid.states;
  const isOver = grid.sessions === 0 && grid.shardsReadyOnce > 0;
  const ready = grid.timeToReadyMs !== null ? `all ready after ${span(grid.timeToReadyMs)}`
    : grid.shardsReadyOnce === 0 ? `first IDENTIFY at ${at(grid.firstIdentifyAtMs)}`
    : `${count(grid.shardsReadyOnce)} were ready after ${span(grid.lastFirstReadyAtMs - grid.firstIdentifyAtMs)}`;
  const cut = grid.states.length < grid.total ? `; the first ${count(grid.states.length)} are shown` : "";
  const pause = grid.longestPauseMs > 0 ? `; longest pause ${span(grid.longestPauseMs)}` : "";
  const sessions = isOver ? "; no session is left" : "";
  say(known.facts, `${count(grid.connected)} connected, ${count(grid.withoutConnection)} without connection, ${count(grid.neverReady)} never ready; ${ready}${pause}${sessions}${cut}`);
  say(known.away, grid.withoutConnection > 0 && !isOver ? `Without connection: ${ranges(grid.states, "w")}` : "");
  known.away.hidden = known.away.textContent === "";
  // A total that was given up is folded away once; after that it is the reader's.
  const shouldOpen = !isOver || isNewest;
  if (known.isOpen !== shouldOpen) known.outer.open = known.isOpen = shouldOpen;
}

function ranges(states, letter) {
  const found = [];
  for (let from = states.indexOf(letter); from >= 0 && found.length < 40; ) {
    let to = from;
    while (states[to + 1] === letter) to++;
    found.push(from === to ? `${from}` : `${from}–${to}`);
    from = states.indexOf(letter, to + 1);
  }
  return found.join(", ") + (found.length === 40 ? ", ..." : "");
}

function showGrids(ledger, hasRestarted) {
  if (hasRestarted) {
    choose(null);
    for (const known of grids.values()) known.outer.remove();
    grids.clear();
  }
  const newest = Math.max(...ledger.grids.map((grid) => grid.firstIdentifyAtMs));
  const sorted = ledger.grids.toSorted((a, b) => (b.sessions > 0) - (a.sessions > 0) || a.total - b.total || a.applicationId.localeCompare(b.applicationId));
  const wanted = new Set();
  let before = null;
  for (const grid of sorted) {
    const key = `${grid.applicationId}/${grid.total}/${bots > 1}/${grid.states.length}`;
    if (!grids.has(key)) grids.set(key, newGrid(grid));
    const known = grids.get(key);
    redrawGrid(known, grid, grid.firstIdentifyAtMs === newest);
    // Only what is not at its place is moved: moving takes the focus away.
    const here = before ? following(before) : $("grids").firstElementChild;
    if (here !== known.outer) $("grids").insertBefore(known.outer, here);
    before = known.outer;
    wanted.add(key);
  }
  for (const [key, known] of grids) {
    if (wanted.has(key)) continue;
    known.outer.remove();
    grids.delete(key);
  }
  $("no-shards").hidden = wanted.size > 0;
}

// The next grid; the card of a shard may stand in between.
function following(outer) {
  const next = outer.nextElementSibling;
  return next === $("shard") ? next.nextElementSibling : next;
}

function choose(grid, shard) {
  const isSame = grid === null || isChosen(grid, shard);
  for (const known of grids.values()) for (const box of known.boxes) if (box.ariaPressed === "true") box.ariaPressed = "false";
  chosen = isSame ? null : { application: grid.applicationId, total: grid.total, shard };
  $("shard").hidden = true;
  if (chosen === null) return;
  grid.boxes[shard].ariaPressed = "true";
  focusOn(grid.boxes, shard);
  grid.outer.after($("shard"));
  showShard().catch(() => {}); // The next round tries again and says what is wrong.
}

async function showShard() {
  const asked = chosen;
  if (asked === null) return;
  const ledger = await read(`ledger?application=${asked.application}&total=${asked.total}&shard=${asked.shard}&last=${LOG}`);
  if (asked !== chosen) return;
  say($("shard-title"), `Shard ${asked.shard} of ${asked.total}`);
  const cover = ledger.shards[0];
  const pauses = cover && (cover.pauses ? `${plural(cover.pauses, "pause", "pauses")}, the longest ${span(cover.longestPauseMs)}, together ${span(cover.pausedMs)}` : "no pause");
  const since = cover?.withoutConnectionSinceMs;
  const now = typeof since === "number" ? `, without connection for ${span(ledger.nowMs - since)}` : "";
  say($("shard-facts"), cover ? `First ready at ${at(cover.firstReadyAtMs)}; ${pauses}${now}.` : "It was never ready.");
  table("shard-sessions", ledger.sessions.map((one) => [one.sessionId, one.connected ? "yes" : "no", one.guilds, one.sequence, one.sentEvents, at(one.readyAtMs)]));
  const log = [
    ...ledger.identifyLog.map((one) => [one.atMs, "IDENTIFY", words(one.outcome)]),
    ...ledger.resumeLog.map((one) => [one.atMs, `RESUME from ${one.sequence}`, `${one.outcome}, ${count(one.replayed)} replayed`]),
    ...ledger.closeLog.map((one) => [one.atMs, `closed by the ${one.by === "client" ? "bot" : "simulator"}`, `${one.code ?? "no code"}${one.reason ? `: ${one.reason}` : ""}`]),
  ];
  table("shard-log", log.toSorted((a, b) => b[0] - a[0]).slice(0, LOG).map(([ms, what, outcome]) => [at(ms), what, outcome]));
  $("shard").hidden = false;
}

// ---- Everything else

function tiles(ledger) {
  const { events } = ledger;
  // What counts are the totals in use; where none is, the newest, which is the first.
  const inUse = ledger.grids.filter((grid) => grid.sessions > 0);
  const live = inUse.length ? inUse : ledger.grids.slice(0, 1);
  const [connected, all] = [live.reduce((sum, grid) => sum + grid.connected, 0), live.reduce((sum, grid) => sum + grid.total, 0)];
  const { remaining, total } = ledger.budget;
  const verdict = (number) => (number > 0 ? "is-bad" : events.asking > 0 ? "is-good" : "");
  return [
    ["Shards connected", all ? `${count(connected)} of ${count(all)}` : "none yet", all && connected === all ? "all of them" : `${count(ledger.recommendedShards)} recommended`, all === 0 ? "" : connected === all ? "is-good" : inUse.length ? "" : "is-bad"],
    ["Budget left", count(remaining), `of ${count(total)} a day`, remaining === 0 ? "is-bad" : ""],
    ["Violations", count(ledger.violations), ledger.violations ? "rules were broken" : "every rule kept", ledger.violations ? "is-bad" : ledger.identifies ? "is-good" : ""],
    ["Lost", count(events.lost), "no answer in 10 s", verdict(events.lost)],
    ["Doubled", count(events.doubled), "answered twice", verdict(events.doubled)],
    ["Reordered", count(events.reordered), "within a guild", verdict(events.reordered)],
  ];
}

function showTiles(ledger) {
  const list = tiles(ledger);
  show($("verdict"), list, () => list.map(([name, figure, note, state]) => {
    const tile = element("li", undefined, state);
    tile.append(element("span", name, "name"), element("span", figure, "figure"), element("span", note, "note"));
    return tile;
  }));
  const [shards, , violations, ...events] = list;
  // What is read aloud: only what matters, and only when it changes.
  say($("spoken"), `Shards connected: ${shards[1]}. Violations: ${violations[1]}. ${events.map(([name, figure]) => `${name}: ${figure}`).join(", ")}.`);
}

function showBudgets(ledger) {
  const key = ledger.budgets.map((budget) => [budget.applicationId, budget.total, budget.remaining, about(budget.resetsInMs)]);
  show($("budgets"), key, () => ledger.budgets.map((budget, index) => {
    const made = element("div", undefined, "budget");
    const share = budget.total ? budget.remaining / budget.total : 0;
    const bar = element("div", undefined, share < 0.1 ? "bar is-low" : "bar");
    bar.role = "meter";
    Object.assign(bar, { ariaLabel: `IDENTIFYs left of bot ${budget.applicationId}`, ariaValueMin: "0", ariaValueMax: String(budget.total), ariaValueNow: String(budget.remaining) });
    bar.appendChild(element("div")).style.width = `${100 * share}%`;
    const text = `${count(budget.remaining)} of ${count(budget.total)} left, all again in ${key[index][3]}`;
    made.append(element("p", text), bar, element("p", `Bot ${budget.applicationId}`, "quiet"));
    return made;
  }));
}

function showEvents(ledger) {
  const { events } = ledger;
  const bad = [["lost", events.lost], ["doubled", events.doubled], ["reordered", events.reordered]].filter(([, number]) => number > 0);
  const text = events.made === 0 ? "None was made yet."
    : bad.length ? `Not well: ${bad.map(([name, number]) => `${count(number)} ${name}`).join(", ")}.`
    : events.asking === 0 ? "None of them asked for an answer."
    : `Nothing lost, nothing doubled, nothing reordered${events.waiting ? `; ${count(events.waiting)} still without an answer` : ""}.`;
  say($("events-verdict"), text);
  $("events-verdict").className = bad.length ? "bad" : events.asking ? "good" : "quiet";
  const figures = [
    ["made", events.made], ["sent", events.sent], ["to nobody", events.toNobody], ["sends", events.sends], ["replays", events.replays],
    ["asked", events.asking], ["answered", events.answered], ["waiting", events.waiting],
    ["lost", events.lost], ["doubled", events.doubled], ["reordered", events.reordered],
  ];
  show($("events"), figures, () => figures.map(([name, number]) => {
    const made = element("div");
    made.append(element("dt", name), element("dd", count(number)));
    return made;
  }));
}

function showIdentifies(ledger) {
  const { timeFactor, maxConcurrency, nowMs } = ledger;
  const closedFor = IDENTIFY_MS / timeFactor;
  say($("identifies-facts"), `${count(ledger.identifiesAccepted)} of ${count(ledger.identifies)} led to READY. ${plural(maxConcurrency, "bucket", "buckets")}: one IDENTIFY each in ${span(Math.round(closedFor))}.`);
  const last = new Map();
  for (const one of ledger.identifyLog) if (one.accepted) last.set(`${one.applicationId}/${one.bucket}`, one);
  const seen = new Set(ledger.identifyLog.map((one) => one.applicationId));
  const list = maxConcurrency > MOST_BUCKETS ? [] : [...seen].flatMap((bot) => Array.from({ length: maxConcurrency }, (_, bucket) => {
    const one = last.get(`${bot}/${bucket}`);
    const left = one ? Math.max(0, one.atMs + closedFor - nowMs) : 0;
    const name = `${seen.size > 1 ? `bot ${bot}, ` : ""}bucket ${bucket}`;
    return [left > 0, `${name}: ${left > 0 ? `${(Math.ceil(left / 100) / 10).toFixed(1)} s` : "open"}`];
  }));
  show($("buckets"), list, () => list.map(([isClosed, text]) => element("li", text, isClosed ? "is-closed" : "")));
  table("identifies", newestFirst(ledger.identifyLog).map((one) => [at(one.atMs), one.applicationId, place(one), one.bucket, words(one.outcome)]));
}

const newestFirst = (log) => log.slice(-LOG).reverse();
const byCode = (counts) => Object.entries(counts).map(([code, number]) => `${code} (${count(number)})`).join(", ") || "none";

function showLogs(ledger) {
  table("violations", newestFirst(ledger.violationDetails).map((one) => [at(one.atMs), words(one.kind), one.text]));
  table("pauses", ledger.shards.map((one) => [
    one.applicationId, place(one), one.withoutConnectionSinceMs === null ? "connected" : `for ${about(ledger.nowMs - one.withoutConnectionSinceMs)}`,
    ...[one.longestPauseMs, one.lastPauseMs].map((ms) => (one.pauses ? span(ms) : "–")), one.pauses, span(one.pausedMs),
  ]));
  say($("resumes-facts"), `${count(ledger.resumes)} worked, ${count(ledger.resumesFailed)} failed.`);
  table("resumes", newestFirst(ledger.resumeLog).map((one) => [at(one.atMs), one.total === null ? "unknown" : place(one), clip(one.sessionId, 12), one.sequence, one.replayed, one.outcome]));
  const cut = ledger.cutOff ? ` ${count(ledger.cutOff)} were cut off because they did not read.` : "";
  say($("closes-facts"), `By bots: ${byCode(ledger.closes)}. By the simulator: ${byCode(ledger.serverCloses)}.${cut}`);
  table("closes", newestFirst(ledger.closeLog).map((one) => [at(one.atMs), one.by === "client" ? "bot" : "simulator", one.code === null ? "none" : String(one.code), place(one), one.reason ?? ""]));
  const calls = ledger.rest.reduce((sum, one) => sum + one.count, 0);
  say($("rest-facts"), `${plural(calls, "call", "calls")}; ${count(ledger.invalidRequests)} of them invalid to Discord (401, 403, 429); ${count(ledger.unknownRoutes)} of unknown routes. ${plural(ledger.messages.byBots, "message", "messages")} by bots.`);
  table("rest", ledger.rest.toSorted((a, b) => b.count - a.count).map((one) => [one.route, String(one.status), one.count]));
  table("unknown", newestFirst(ledger.unknownRouteDetails).map((route) => [route]));
}

function showLedger(ledger) {
  ledger.grids ??= []; // Left out where there is none.
  const started = Date.parse(ledger.startedAt);
  const hasRestarted = startedAt !== 0 && startedAt !== started;
  startedAt = started;
  bots = ledger.budgets.length;
  say($("facts"), `${plural(ledger.guilds, "guild", "guilds")}, ${plural(ledger.recommendedShards, "shard", "shards")} recommended, time factor ${ledger.timeFactor}, up for ${about(ledger.nowMs)}`);
  $("reset").hidden = ledger.tokenResets === 0;
  say($("reset"), ledger.tokenResets ? `${plural(ledger.tokenResets, "TOKEN", "TOKENS")} RESET: the daily budget was passed` : "");
  showTiles(ledger);
  showGrids(ledger, hasRestarted);
  showBudgets(ledger);
  showEvents(ledger);
  showIdentifies(ledger);
  showLogs(ledger);
}

async function read(url) {
  const response = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
  if (!response.ok) throw new Error(`it answers ${response.status}`);
  return response.json();
}

let lastAnswer = null;

function sayGone(why) {
  const since = lastAnswer === null ? "" : ` What stands here is of ${clock.format(lastAnswer)}.`;
  document.body.classList.add("is-gone");
  $("state").dataset.state = "gone";
  say($("state"), "no answer");
  say($("gone"), `The simulator does not answer (${why}).${since} The page goes on trying.`);
  $("gone").hidden = false;
  say($("spoken"), "The simulator does not answer.");
}

function sayLive() {
  lastAnswer = new Date();
  document.body.classList.remove("is-gone");
  $("state").dataset.state = "live";
  say($("state"), "live");
  $("gone").hidden = true;
}

async function live() {
  let ledger = null;
  try {
    ledger = await read(`ledger?grid=true&last=${LOG}`);
    await showShard();
  } catch (error) {
    sayGone(error.name === "TimeoutError" ? `not within ${PATIENCE_MS / 1000} s` : error instanceof TypeError ? "no connection" : error.message);
    ledger = null;
  }
  setTimeout(live, EVERY_MS);
  if (ledger === null) return;
  showLedger(ledger);
  sayLive();
}

say($("no-shards"), `No IDENTIFY yet. REST is at ${new URL("api/v10", location.href).href}, the gateway at ${location.href.replace(/^http/, "ws")}; the program's own output says how to point a bot there.`);
$("shard-close").addEventListener("click", () => choose(null));
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") choose(null);
});
live();
