// Means of a metric by combination and editing type, as a table: within a column, better cells stand out more.

const SHADES = { light: [97, 58], dark: [14, 42] };

const typesTable = { metric: 0 };

function drawTypesControls() {
  const choices = metrics.map((metric, index) => [String(index), metric.title]);
  const choose = (value) => {
    typesTable.metric = Number(value);
    drawTypes();
  };
  byId("types-controls").append(select("Metric", choices, "0", choose));
}

function typeMean(combination, type, metric) {
  return toNumber(REPORT.byType[combination][type][metric]);
}

// Ideal edits and untouched sources are no editing methods, and would stretch every scale.
function comparedByType() {
  const all = combinations.map((_, index) => index);
  const edits = all.filter((index) => combinations[index].isEdit);
  return edits.length ? edits : all;
}

// From 0 for the worst of some values to 1 for the best; NaN for what is no number, 0.5 where all are equal.
function merits(values, higherIsBetter) {
  const known = values.filter(Number.isFinite);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  return values.map((value) => {
    if (Number.isNaN(value)) return NaN;
    const place = high > low ? Math.min(1, Math.max(0, (value - low) / (high - low))) : 0.5;
    return higherIsBetter ? place : 1 - place;
  });
}

function shade(merit) {
  if (Number.isNaN(merit)) return null;
  const [worst, best] = SHADES[isDark() ? "dark" : "light"];
  return `background: hsl(211 60% ${(worst + (best - worst) * merit).toFixed(0)}%)`;
}

function drawTypes() {
  const { metric } = typesTable;
  const rows = comparedByType();
  const columns = types.map((_, type) => {
    const values = rows.map((combination) => typeMean(combination, type, metric));
    const places = merits(values, metrics[metric].higherIsBetter);
    return values.map((value, row) => el("td", { class: "number", style: shade(places[row]) }, shown(value)));
  });
  const row = (combination, number) =>
    el("tr", {}, el("th", { scope: "row" }, combinations[combination].name), ...columns.map((cells) => cells[number]));
  const headings = types.map(({ label }) => el("th", { scope: "col" }, label));
  const head = el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "combination"), ...headings));
  byId("types-table").replaceChildren(el("table", {}, head, el("tbody", {}, ...rows.map(row))));
  byId("types-legend").replaceChildren(...[0, 0.25, 0.5, 0.75, 1].map((merit) => el("span", { style: shade(merit) })));
}
