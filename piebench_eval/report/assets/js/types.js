// Means of a metric by combination and editing type, as a table whose better cells are darker.

const LIGHTEST = 94;
const DARKEST = 30;

function drawTypesControls() {
  const choices = metrics.map((metric, index) => [String(index), metric.title]);
  byId("types-controls").append(select("Metric", choices, "0", (value) => drawTypes(Number(value))));
}

function typeMean(combination, type, metric) {
  return toNumber(REPORT.byType[combination][type][metric]);
}

// The scale is that of the edits: ideal edits and untouched sources would stretch it.
function rangeOf(metric) {
  const edits = combinations.map((_, index) => index).filter((index) => combinations[index].isEdit);
  const chosen = edits.length ? edits : combinations.map((_, index) => index);
  const values = chosen
    .flatMap((index) => types.map((_, type) => typeMean(index, type, metric)))
    .filter(Number.isFinite);
  return [Math.min(...values), Math.max(...values)];
}

function shade(value, [low, high], higherIsBetter) {
  if (Number.isNaN(value)) return null;
  const place = high > low ? Math.min(1, Math.max(0, (value - low) / (high - low))) : 0.5;
  const lightness = LIGHTEST + (DARKEST - LIGHTEST) * (higherIsBetter ? place : 1 - place);
  return `background: hsl(211 55% ${lightness.toFixed(0)}%); color: ${lightness > 58 ? "#10161d" : "#fff"}`;
}

function drawTypes(metric) {
  const range = rangeOf(metric);
  const row = ({ name }, index) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, name),
      ...types.map((_, type) => {
        const value = typeMean(index, type, metric);
        const style = shade(value, range, metrics[metric].higherIsBetter);
        return el("td", { class: "number", style }, shown(value));
      }),
    );
  const headings = types.map(({ label }) => el("th", { scope: "col" }, label));
  const head = el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "combination"), ...headings));
  byId("types-table").replaceChildren(el("table", {}, head, el("tbody", {}, ...combinations.map(row))));
}
