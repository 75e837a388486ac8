// The live page: reads the API once, then the event stream, and writes what changed. All text is set as text.
import { colour, curve, heat } from "/draw.js";

const KEPT = 300;
const CURVE = 60;
const TOKEN = "sipedge-token";
const byId = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

const seen = { samples: [], bounds: [], curves: new Map(), totals: new Map(), at: 0, last: null };
const rows = new Map();

function make(tag, kind, text) {
  const element = document.createElement(tag);
  if (kind) element.className = kind;
  if (text !== undefined) element.textContent = text;
  return element;
}

function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function time(ms) {
  const s = Math.floor(ms / 1000);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
}

function micros(us) {
  if (us >= 1e6) return `${number.format(us / 1e6)} s`;
  return us >= 1e3 ? `${number.format(us / 1e3)} ms` : `${number.format(us)} µs`;
}

function stateOf(backend) {
  const health = backend.health;
  if (!health) return ["unknown", "off"];
  if (health.state === "disabled") return ["disabled", "off"];
  if (health.state === "inactive") return ["inactive", "bad"];
  if (health.draining) return ["draining", "doubt"];
  if (health.busy) return ["busy", "doubt"];
  if (health.state === "trying") return ["trying", "doubt"];
  if (health.ramping_for_ms !== null) return ["slow start", "doubt"];
  return [health.state, "good"];
}

// What changes something: nobody drains what drains, or enables what is enabled.
function actionsOf(backend) {
  const health = backend.health;
  if (!health) return [];
  if (health.state === "disabled") return ["enable"];
  return health.draining ? ["disable", "enable"] : ["drain", "disable"];
}

// A row of a backend, made once; its parts are written each second.
function rowOf(pool, backend) {
  const key = JSON.stringify([pool.name, backend.uri]);
  if (rows.has(key)) return rows.get(key);
  const row = { key, root: make("div", "backend") };
  row.root.dataset.backend = backend.uri;
  row.uri = make("div", "uri", backend.uri);
  const state = make("div", "state");
  row.state = make("span", "pill");
  state.append(row.state);
  const share = make("div", "share"), bar = make("span", "bar");
  row.bar = make("i");
  bar.append(row.bar);
  row.share = make("span", "faint");
  share.append(bar, row.share);
  row.rate = make("div", "rate right");
  const box = make("div", "curve");
  row.curve = make("canvas");
  box.append(row.curve);
  row.ticks = make("div", "ticks");
  row.probe = make("div", "probe right faint");
  row.why = make("div", "why faint");
  row.acts = make("div", "acts writes");
  row.acts.hidden = true;
  row.buttons = new Map();
  for (const action of ["drain", "disable", "enable"]) {
    const button = make("button", "", action);
    button.type = "button";
    row.buttons.set(action, button);
    const path = `pools/${encodeURIComponent(pool.name)}/backends/${encodeURIComponent(backend.uri)}/${action}`;
    button.addEventListener("click", () => post(path, action === "disable" ? `Disable ${backend.uri}?` : ""));
    row.acts.append(button);
  }
  row.root.append(row.uri, state, share, row.rate, box, row.ticks, row.probe, row.why, row.acts);
  rows.set(key, row);
  return row;
}

function writeBackend(pool, backend) {
  const row = rowOf(pool, backend), health = backend.health;
  const [state, kind] = stateOf(backend);
  say(row.state, state);
  row.state.className = `pill ${kind}`;
  const actions = actionsOf(backend);
  for (const [action, button] of row.buttons) button.hidden = !actions.includes(action);
  // A balance that looks at no key gives no share of keys.
  row.bar.parentElement.hidden = backend.share === null;
  row.bar.style.width = `${(backend.share || 0) * 100}%`;
  say(row.share, backend.share === null ? "–" : `${number.format(backend.share * 100)} %`);
  say(row.rate, `${number.format(backend.traffic ? backend.traffic.requests_per_second : 0)} /s`);
  const probes = health ? health.probes : [];
  while (row.ticks.childElementCount < 10) row.ticks.append(make("i", "none"));
  [...row.ticks.children].forEach((tick, index) => {
    const probe = probes[9 - index];
    const good = probe && (probe.outcome === "good" || probe.outcome === "full");
    tick.className = probe ? (good ? "good" : "bad") : "none";
    tick.title = probe ? `${probe.outcome} ${probe.status || ""}, ${time(probe.ago_ms)} ago` : "";
  });
  row.ticks.setAttribute("aria-label", `${probes.length} probes`);
  say(row.probe, health && health.latency.count ? `${number.format(health.latency.estimate_ms)} ms` : "");
  const trouble = backend.traffic && backend.traffic.failures ? `, ${whole.format(backend.traffic.failures)} answers 5xx or 6xx` : "";
  say(row.why, health ? `for ${time(health.for_ms)}: ${health.reason}${trouble}` : "");
  const past = seen.curves.get(row.key) || [];
  curve(row.curve, past, colour("--accent"), CURVE);
  return row;
}

const sections = new Map();

function sectionOf(name) {
  if (!sections.has(name)) {
    const root = make("section", "card pool");
    root.dataset.pool = name;
    const head = make("h2", "", name), meta = make("span", "faint");
    head.append(" ", meta);
    const list = make("div"), leaving = make("p", "faint");
    root.append(head, list, leaving);
    sections.set(name, { root, meta, list, leaving });
  }
  return sections.get(name);
}

function inOrder(parent, children) {
  if (children.length === parent.children.length && children.every((c, i) => parent.children[i] === c)) return;
  parent.replaceChildren(...children);
}

function writePools(pools) {
  const roots = pools.map((pool) => {
    const section = sectionOf(pool.name);
    const probe = pool.probe ? `, probed by ${pool.probe.method} every ${pool.probe.interval_ms < 1000 ? `${pool.probe.interval_ms} ms` : time(pool.probe.interval_ms)}` : ", not probed";
    const cap = pool.load_cap === null ? "" : `, none above ${pool.load_cap} times the mean load`;
    const failover = pool.failover === null ? "" : `, fails over ${pool.failover}`;
    say(section.meta, `${pool.balance} by ${pool.key}${cap}${failover}${probe}`);
    return section.root;
  });
  inOrder(byId("pools"), roots);
  for (const pool of pools) {
    const section = sectionOf(pool.name);
    inOrder(section.list, pool.backends.map((backend) => rowOf(pool, backend).root));
    pool.backends.forEach((backend) => writeBackend(pool, backend));
    const left = pool.leaving.map((l) => `${l.uri} left ${time(l.left_ms)} ago`);
    say(section.leaving, left.join(" · "));
  }
}

function table(body, lines) {
  while (body.rows.length > lines.length) body.deleteRow(-1);
  lines.forEach((cells, place) => {
    const row = body.rows[place] || body.insertRow();
    cells.forEach((text, column) => say(row.cells[column] || row.insertCell(), text));
  });
}

function writeNode(node) {
  say(byId("name"), node.name);
  document.title = `${node.name} · sipedge`;
  const state = byId("state");
  say(state, node.state);
  state.className = `pill ${node.state === "running" ? "good" : "doubt"}`;
  say(byId("version"), `sipedge ${node.version},`);
  say(byId("uptime"), `up ${time(node.uptime_ms)}`);
  const last = node.configuration.last_reload, banner = byId("reload");
  banner.hidden = !last;
  if (last) {
    const what = last.taken ? "Last reload taken over" : "Last reload refused, what ran goes on";
    say(banner, `${what} (${time(node.at_ms - last.at_ms)} ago)\n${last.lines.join("\n")}`.trim());
    banner.classList.toggle("fine", last.taken);
  }
  const facts = [
    ["configuration", node.configuration.file],
    ["loaded", new Date(node.configuration.loaded_at_ms).toLocaleString("en-GB")],
    ["reloads", `${node.configuration.reloads} taken, ${node.configuration.reloads_refused} refused`],
    ...node.listeners.map((l) => [`listener ${l.name}`, `${l.address}, written as ${l.advertise}`]),
    ...node.routes.map((text, index) => [`route ${index + 1}`, text]),
    ...node.runs_on.map((text) => ["runs on", text]),
  ];
  byId("facts").replaceChildren(...facts.flatMap(([name, text]) => [make("dt", "", name), make("dd", "", text)]));
}

function writeCurves() {
  for (const [name, ink] of [["received", "--accent"], ["sent", "--accent"], ["dropped", "--bad"]]) {
    const values = seen.samples.map((sample) => sample[`${name}_per_second`]);
    say(byId(name), whole.format(values.length ? values[values.length - 1] : 0));
    curve(byId(`${name}-curve`), values, colour(ink), CURVE);
  }
  const first = seen.samples.length ? Math.round(seen.samples[0].at_ms / 1000) : 0;
  const seconds = heat(byId("heat"), seen.samples.map((sample) => sample.latency_counts), first, seen.bounds, KEPT);
  say(byId("heat-cell"), `${seconds} s`);
}

function write({ node, sample, drops, shards, streams }) {
  if (sample && sample.at_ms > seen.at) {
    seen.at = sample.at_ms;
    seen.samples.push(sample);
    if (seen.samples.length > KEPT) seen.samples.shift();
  }
  remember(node);
  writeNode(node);
  writePools(node.pools);
  writeCurves();
  table(byId("shards").tBodies[0], shards.map((s) => [
    String(s.shard), whole.format(s.received_per_second), whole.format(s.sent_per_second), whole.format(s.held),
    micros(s.latency_us.p50), micros(s.latency_us.p99), micros(s.latency_us.most),
  ]));
  const counted = drops.filter((drop) => drop.total).sort((a, b) => b.total - a.total);
  const lines = counted.map((drop) => [drop.reason, whole.format(drop.total), `${number.format(drop.per_second)} /s`]);
  table(byId("drops").tBodies[0], lines.length ? lines : [["nothing yet"]]);
  say(byId("streams"), `${streams} watching`);
  showRights();
}

// Requests of each backend by second, from the totals of two snapshots.
function remember(node) {
  const seconds = seen.last === null ? 0 : (node.uptime_ms - seen.last) / 1000;
  for (const pool of node.pools) for (const backend of pool.backends) {
    const key = JSON.stringify([pool.name, backend.uri]);
    const total = backend.traffic ? backend.traffic.requests : 0;
    if (seconds > 0.2 && seen.totals.has(key)) {
      const past = seen.curves.get(key) || [];
      past.push(Math.max(0, total - seen.totals.get(key)) / seconds);
      if (past.length > KEPT) past.shift();
      seen.curves.set(key, past);
    }
    seen.totals.set(key, total);
  }
  seen.last = node.uptime_ms;
}

function showRights() {
  const may = Boolean(sessionStorage.getItem(TOKEN));
  document.querySelectorAll(".writes").forEach((element) => { element.hidden = !may; });
}

async function post(path, sure) {
  if (sure && !window.confirm(sure)) return;
  const outcome = byId("outcome");
  outcome.closest("details").open = true;
  outcome.className = "";
  say(outcome, "asking …");
  try {
    const headers = { Authorization: `Bearer ${sessionStorage.getItem(TOKEN)}` };
    const answer = await fetch(`/api/v1/${path}`, { method: "POST", headers });
    const json = await answer.json();
    outcome.className = answer.ok ? "good" : "bad";
    say(outcome, answer.ok ? json.done.join("\n") || "done; nothing changes" : `${json.error}\n${json.help}`);
  } catch (error) {
    outcome.className = "bad";
    say(outcome, `not done: ${error.message}`);
  }
}

async function read(path) {
  const answer = await fetch(`/api/v1/${path}`);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

async function first() {
  const [node, rates, drops, shards, decisions] =
    await Promise.all(["node", "rates", "drops", "shards", "decisions"].map(read));
  seen.samples = rates.samples.slice(-KEPT);
  seen.bounds = rates.latency_bounds_us;
  seen.at = seen.samples.length ? seen.samples[seen.samples.length - 1].at_ms : 0;
  for (const series of rates.backends) {
    seen.curves.set(JSON.stringify([series.pool, series.uri]), series.requests_per_second.slice());
  }
  byId("decisions").replaceChildren(...decisions.decisions.map((d) => make("p", "", JSON.stringify(d))));
  if (!decisions.kept) byId("decisions").append(make("p", "", decisions.note));
  write({ node, sample: null, drops: drops.reasons, shards: shards.shards, streams: 0 });
}

function live(text, kind) {
  const element = byId("live");
  say(element, text);
  element.className = kind;
}

// EventSource comes back by itself after a break, but not after an answer that is no stream.
// /?snapshots=3 shows that many and then stands still: for a printout or a screenshot.
function listen() {
  const source = new EventSource("/api/v1/events");
  let left = Number(new URLSearchParams(location.search).get("snapshots")) || Infinity;
  source.addEventListener("snapshot", (event) => {
    live("● live", "good");
    write(JSON.parse(event.data));
    left -= 1;
    if (left <= 0) source.close();
  });
  source.addEventListener("error", () => {
    live("○ no connection", "bad");
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 3000);
  });
}

byId("right").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN, byId("token").value);
  byId("token").value = "";
  showRights();
});
byId("forget").addEventListener("click", () => { sessionStorage.removeItem(TOKEN); showRights(); });
document.querySelectorAll("[data-post]").forEach((button) => {
  button.addEventListener("click", () => post(button.dataset.post, button.dataset.sure || ""));
});
window.addEventListener("resize", writeCurves);
showRights();
first().catch((error) => live(`○ ${error.message}`, "bad")).finally(listen);
