// The page of the gateway. It asks the gateway for decisions and for its state, and draws them.

const $ = (id) => document.getElementById(id);
const TICKS = 100, SHOWN_TASKS = 6, SHOWN_MODELS = 15, LIVE_MS = 2000, TYPING_MS = 600;
// The dial spans these prices of a point of quality, in USD. Its last position stands for quality alone.
const CHEAPEST = 1e-6, DEAREST = 1e-2;
let key = sessionStorage.getItem("key") || "";
let decision = null, presets = null, timer = null, asked = 0, shownModels = SHOWN_MODELS, isDialSet = false, isPaused = false, seen = "";

async function call(path, body) {
  const headers = { "content-type": "application/json", ...(key ? { authorization: `Bearer ${key}` } : {}) };
  const response = await fetch(path, body ? { method: "POST", headers, body: JSON.stringify(body) } : { headers });
  const answer = await response.json();
  if (response.status === 401) {
    $("key-form").hidden = false;
    if (key) throw new Error("This is not the key of a client. Correct it.");
  }
  if (!response.ok) throw new Error(answer.error?.message || response.statusText);
  return answer;
}

function element(name, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  return made;
}

function say(text) {
  // Only a change is said again by a screen reader.
  if ($("status").textContent !== text) $("status").textContent = text;
}

// The cell `head` of a row names the row.
function fill(table, rows, { head = 0, chosen = -1 } = {}) {
  $(table).tBodies[0].replaceChildren(...rows.map((cells, place) => {
    const row = element("tr", "", place === chosen ? { class: "chosen" } : {});
    row.append(...cells.map((cell, column) => {
      const box = column === head ? element("th", "", { scope: "row" }) : element("td");
      box.append(cell);
      return box;
    }));
    return row;
  }));
}

const number = (value, digits = 3) => value === null || value === undefined ? "unknown" : Number(value.toPrecision(digits)).toString();
const perThousand = (usd) => number(usd === null ? null : usd * 1000);

// --- a prompt and its decision

async function decide() {
  const prompt = $("prompt").value;
  const turns = [...$("turns").children].map((turn) => ({
    role: turn.querySelector("select").value, content: turn.querySelector("textarea").value,
  }));
  const mine = ++asked;
  if (!prompt.trim()) {
    $("result").hidden = true;
    say("Write a prompt first.");
    return;
  }
  try {
    const found = await call("/v1/route", { messages: [...turns, { role: "user", content: prompt }] });
    if (mine !== asked) return;  // a later prompt has been sent meanwhile
    decision = found;
    $("result").hidden = false;
    if (!isDialSet) $("dial").value = positionOf(decision.preference.usd_per_point);
    showTasks();
    showRanking();
    sayChosen();
  } catch (error) {
    $("result").hidden = true;
    say(error.message);
  }
}

function showTasks() {
  const likely = Object.entries(decision.prediction.probabilities).sort((a, b) => b[1] - a[1]).slice(0, SHOWN_TASKS);
  fill("tasks", likely.map(([task, probability]) => {
    const cell = element("span");
    cell.append(element("meter", "", { min: 0, max: 1, value: probability, "aria-hidden": "true" }), probability.toFixed(2));
    return [task, cell];
  }), { chosen: 0 });
  const tier = decision.prediction.tier ? `, ${decision.prediction.tier} tier` : "";
  const reasons = [`found by ${decision.prediction.source}${tier}`, ...decision.reasons];
  $("reasons").replaceChildren(...reasons.map((reason) => element("li", reason)));
}

function priceOfPoint() {
  const position = Number($("dial").value) / TICKS;
  return position === 1 ? Infinity : CHEAPEST * (DEAREST / CHEAPEST) ** position;
}

function positionOf(price) {
  if (price === null) return TICKS;
  const position = Math.log(price / CHEAPEST) / Math.log(DEAREST / CHEAPEST);
  return Math.round(TICKS * Math.min(Math.max(position, 0), 0.99));
}

// The same rule as the router's: a point of quality (0.01) is worth so many USD. What a model costs is taken off.
function rank() {
  const price = priceOfPoint();
  return Object.entries(decision.scores)
    .map(([model, score]) => ({ model, ...score, utility: score.bound - 0.01 * (score.cost_usd || 0) / price }))
    .sort((a, b) => b.utility - a.utility || (a.cost_usd || 0) - (b.cost_usd || 0));
}

function showRanking() {
  const price = priceOfPoint(), ranking = rank(), best = ranking[0];
  $("dial-text").textContent = price === Infinity
    ? "Only quality counts." : `One more point of quality (0.01) is worth ${number(price)} USD per prompt.`;
  const named = Object.entries(presets || {}).find(([, price]) => positionOf(price) === Number($("dial").value));
  $("dial").setAttribute("aria-valuetext", `${named ? `${named[0]}. ` : ""}${best.model} is best. ${$("dial-text").textContent}`);
  const isUnsure = decision.prediction.source === "default" || !decision.prediction.task;
  $("chosen").textContent = `${best.model} ${isUnsure ? "(the task is unsure)" : `for ${decision.prediction.task}`}`;
  $("own-choice").textContent = `The router itself takes ${decision.model} (strategy ${decision.strategy}).`;
  fill("models", ranking.slice(0, shownModels).map((score, place) => [
    String(place + 1), score.model, score.quality.toFixed(3), score.stderr.toFixed(3), perThousand(score.cost_usd), score.utility.toFixed(3),
  ]), { head: 1, chosen: 0 });
  $("all-models").hidden = ranking.length <= SHOWN_MODELS;
  $("all-models").textContent = shownModels === SHOWN_MODELS ? `Show all ${ranking.length} models` : `Show the first ${SHOWN_MODELS}`;
  plot(ranking);
}

const sayChosen = () => say(`Chosen: ${$("chosen").textContent}.`);

function plot(ranking) {
  const known = ranking.filter((score) => score.cost_usd > 0);
  const width = 480, height = 260, left = 50, right = 12, top = 12, bottom = 30;
  const title = $("plot").querySelector("title");
  if (!known.length) {
    title.textContent = "No model has a known price.";
    $("plot").replaceChildren(title);
    return;
  }
  const costs = known.map((score) => Math.log10(score.cost_usd * 1000));
  const lows = known.map((score) => score.quality - score.stderr), highs = known.map((score) => score.quality + score.stderr);
  const [x0, x1] = [Math.floor(Math.min(...costs)), Math.ceil(Math.max(...costs, Math.floor(Math.min(...costs)) + 1))];
  const [y0, y1] = [Math.min(...lows) - 0.01, Math.max(...highs) + 0.01];
  const x = (value) => left + (width - left - right) * (value - x0) / (x1 - x0);
  const y = (value) => height - bottom - (height - top - bottom) * (value - y0) / (y1 - y0);
  const svg = $("plot"), parts = [title], [first] = ranking;
  title.textContent = `Price and expected quality of ${known.length} models. ${first.model} is chosen: quality ${first.quality.toFixed(3)}, `
    + `${perThousand(first.cost_usd)} USD per 1,000 prompts.`;
  const add = (name, attributes, text = "") => {
    const part = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [attribute, value] of Object.entries(attributes)) part.setAttribute(attribute, value);
    part.textContent = text;
    parts.push(part);
    return part;
  };
  for (let power = x0; power <= x1; power++) {
    add("line", { x1: x(power), x2: x(power), y1: top, y2: height - bottom });
    const anchor = power === x1 ? "end" : "middle";
    add("text", { x: x(power) + (power === x1 ? right - 2 : 0), y: height - 10, "text-anchor": anchor }, `$${number(10 ** power)}`);
  }
  for (const share of [0, 0.5, 1]) {
    const quality = y0 + share * (y1 - y0);
    add("line", { x1: left, x2: width - right, y1: y(quality), y2: y(quality) });
    add("text", { x: left - 6, y: y(quality) + 4, "text-anchor": "end" }, quality.toFixed(2));
  }
  for (const score of [...known].reverse()) {
    const at = x(Math.log10(score.cost_usd * 1000)), isBest = score.model === ranking[0].model;
    add("line", { x1: at, x2: at, y1: y(score.quality - score.stderr), y2: y(score.quality + score.stderr), class: "error" });
    const dot = add("circle", { cx: at, cy: y(score.quality), r: isBest ? 7 : 4, class: isBest ? "chosen" : "" });
    const tip = document.createElementNS("http://www.w3.org/2000/svg", "title");
    tip.textContent = `${score.model}: quality ${score.quality.toFixed(3)} ± ${score.stderr.toFixed(3)}, ${perThousand(score.cost_usd)} USD per 1,000`;
    dot.append(tip);
    if (isBest) {
      const isRight = at > width / 2;
      add("text", { x: at + (isRight ? -12 : 12), y: y(score.quality) - 9, "text-anchor": isRight ? "end" : "start", class: "name" }, score.model);
    }
  }
  svg.replaceChildren(...parts);
}

function addTurn() {
  const turn = element("div", "", { class: "turn" });
  const role = element("select");
  role.append(...["user", "assistant", "system"].map((name) => element("option", name)));
  const text = element("textarea", "", { rows: 2, placeholder: "What was said before." });
  const remove = element("button", "Remove", { type: "button" });
  remove.addEventListener("click", () => { turn.remove(); numberTurns(); $("add-turn").focus(); decideSoon(); });
  turn.append(role, text, remove);
  $("turns").append(turn);
  numberTurns();
  role.focus();
}

function numberTurns() {
  for (const [place, turn] of [...$("turns").children].entries()) {
    turn.querySelector("select").setAttribute("aria-label", `Role of earlier turn ${place + 1}`);
    turn.querySelector("textarea").setAttribute("aria-label", `Text of earlier turn ${place + 1}`);
    turn.querySelector("button").setAttribute("aria-label", `Remove earlier turn ${place + 1}`);
  }
}

// --- the live view

async function showLive() {
  const live = await call("/v1/live"), state = JSON.stringify(live);
  if (!$("live").hidden) say("");
  // Rows that are drawn again lose the place of a reader.
  if (state === seen) return;
  seen = state;
  const saved = live.baseline_usd === null ? [] : [[`saved against ${live.baseline}`, `${number(live.baseline_usd - live.compared_usd)} USD`]];
  const totals = [["requests", live.requests], ["running", live.running], ["failed", live.failed], ["cost", `${number(live.cost_usd)} USD`], ...saved];
  $("totals").replaceChildren(...totals.map(([name, value]) => {
    const box = element("div");
    box.append(element("dt", name), element("dd", String(value)));
    return box;
  }));
  fill("endpoints", live.endpoints.map((endpoint) => [
    endpoint.name, element("span", endpoint.state, { class: endpoint.state === "closed" ? "good" : "bad" }), String(endpoint.inflight),
    String(endpoint.completed), String(endpoint.failures), number(endpoint.p50_s), number(endpoint.p95_s),
  ]));
  fill("latest", live.latest.map((record) => [
    new Date(record.at * 1000).toLocaleTimeString([], { hour12: false }), record.asked || "–", record.task || "–", record.model || "–",
    element("span", String(record.status), { class: record.code ? "bad" : "good" }), record.seconds.toFixed(2), number(record.cost_usd),
    [...record.attempts.map((attempt) => `${attempt.endpoint}: ${attempt.end}`), ...record.reasons, record.code].filter(Boolean).join("; "),
  ]), { head: -1 });
}

async function loadPresets() {
  if (presets) return;
  presets = await call("/v1/presets");
  $("dial-marks").replaceChildren(...Object.entries(presets).map(([name, price]) => element("option", "", { value: positionOf(price), label: name })));
  $("dial").value = positionOf(presets.balanced);
  // Some names only weigh time, which this page does not show.
  const isFirst = ([, price], place, all) => all.findIndex(([, other]) => other === price) === place;
  const ordered = Object.entries(presets).filter(isFirst).sort((one, other) => positionOf(one[1]) - positionOf(other[1]));
  $("presets").replaceChildren(...ordered.map(([name, price]) => {
    const button = element("button", name, { type: "button" });
    button.addEventListener("click", () => { $("dial").value = positionOf(price); turnDial(); sayChosen(); });
    return button;
  }));
}

function turnDial() {
  isDialSet = true;
  if (decision) showRanking();
}

function repeatLive() {
  clearTimeout(timer);
  if ($("live").hidden || document.hidden || isPaused) return;
  showLive().catch((error) => say(error.message)).finally(() => { timer = setTimeout(repeatLive, LIVE_MS); });
}

// --- tabs

function select(tab) {
  for (const other of document.querySelectorAll('[role="tab"]')) {
    const isChosen = other === tab;
    other.setAttribute("aria-selected", String(isChosen));
    other.tabIndex = isChosen ? 0 : -1;
    $(other.getAttribute("aria-controls")).hidden = !isChosen;
  }
  say("");
  repeatLive();
}

const tabs = [...document.querySelectorAll('[role="tab"]')];
for (const [place, tab] of tabs.entries()) {
  tab.addEventListener("click", () => select(tab));
  tab.addEventListener("keydown", (event) => {
    const target = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: -1 }[event.key];
    if (target === undefined) return;
    event.preventDefault();
    const next = tabs.at(target % tabs.length);
    select(next);
    next.focus();
  });
}

let typing = null;
const decideSoon = () => { clearTimeout(typing); typing = setTimeout(() => { if ($("prompt").value.trim()) decide(); }, TYPING_MS); };
$("prompt").addEventListener("input", decideSoon);
$("turns").addEventListener("input", decideSoon);
$("prompt").addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) decide(); });
$("prompt-form").addEventListener("submit", (event) => { event.preventDefault(); decide(); });
$("add-turn").addEventListener("click", addTurn);
$("dial").addEventListener("input", turnDial);
$("all-models").addEventListener("click", () => {
  shownModels = shownModels === SHOWN_MODELS ? Infinity : SHOWN_MODELS;
  showRanking();
});
$("pause").addEventListener("click", () => {
  isPaused = !isPaused;
  $("pause").setAttribute("aria-pressed", String(isPaused));
  repeatLive();
});
$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  key = $("key").value;
  loadPresets().then(() => {
    sessionStorage.setItem("key", key);
    $("key-form").hidden = true;
    say("");
    $("prompt").focus();
    decideSoon();
    repeatLive();
  }).catch((error) => { say(error.message); $("key").focus(); });
});
document.addEventListener("visibilitychange", repeatLive);
loadPresets().catch((error) => say(error.message));
