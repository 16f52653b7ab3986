// The credit lab: what RTT-GRPO makes of one group of responses, to play with.
//
// One module for two places: JupyterLab loads it as an anywidget, the site has it inline. It loads nothing, and texts
// reach the page as text only. The arithmetic is that of rtt_lib/credit.py, whose tests hold the two together.
//
// Shapes: G responses, K criteria, T tokens (the longest response; `mask` says which exist).
//   verdicts [G][K]  1 satisfied, 0 violated, null unknown;  p [G][K][T] relevance;  mask [G][T]

// ---- the method ----------------------------------------------------------------------------------------------------

const STD_FLOOR = 1e-6;
const EPS = 1e-4;

const sum = (values) => values.reduce((a, b) => a + b, 0);
const zeros = (...shape) =>
  shape.length > 1 ? Array.from({ length: shape[0] }, () => zeros(...shape.slice(1))) : new Array(shape[0]).fill(0);
const sign = (verdict) => (verdict === null ? 0 : 2 * (verdict - 0.5));

// Eq. 2 and Eq. 3. NaN: it cannot be scored.
export function reward(verdicts, kind) {
  const known = verdicts.filter((v) => v !== null);
  if (kind === "csr") return known.length ? sum(known) / known.length : NaN;
  if (known.includes(0)) return 0;
  return known.length && known.length === verdicts.length ? 1 : NaN;
}

// A_res [G]: GRPO's, with the sample standard deviation; 0 where all rewards are equal.
export function responseAdvantage(rewards) {
  const known = rewards.filter((r) => !Number.isNaN(r));
  if (!known.length || Math.max(...known) === Math.min(...known)) return rewards.map(() => 0);
  const mean = sum(known) / known.length;
  const std = Math.sqrt(sum(known.map((r) => (r - mean) ** 2)) / (known.length - 1));
  return rewards.map((r) => (Number.isNaN(r) ? 0 : (r - mean) / (std + EPS)));
}

// Values minus their mean, divided by their population standard deviation; zeros where that is below the floor.
function standardise(values) {
  const mean = sum(values) / Math.max(1, values.length);
  const std = Math.sqrt(sum(values.map((x) => (x - mean) ** 2)) / Math.max(1, values.length));
  return values.map((x) => (std > STD_FLOOR ? (x - mean) / std : 0));
}

// A_k [G][K][T]: the advantage of every token under each criterion alone.
export const SCHEMES = {
  // section 4.2: over the tokens of one response
  intra: (verdicts, p, mask) => perRow(verdicts, p, mask, (i, k, tokens) =>
    standardise(tokens.map((t) => sign(verdicts[i][k]) * p[i][k][t]))),

  // App. D, Eq. 8: over the tokens of all responses whose verdict is known
  inter: (verdicts, p, mask) => {
    const result = zeros(p.length, p[0].length, mask[0].length);
    p[0].forEach((_, k) => {
      const cells = [];
      verdicts.forEach((row, i) => mask[i].forEach((m, t) => { if (m && row[k] !== null) cells.push([i, t]); }));
      standardise(cells.map(([i, t]) => sign(verdicts[i][k]) * p[i][k][t]))
        .forEach((value, n) => { result[cells[n][0]][k][cells[n][1]] = value; });
    });
    return result;
  },

  // ours: each verdict standardised over the group, spread over a response by mean-one relevance
  relative: (verdicts, p, mask) => {
    const advantage = zeros(verdicts.length, p[0].length);
    p[0].forEach((_, k) => {
      const known = verdicts.map((_, i) => i).filter((i) => verdicts[i][k] !== null);
      standardise(known.map((i) => sign(verdicts[i][k]))).forEach((a, n) => { advantage[known[n]][k] = a; });
    });
    return perRow(verdicts, p, mask, (i, k, tokens) => {
      const mean = sum(tokens.map((t) => p[i][k][t])) / Math.max(1, tokens.length);
      return tokens.map((t) => advantage[i][k] * (mean > STD_FLOOR ? p[i][k][t] / mean : 1));
    });
  },

  // the released code: the rows of [G, K, T] are reshaped to [K, G, T] and not transposed
  released: (verdicts, p, mask) => {
    const [groups, criteria] = [p.length, p[0].length];
    const flat = p.flatMap((rows, i) => rows.map((row, k) => row.map((x) => sign(verdicts[i][k]) * x)));
    return perRow(verdicts, p, mask, (i, k, tokens) => standardise(tokens.map((t) => flat[k * groups + i][t])));
  },
};

function perRow(verdicts, p, mask, rule) {
  const result = zeros(p.length, p[0].length, mask[0].length);
  for (const i of p.keys()) {
    const tokens = mask[i].flatMap((m, t) => (m ? [t] : []));
    for (const k of p[i].keys()) {
      if (verdicts[i][k] === null) continue;
      rule(i, k, tokens).forEach((value, n) => { result[i][k][tokens[n]] = value; });
    }
  }
  return result;
}

// A_k [G][K][T] and their mean over the known criteria, A_tok [G][T]; zero outside the mask and where not eligible.
export function tokenAdvantage(verdicts, p, mask, scheme, eligible = null) {
  if (!(scheme in SCHEMES)) throw new Error(`unknown scheme ${scheme}`);
  if (scheme === "released" && verdicts.some((row) => row.includes(null))) {
    throw new Error("the released code has no notion of an unknown verdict");
  }
  const used = mask.map((row, i) => row.map((m, t) => m && (!eligible || eligible[i][t])));
  const inside = p.map((rows, i) => rows.map((row) => row.map((x, t) => (used[i][t] ? x : 0))));
  const perCriterion = SCHEMES[scheme](verdicts, inside, used);
  const aTok = perCriterion.map((rows, i) => {
    const known = Math.max(1, verdicts[i].filter((v) => v !== null).length);
    return used[i].map((u, t) => (u ? sum(rows.map((row) => row[t])) / known : 0));
  });
  return { perCriterion, aTok };
}

// Eq. 7
export const combine = (aRes, aTok, beta) => aTok.map((row, i) => row.map((a) => aRes[i] + beta * a));

// ---- one group under the lab's settings ----------------------------------------------------------------------------

export const DEFAULTS = {
  reward: "aon", scheme: "intra", beta: 0.5, rounded: true, eos: true, noise: 0, longer: 0, response: 0, criterion: 0,
};

// The same number in [-1, 1) for the same place, so that moving a slider back undoes it.
function hash(i, k, t) {
  let x = (i * 73856093) ^ (k * 19349663) ^ (t * 83492791) ^ 0x9e3779b9;
  x = Math.imul(x ^ (x >>> 16), 0x45d9f3b);
  x = Math.imul(x ^ (x >>> 16), 0x45d9f3b);
  return ((x ^ (x >>> 16)) >>> 0) / 2147483648 - 1;
}

// Relevance after painting, more words in one response, noise and rounding; [G][K][T] with the tokens it belongs to.
export function prepare(group, settings) {
  const rows = group.responses.map((response, i) => {
    const extra = i === settings.response ? settings.longer : 0;
    const end = response.text.lastIndexOf(true) + 1;
    const insert = (list, value) => [...list.slice(0, end), ...new Array(extra).fill(value), ...list.slice(end)];
    return {
      tokens: insert(response.tokens, "more"),
      text: insert(response.text, true),
      // a further word is as relevant as the least relevant one: 1 for a criterion about the whole, else 0
      p: response.p.map((row) => insert(row, row.length ? Math.min(...row) : 0)),
    };
  });
  const longest = Math.max(...rows.map((row) => row.tokens.length));
  const noisy = (x, i, k, t) => Math.min(1, Math.max(0, x + settings.noise * hash(i, k, t)));
  const round = (x) => (settings.rounded ? Number(x >= 0.5) : x);
  return {
    tokens: rows.map((row) => row.tokens),
    mask: rows.map((row) => Array.from({ length: longest }, (_, t) => t < row.tokens.length)),
    text: rows.map((row) => Array.from({ length: longest }, (_, t) => row.text[t] ?? false)),
    p: rows.map((row, i) => row.p.map((values, k) =>
      Array.from({ length: longest }, (_, t) => (t < values.length ? round(noisy(values[t], i, k, t)) : 0)))),
  };
}

// Everything that the page shows of a group.
export function credit(group, settings) {
  const ready = prepare(group, settings);
  const verdicts = group.responses.map((response) => response.verdicts);
  const rewards = verdicts.map((row) => reward(row, settings.reward));
  const aRes = responseAdvantage(rewards);
  const { perCriterion, aTok } = tokenAdvantage(
    verdicts, ready.p, ready.mask, settings.scheme, settings.eos ? null : ready.text);
  return { ...ready, verdicts, rewards, aRes, perCriterion, aTok, advantage: combine(aRes, aTok, settings.beta) };
}

// ---- the page ------------------------------------------------------------------------------------------------------

const UP = [0, 114, 178], DOWN = [213, 94, 0]; // told apart by colour-blind readers
const STYLE = `
.rtt-lab { font: 15px/1.45 system-ui, sans-serif; color: #1a1a1a; background: #fff; color-scheme: light;
  padding: .8rem; border: 1px solid #ccc; border-radius: 6px; max-width: 72rem; }
.rtt-lab * { box-sizing: border-box; }
.rtt-lab .row { display: flex; flex-wrap: wrap; gap: .4rem .9rem; align-items: center; margin: .4rem 0; }
.rtt-lab label { display: inline-flex; align-items: center; gap: .35rem; }
.rtt-lab input[type=range] { width: 7.5rem; }
.rtt-lab button, .rtt-lab select { font: inherit; color: inherit; background: #fff; border: 1px solid #767676;
  border-radius: 4px; padding: .15rem .5rem; cursor: pointer; }
.rtt-lab button[aria-pressed=true] { background: #1a1a1a; color: #fff; }
.rtt-lab :focus-visible { outline: 3px solid #1a1a1a; outline-offset: 1px; }
.rtt-lab .about { margin: .3rem 0; min-height: 2.9em; }
.rtt-lab .response { border-top: 1px solid #ddd; padding: .45rem 0; }
.rtt-lab .head { font-size: 13px; color: #444; font-variant-numeric: tabular-nums; }
.rtt-lab .verdicts { display: flex; flex-wrap: wrap; gap: .25rem; margin: .2rem 0; }
.rtt-lab .verdicts button { font-size: 12.5px; padding: 0 .4rem; }
.rtt-lab .verdicts [data-verdict="1"] { background: #dcebf5; }
.rtt-lab .verdicts [data-verdict="0"] { background: #f9e3d3; }
.rtt-lab .tokens { display: flex; flex-wrap: wrap; gap: 2px; }
.rtt-lab .tokens button { display: inline-block; text-align: center; border: 1px solid transparent; padding: .1em .3em; }
.rtt-lab .locked { min-height: 1.45em; color: #8a2b00; }
.rtt-lab .tokens button[aria-disabled=true] { cursor: not-allowed; }
.rtt-lab .tokens button.marked { border-bottom: 2px solid #1a1a1a; }
.rtt-lab .tokens small { display: block; font-size: 10.5px; font-variant-numeric: tabular-nums; }
.rtt-lab .detail { font-size: 13.5px; min-height: 4.2em; border-top: 1px solid #ddd; padding-top: .4rem;
  font-variant-numeric: tabular-nums; }
.rtt-lab .problem { color: #8a2b00; font-weight: 600; }
`;

const number = (x, digits = 2) => {
  const text = x.toFixed(digits);
  return Number(text) === 0 ? (0).toFixed(digits) : (x > 0 ? "+" : "") + text;
};

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

// Data from rtt_lib.report.credit_lab: groups of responses, and presets.
export function mount(place, data) {
  const state = { group: 0, settings: { ...DEFAULTS }, groups: structuredClone(data.groups), preset: null };
  const root = element("section", { class: "rtt-lab", "aria-label": "Credit lab" });
  const style = element("style");
  style.textContent = STYLE;
  const controls = element("div"), locked = element("div", { class: "locked", "aria-live": "polite" });
  const about = element("p", { class: "about", "aria-live": "polite" });
  const body = element("div"), detail = element("div", { class: "detail", role: "status" });
  root.append(style, controls, locked, about, body, detail);
  place.replaceChildren(root);

  const change = (settings, more = {}) => {
    Object.assign(state.settings, settings);
    Object.assign(state, { preset: null }, more);
    draw();
  };

  function choosePreset(index) {
    const preset = data.presets[index];
    state.groups = structuredClone(data.groups);
    Object.assign(state, { group: preset.group, preset: index, settings: { ...DEFAULTS, ...preset.settings } });
    draw();
  }

  function forgetPreset() {
    state.preset = null;
    about.textContent = "";
    controls.querySelectorAll("button[aria-pressed]").forEach((button) => button.setAttribute("aria-pressed", "false"));
  }

  function drawControls() {
    const s = state.settings;
    const presets = data.presets.map((preset, n) =>
      element("button", { type: "button", "aria-pressed": String(state.preset === n), onclick: () => choosePreset(n) },
        preset.name));
    const choice = (label, name, options) => {
      const select = element("select", { onchange: (e) => change({ [name]: e.target.value }) });
      for (const [value, text] of options) select.append(element("option", { value, selected: s[name] === value }, text));
      return element("label", {}, label, select);
    };
    const slider = (label, name, max, step) => {
      const shown = element("output", {}, String(s[name]));
      const input = element("input", { type: "range", min: 0, max, step, value: s[name], "aria-label": label });
      input.addEventListener("input", () => {
        shown.textContent = input.value;
        Object.assign(state.settings, { [name]: Number(input.value) });
        forgetPreset();
        drawBody(); // and not the controls, which would lose the slider under the finger
      });
      return element("label", {}, label, input, shown);
    };
    const box = (label, name) => {
      const input = element("input", { type: "checkbox", onchange: (e) => change({ [name]: e.target.checked }) });
      input.checked = s[name];
      return element("label", {}, input, label);
    };
    const groups = element("select", { onchange: (e) => change({ response: 0, criterion: 0, longer: 0 },
      { group: Number(e.target.value) }) });
    state.groups.forEach((group, n) =>
      groups.append(element("option", { value: n, selected: n === state.group }, group.name)));
    const criteria = element("select", { onchange: (e) => change({ criterion: Number(e.target.value) }) });
    state.groups[state.group].criteria.forEach((criterion, k) =>
      criteria.append(element("option", { value: k, selected: k === s.criterion }, criterion)));
    controls.replaceChildren(
      element("div", { class: "row", role: "group", "aria-label": "Presets" }, ...presets),
      element("div", { class: "row" }, element("label", {}, "responses", groups),
        choice("reward", "reward", [["aon", "AON"], ["csr", "CSR"]]),
        choice("scheme", "scheme", [["intra", "intra"], ["inter", "inter"], ["relative", "relative"],
          ["released", "as released"]]),
        slider("beta", "beta", 1.5, 0.05)),
      element("div", { class: "row" }, box("round p at 0.5", "rounded"), box("credit for <end>", "eos"),
        slider("noise in p", "noise", 0.6, 0.02),
        slider(`words added to response ${s.response + 1}`, "longer", 40, 1),
        element("label", {}, "paint relevance to", criteria)),
    );
  }

  // The slider's words take their relevance from the response's own, so nothing is painted while they are there.
  const isLocked = (i) => state.settings.longer > 0 && i === state.settings.response;

  function drawBody() {
    const group = state.groups[state.group], s = state.settings;
    const said = s.longer > 0
      ? `Response ${s.response + 1} has added words. To paint its relevance, set "words added" to 0.` : "";
    if (locked.textContent !== said) locked.textContent = said; // a screen reader says it once
    let found;
    try {
      found = credit(group, s);
    } catch (error) {
      body.replaceChildren(element("p", { class: "problem" }, `Nothing to show: ${error.message}.`));
      return;
    }
    const largest = Math.max(1e-9, ...found.advantage.flatMap((row, i) => row.filter((_, t) => found.mask[i][t]).map(Math.abs)));
    body.replaceChildren(
      element("p", { class: "head" }, `Prompt: ${group.prompt}. The number under a token is A(i, t): blue is made more `
        + `likely, orange less. Click a verdict to change it, a token to paint its relevance. The underlined tokens are `
        + `relevant to "${group.criteria[s.criterion]}".`),
      ...found.tokens.map((tokens, i) => responseRow(found, group, i, tokens, largest)));
  }

  function responseRow(found, group, i, tokens, largest) {
    const s = state.settings;
    const verdicts = group.criteria.map((criterion, k) => {
      const value = found.verdicts[i][k], word = { 1: "satisfied", 0: "violated", null: "unknown" }[value];
      return element("button", { type: "button", "data-verdict": String(value),
        "aria-label": `response ${i + 1}, ${criterion}: ${word}`,
        onclick: () => {
          group.responses[i].verdicts[k] = { 1: 0, 0: null, null: 1 }[value];
          refresh(`.response:nth-of-type(${i + 1}) .verdicts button:nth-child(${k + 1})`);
        } }, `${{ 1: "✓", 0: "✗", null: "?" }[value]} ${criterion}`);
    });
    const reward = Number.isNaN(found.rewards[i]) ? "unknown" : found.rewards[i].toFixed(2);
    const spans = tokens.map((token, t) => tokenButton(found, group, i, t, token, largest));
    return element("div", { class: "response" },
      element("div", { class: "head" },
        element("button", { type: "button", "aria-pressed": String(s.response === i),
          onclick: () => change({ response: i, longer: 0 }) }, `response ${i + 1}`),
        ` reward ${reward}, A_res ${number(found.aRes[i])}`),
      element("div", { class: "verdicts" }, ...verdicts), element("div", { class: "tokens" }, ...spans));
  }

  function tokenButton(found, group, i, t, token, largest) {
    const a = found.advantage[i][t], k = state.settings.criterion;
    const marked = found.p[i][k][t] >= 0.5;
    const rgb = (a > 0 ? UP : DOWN).join(", "), alpha = (0.55 * Math.min(1, Math.abs(a) / largest)).toFixed(3);
    const tell = () => describe(found, group, i, t, token);
    const made = element("button", { type: "button", class: marked ? "marked" : null,
      "aria-disabled": isLocked(i) ? "true" : null,
      "aria-label": `${token}: A ${number(a)}, A_res ${number(found.aRes[i])}, A_tok ${number(found.aTok[i][t])}`,
      onmouseenter: tell, onfocus: tell,
      onclick: () => {
        if (isLocked(i)) return;
        group.responses[i].p[k][t] = marked ? 0 : 1;
        refresh(`.response:nth-of-type(${i + 1}) .tokens button:nth-child(${t + 1})`);
      } }, token, element("small", {}, number(a)));
    made.style.background = `rgba(${rgb}, ${alpha})`;
    return made;
  }

  function describe(found, group, i, t, token) {
    const parts = group.criteria.map((criterion, k) =>
      `${criterion}: p ${found.p[i][k][t].toFixed(2)}, A_k ${number(found.perCriterion[i][k][t])}`);
    detail.replaceChildren(
      element("div", {}, `"${token}" in response ${i + 1}: A ${number(found.advantage[i][t], 3)} = A_res `
        + `${number(found.aRes[i], 3)} + ${state.settings.beta} × A_tok ${number(found.aTok[i][t], 3)}`),
      element("div", {}, parts.join(" · ")));
  }

  // Draw again and put the keyboard where it was.
  function refresh(selector) {
    state.preset = null;
    draw();
    body.querySelector(selector)?.focus();
  }

  function draw() {
    drawControls();
    about.textContent = state.preset === null ? "" : data.presets[state.preset].about;
    drawBody();
  }

  if (data.presets.length) choosePreset(0);
  else draw();
}

// anywidget
export default { render: ({ model, el }) => mount(el, model.get("data")) };
