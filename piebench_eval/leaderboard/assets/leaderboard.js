// The leaderboard: filters, the trade-off of all rows that they leave, and the table, sorted by groups.

const { metrics, families, rows } = BOARD;

const chosen = { family: "", images: "", masks: "", readFrom: "", text: "" };
const shownMetrics = { x: metrics.findIndex(({ key }) => key === "psnr"), y: metrics.findIndex(({ key }) => key === "clip_whole") };
const MOST_WITH_LABELS = 30;
const FIRST_METRIC = 4; // method, model, source and steps stand before the metrics
const FAMILY_COLORS = [...COLORS, "#2a9d9d", GREY];

// What a filter compares, as text; no masks are known of a row without any.
const FIELDS = {
  family: ({ family }) => family,
  images: ({ images }) => (images === null ? "unknown" : String(images)),
  masks: ({ masks }) => masks || "none",
  readFrom: ({ readFrom }) => readFrom,
};

// One's own rows stay, whatever is chosen.
function isLeft(row) {
  if (row.isMeasured) return true;
  if (Object.entries(FIELDS).some(([name, field]) => chosen[name] && field(row) !== chosen[name])) return false;
  return `${row.method} ${row.model} ${row.source}`.toLowerCase().includes(chosen.text.toLowerCase());
}

function median(values) {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

// Median, lowest and highest of the means that count; null for fewer than two.
function spreadOf(members, metric) {
  const counted = members.filter(({ isOriginal, faults, means }) => isOriginal && !faults[metric] && means[metric] !== null);
  const values = counted.map(({ means }) => means[metric]);
  return values.length < 2 ? null : { median: median(values), low: Math.min(...values), high: Math.max(...values) };
}

function drawSpread(line, members) {
  metrics.forEach((_, metric) => {
    const cell = line.cells[FIRST_METRIC + metric];
    const spread = spreadOf(members, metric);
    cell.dataset.number = spread ? spread.median : "";
    const range = spread ? [el("small", {}, `${spread.low.toFixed(2)} to ${spread.high.toFixed(2)}`)] : [];
    cell.replaceChildren(spread ? spread.median.toFixed(2) : "–", ...range);
  });
}

// A spread is of the rows that are left.
function drawTable() {
  for (const body of byId("board-table").tBodies) {
    const members = [...body.rows].filter((line) => line.dataset.row !== undefined);
    for (const line of members) line.hidden = !isLeft(rows[line.dataset.row]);
    const left = members.filter((line) => !line.hidden).map((line) => rows[line.dataset.row]);
    body.hidden = !left.length;
    const [first] = body.rows;
    if (!first.classList.contains("spread")) continue;
    drawSpread(first, left);
    first.hidden = metrics.every((_, metric) => spreadOf(left, metric) === null);
  }
}

// A group is sorted by the first row that is left of it: its median, where there is one.
function makeTableSortable() {
  const table = byId("board-table");
  const original = [...table.tBodies];
  const valueOfGroup = (body, column) => valueOf([...body.rows].find((line) => !line.hidden) ?? body.rows[0], column);
  makeSortable(table, (column, order) => {
    const groups = [...original];
    if (order) groups.sort((a, b) => compare(valueOfGroup(a, column), valueOfGroup(b, column), order === "descending"));
    table.append(...groups);
  });
}

// Plot

function hoverOf(row) {
  const line = (metric) => {
    const [low, high] = row.intervals[metric];
    const interval = low === undefined ? "" : ` (${low} to ${high})`;
    return `${metrics[metric].title}: ${row.means[metric]}${interval}`;
  };
  const about = [
    row.images === null ? "" : `${row.images} pictures`,
    row.masks && `masks: ${row.masks}`,
    row.promptedBy && `prompted by: ${row.promptedBy}`,
  ];
  const steps = row.steps === null ? "" : `, ${row.steps} steps`;
  const read = row.readFrom && row.readFrom !== "paper" ? `, read in its ${row.readFrom}` : "";
  const source = row.readFrom === "notes" ? `${row.source}, read in notes` : `${row.source}${read}`;
  const lines = [`${row.method}, ${row.model}${steps}`, line(shownMetrics.x), line(shownMetrics.y), source, about.filter(Boolean).join(", ")];
  return [...lines, ...wrapped(row.notes)].filter(Boolean).map(unmarked).join("<br>");
}

function wrapped(text, width = 70) {
  const lines = [];
  for (const word of text.split(" ")) {
    if (lines.length && `${lines.at(-1)} ${word}`.length <= width) lines[lines.length - 1] += ` ${word}`;
    else lines.push(word);
  }
  return lines;
}

function barsOf(points, metric, color) {
  const ends = points.map((row) => row.intervals[metric]);
  const length = (row, end, sign) => (end === undefined ? 0 : sign * (end - row.means[metric]));
  return {
    type: "data",
    symmetric: false,
    array: points.map((row, index) => length(row, ends[index][1], 1)),
    arrayminus: points.map((row, index) => length(row, ends[index][0], -1)),
    thickness: 1,
    width: 0,
    color,
  };
}

function placedRows() {
  return rows.filter((row) => isLeft(row) && [shownMetrics.x, shownMetrics.y].every((metric) => row.means[metric] !== null));
}

function traceOf(name, points, marker) {
  const isMeasured = points.some((row) => row.isMeasured);
  const bars = isMeasured
    ? { error_x: barsOf(points, shownMetrics.x, marker.color), error_y: barsOf(points, shownMetrics.y, marker.color) }
    : {};
  return {
    name: unmarked(name),
    type: "scatter",
    mode: "markers",
    x: points.map(({ means }) => means[shownMetrics.x]),
    y: points.map(({ means }) => means[shownMetrics.y]),
    customdata: points.map((row) => rows.indexOf(row)),
    hovertext: points.map(hoverOf),
    hoverinfo: "text",
    cliponaxis: false,
    marker,
    ...bars,
  };
}

function traces(placed) {
  const ink = getComputedStyle(document.documentElement).getPropertyValue("--ink").trim();
  const found = families.map(([family, name], number) => {
    const color = FAMILY_COLORS[number % FAMILY_COLORS.length];
    const points = placed.filter((row) => row.family === family && !row.isMeasured);
    return traceOf(name, points, { size: 9, opacity: 0.85, color, symbol: SYMBOLS[number % SYMBOLS.length] });
  });
  const own = placed.filter(({ isMeasured }) => isMeasured);
  if (own.length) found.push(traceOf("measured here", own, { size: 15, color: ink, symbol: "star-diamond" }));
  return found.filter(({ x }) => x.length);
}

// One's own rows are named, and all if they are few.
function labelsOf(plot, placed) {
  const { xaxis, yaxis, _size: area } = plot._fullLayout;
  const pen = document.createElement("canvas").getContext("2d");
  pen.font = `${LABEL_FONT.size}px ${LABEL_FONT.family}`;
  const points = placed.map((row) => {
    const [x, y] = [row.means[shownMetrics.x], row.means[shownMetrics.y]];
    const isNamed = row.isMeasured || placed.length <= MOST_WITH_LABELS;
    const width = isNamed ? pen.measureText(row.method).width + 6 : 0;
    return { row, isNamed, mean: x, height: LABEL_FONT.size + 4, value: y, x: xaxis.l2p(x), y: yaxis.l2p(y), width };
  });
  const named = points.filter(({ isNamed }) => isNamed);
  return placeLabels(named, { width: area.w, height: area.h }).flatMap((place, number) => {
    if (place === null) return [];
    const { row, mean: x, value: y } = named[number];
    const yanchor = Math.abs(place.dy) < 1 ? "bottom" : "middle"; // above the bar of an interval
    const where = { x, y, ax: place.dx, ay: place.dy, xanchor: "center", yanchor };
    return [{ ...where, showarrow: true, arrowhead: 0, arrowwidth: 1, arrowcolor: GREY, text: unmarked(row.method), font: LABEL_FONT }];
  });
}

function goToRow(index) {
  for (const line of document.querySelectorAll("tr.pointed")) line.classList.remove("pointed");
  const line = byId(`row-${index}`);
  line.classList.add("pointed");
  line.scrollIntoView({ block: "center" });
}

function drawPlot() {
  const placed = placedRows();
  const left = rows.filter(isLeft).length;
  byId("count").textContent = `${left} of ${rows.length} rows`;
  const missing = left - placed.length;
  byId("plot-note").textContent = missing ? `${missing} rows lack one of both metrics and have no point.` : "";
  const side = metrics[shownMetrics.x].higherIsBetter ? "right" : "left";
  byId("corner").textContent = `${metrics[shownMetrics.y].higherIsBetter ? "upper" : "lower"} ${side}`;
  if (!window.Plotly) return;
  const plot = byId("board-plot");
  const axis = (metric) => ({ title: metrics[metric].title, range: placed.length ? rangeOf(placed.map(({ means }) => means[metric])) : null });
  window.Plotly.react(plot, traces(placed), plotStyle(axis(shownMetrics.x), axis(shownMetrics.y)), { displaylogo: false, displayModeBar: false });
  window.Plotly.relayout(plot, { annotations: labelsOf(plot, placed) });
  plot.removeAllListeners?.("plotly_click");
  plot.on("plotly_click", ({ points }) => goToRow(points[0].customdata));
}

// Controls

function draw() {
  drawTable();
  drawPlot();
}

function makeControls() {
  const choice = (label, name, options) =>
    select(label, [["", "all"], ...options], "", (value) => {
      chosen[name] = value;
      draw();
    });
  const valuesOf = (name) => [...new Set(rows.filter(({ isMeasured }) => !isMeasured).map(FIELDS[name]))].sort();
  const pairs = (name) => valuesOf(name).map((value) => [value, value]);
  const search = el("input", {
    type: "search",
    input: (event) => {
      chosen.text = event.target.value;
      draw();
    },
  });
  byId("filters").append(
    choice("Family", "family", families),
    choice("Images", "images", pairs("images")),
    choice("Masks", "masks", pairs("masks")),
    choice("Read from", "readFrom", pairs("readFrom")),
    el("label", {}, "Method, model or source", search),
  );
  const axis = (label, name, isOfEdit) => {
    const indices = metrics.map((_, index) => index).filter((index) => metrics[index].isOfEdit === isOfEdit);
    const options = indices.map((index) => [String(index), metrics[index].title]);
    return select(label, options, String(shownMetrics[name]), (value) => {
      shownMetrics[name] = Number(value);
      drawPlot();
    });
  };
  byId("axes").append(axis("Preservation", "x", false), axis("Edit", "y", true));
}

document.documentElement.classList.add("scripted");
hintAtOverflow();
makeControls();
makeTableSortable();
drawPlot();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawPlot);
redrawAtNewWidth("board-plot", drawPlot);
loadPlotly(drawPlot);
