"""What a move of a slider does in the browser: it picks entries of grids that were computed before."""

GROUPS = """
const told_groups = (attribute, count) => {  // of many cells the largest
  const all = groups.map((g, n) => n).filter((n) => ['', attribute].includes(groups[n].attribute));
  const cells = all.filter((n) => groups[n].kind === 'cell');
  const largest = [...cells].sort((a, b) => count(b) - count(a)).slice(0, most_cells);
  return all.filter((n) => groups[n].kind !== 'cell' || largest.includes(n));
};
"""

MOVE = """
const mode = ['time', 'decay', 'switch'][scenario.active];
const t = tables[mode];
const sliders = {time: [time], decay: [decay], switch: [switched, decoupling, after]};
for (const s of [time, decay, switched, decoupling, after]) s.visible = sliders[mode].includes(s);
const [i, j] = mode === 'switch' ? [Math.round(switched.value), Math.round(decoupling.value)] : [0, 0];
const at = Math.round({time: time, decay: decay, switch: after}[mode].value);
const split = Math.max(splits.indexOf(split_choice.value), 0);
const attribute = Math.max(attributes.indexOf(attribute_choice.value), 0);
const k = t.z.shape[3];
const pick = (a, ...where) => {
  let flat = 0;
  where.forEach((w, d) => { flat = flat * a.shape[d] + w; });
  return a[flat];
};
const said = (v) => Number.isFinite(v) ? Number(v.toPrecision(4)).toString() : '–';
const percent = (v) => Number.isFinite(v) ? (100 * v).toFixed(1) + '%' : '–';

// curves along the grid of the scenario, and where the slider stands on it
const xs = Array.from(t.x), shown = xs.map((x, n) => n).filter((n) => xs[n] > 0);
const line = (value) => shown.map(value);
const here = told_groups(attributes[attribute], (n) => groups[n].count[split]);
const every = [...Array(k).keys()].sort((a, b) => rank[b] - rank[a]);
const many = (list) => list.map(() => line((n) => xs[n]));
curves.data = {
  x: many(every), y: every.map((f) => line((n) => pick(t.z, i, j, n, f))),
  name: every.map((f) => 'feature ' + features[f]), colour: every.map((f) => colours[f]),
};
group_curves.data = {
  x: many(here), y: here.map((g) => line((n) => pick(t.accuracy, split, g, i, j, n))),
  name: here.map((g) => groups[g].name), colour: here.map((g) => groups[g].colour),
};
for (const span of spans) span.location = xs[at];
for (const axis of axes) if (axis.axis_label !== t.label) axis.axis_label = t.label;

// the strengths of responses, and the groups
const z = [...Array(k).keys()].map((f) => pick(t.z, i, j, at, f));
responses.data = {feature: features.map(String), z: z, colour: colours};
const of = (table) => here.map((g) => pick(table, split, g, i, j, at));
const names = here.map((g) => groups[g].name + ' (' + groups[g].count[split] + ')');
group_range.factors = [...names].reverse();
group_bars.data = {
  group: names, accuracy: of(t.accuracy), low: of(t.low), high: of(t.high), colour: here.map((g) => groups[g].colour),
};

// the gap as the exact sum of what features carry of it; examples held out are of a problem with features of its own
const margins_gap = attributes.length ? pick(t.gap, split, attribute, i, j, at) : NaN;
if (attributes.length) {
  const known = Number.isFinite(pick(kappa, split, attribute, 0));
  const carried = known ? split : splits.indexOf('train');
  gap_title.text = 'What carries the gap' + (known ? '' : ', of training examples');
  const parts = z.map((v, f) => pick(kappa, carried, attribute, f) * v);
  const rest = pick(t.rest, carried, attribute, i, j, at);
  const order = [...parts.keys()].sort((a, b) => Math.abs(parts[b]) - Math.abs(parts[a]));
  const large = order.slice(0, 7), small = order.slice(7);
  const steps = large.map((f) => ['feature ' + features[f], parts[f]]);
  if (small.length) steps.push(['other features', small.reduce((sum, f) => sum + parts[f], 0)]);
  if (Number.isFinite(rest)) steps.push(['all beyond', rest]);
  const bottom = [], top = [], sign = [];
  let gap = 0;
  for (const [, part] of steps) { bottom.push(gap); gap += part; top.push(gap); sign.push(part < 0 ? falls : rises); }
  const labels = [...steps.map(([name]) => name), 'gap'];
  waterfall_range.factors = labels;
  waterfall.data = {
    part: labels, bottom: [...bottom, 0], top: [...top, gap], colour: [...sign, total],
    value: [...steps.map(([, part]) => part), gap],
  };
}

// who starves whom
const cells = {cause: [], feature: [], value: [], mark: []};
let size = 0;
for (let f = 0; f < k; f++) for (let c = 0; c < k; c++) {
  const known = t.elasticity.length > 0 && f !== c && Math.max(f, c) < t.elasticity.shape[4];
  const value = known ? pick(t.elasticity, i, j, at, f, c) : NaN;
  if (Number.isFinite(value)) size = Math.max(size, Math.abs(value));
  cells.cause.push(String(features[c])); cells.feature.push(String(features[f]));
  cells.value.push(value); cells.mark.push(known && pick(t.starves, i, j, at, f, c) ? '●' : '');
}
matrix.data = cells;
size = Math.min(size, 1) || 1;  // a percent for a percent is much
mapper.high = size; mapper.low = -size;
const off = t.few_error.length ? pick(t.few_error, i, j, at) : 0;
matrix_title.text = 'Who starves whom' + (t.elasticity.length ? off > holds ? ': uncertain' : '' : ': not told');

// the same in words
const accuracies = groups.map((g, n) => pick(t.accuracy, split, n, i, j, at));
const counts = (g) => g.kind === 'cell' && g.attribute === attributes[attribute] && g.count[split] >= rare;
const known_cells = groups.map((g, n) => n).filter((n) => counts(groups[n]) && Number.isFinite(accuracies[n]));
const worst = known_cells.reduce((best, n) => best < 0 || accuracies[n] < accuracies[best] ? n : best, -1);
const rows = [
  [{time: 'plain training until', decay: 'weight decay', switch: 'decoupling since'}[mode], said(xs[at])],
  ['accuracy of all', percent(accuracies[0])],
  ['worst cell of ' + rare + ' or more', worst < 0 ? '–' : percent(accuracies[worst])],
  ['gap of margins', said(margins_gap)],
  ...(t.few_error.length ? [['model of who starves whom off by', percent(off)]] : []),
];
const body = rows.map(([name, value]) => `<tr><th>${name}</th><td>${value}</td></tr>`).join('');
values.text = '<table class="values">' + body + '</table>';
"""
