// Preservation against CLIP score: a point per combination, bars for the 95% intervals of both.

const tradeoff = { x: null, y: null, horizontal: [], vertical: [], withBars: true, withOthers: false };

// With more points than this, bars hide more than they tell, until they are asked for.
const MOST_WITH_BARS = 8;

function drawTradeoffControls() {
  const indices = metrics.map((_, index) => index);
  tradeoff.horizontal = indices.filter((index) => !metrics[index].isOfEdit);
  tradeoff.vertical = indices.filter((index) => metrics[index].isOfEdit);
  if (!tradeoff.horizontal.length || !tradeoff.vertical.length) {
    byId("tradeoff").hidden = true;
    return;
  }
  [tradeoff.x] = tradeoff.horizontal;
  [tradeoff.y] = tradeoff.vertical;
  const axis = (label, name, choices) =>
    select(label, choices.map((index) => [String(index), metrics[index].title]), null, (value) => {
      tradeoff[name] = Number(value);
      drawTradeoff();
    });
  const check = (label, name) => {
    const toggle = (event) => {
      tradeoff[name] = event.target.checked;
      drawTradeoff();
    };
    const box = el("input", { type: "checkbox", checked: tradeoff[name], change: toggle });
    return el("label", { class: "check" }, box, label);
  };
  const others = combinations.filter(({ isEdit }) => !isEdit).map(({ name }) => name);
  tradeoff.withBars = combinations.length <= MOST_WITH_BARS;
  byId("tradeoff-controls").append(
    axis("Preservation", "x", tradeoff.horizontal),
    axis("Edit", "y", tradeoff.vertical),
    check("95% intervals", "withBars"),
    ...(others.length && others.length < combinations.length
      ? [check(`make room for ${others.join(", ")}`, "withOthers")]
      : []),
  );
}

function meanOf(combination, metric) {
  return REPORT.means[combination][metric].map(toNumber);
}

function bars(indices, metric, color) {
  const means = indices.map((index) => meanOf(index, metric));
  const known = (length) => (Number.isNaN(length) ? 0 : length);
  return {
    type: "data",
    symmetric: false,
    array: means.map(([mean, , high]) => known(high - mean)),
    arrayminus: means.map(([mean, low]) => known(mean - low)),
    thickness: 1,
    width: 0,
    color: `${color}88`,
    visible: tradeoff.withBars,
  };
}

function hoverText(combination) {
  const line = (metric) => {
    const [mean, low, high] = meanOf(combination, metric);
    return `${metrics[metric].title}: ${shown(mean)} (${shown(low)} to ${shown(high)})`;
  };
  const lines = [combinations[combination].name, line(tradeoff.x), line(tradeoff.y)];
  return lines.map(unmarked).join("<br>");
}

function trace({ name, indices, symbol, color }) {
  return {
    name: unmarked(name),
    type: "scatter",
    mode: "markers",
    x: indices.map((index) => meanOf(index, tradeoff.x)[0]),
    y: indices.map((index) => meanOf(index, tradeoff.y)[0]),
    error_x: bars(indices, tradeoff.x, color),
    error_y: bars(indices, tradeoff.y, color),
    cliponaxis: false,
    hovertext: indices.map(hoverText),
    hoverinfo: "text",
    marker: { size: 10, symbol, color },
  };
}

function isPlaced(index) {
  return [tradeoff.x, tradeoff.y].every((metric) => Number.isFinite(meanOf(index, metric)[0]));
}

// Points of a kind share a shape and a colour: those of an editing method, and those that no edit made.
function groups() {
  const placed = combinations.map((_, index) => index).filter(isPlaced);
  const edits = placed.filter((index) => combinations[index].isEdit);
  const others = placed.filter((index) => !combinations[index].isEdit);
  const methods = [...new Set(edits.map((index) => combinations[index].method))];
  const found = methods.map((method, number) => ({
    name: method,
    indices: edits.filter((index) => combinations[index].method === method),
    symbol: SYMBOLS[number % SYMBOLS.length],
    color: COLORS[number % COLORS.length],
  }));
  return others.length ? [...found, { name: "no edit", indices: others, symbol: "diamond-open", color: GREY }] : found;
}

// The legend names the method; the label says the rest.
function labelOf(index) {
  const { name, inversion, run } = combinations[index];
  if (!inversion) return name;
  return run ? `${inversion} (${run})` : inversion;
}

// Labels stand where they cover nothing; a point without room for one is named when it is pointed at.
function annotations(plot, found) {
  const { xaxis, yaxis, _size: area } = plot._fullLayout;
  const isInside = ({ x, y }) => x >= 0 && x <= area.w && y >= 0 && y <= area.h;
  const pen = document.createElement("canvas").getContext("2d");
  pen.font = `${LABEL_FONT.size}px ${LABEL_FONT.family}`;
  const points = found
    .flatMap(({ indices, color }) => indices.map((index) => ({ index, color })))
    .map(({ index, color }) => {
      const [mean, height] = [tradeoff.x, tradeoff.y].map((metric) => meanOf(index, metric)[0]);
      return { label: labelOf(index), color, mean, height, x: xaxis.l2p(mean), y: yaxis.l2p(height) };
    })
    .filter(isInside);
  const boxes = points.map(({ label, x, y }) => ({
    x,
    y,
    width: pen.measureText(label).width + 6,
    height: LABEL_FONT.size + 4,
  }));
  return placeLabels(boxes, { width: area.w, height: area.h }).flatMap((place, number) => {
    if (place === null) return [];
    const { label, color, mean: x, height: y } = points[number];
    const where = { x, y, ax: place.dx, ay: place.dy, xanchor: "center", yanchor: "middle" };
    const line = { showarrow: true, arrowhead: 0, arrowwidth: 1, arrowcolor: color, standoff: MARKER_RADIUS };
    return [{ ...where, ...line, text: unmarked(label), font: LABEL_FONT, borderpad: 0 }];
  });
}

// The edits decide what the plot shows, for ideal edits and untouched sources lie far from all of them.
function shownIndices() {
  const placed = combinations.map((_, index) => index).filter(isPlaced);
  const edits = placed.filter((index) => combinations[index].isEdit);
  return tradeoff.withOthers || !edits.length ? placed : edits;
}

function axisRange(metric) {
  return rangeOf(shownIndices().map((index) => meanOf(index, metric)[0]));
}

function plotLayout() {
  const axis = (metric) => ({ title: metrics[metric].title, range: axisRange(metric) });
  return plotStyle(axis(tradeoff.x), axis(tradeoff.y));
}

// What the plot does not show, and why.
function leftOut() {
  const names = (chosen) => chosen.map((index) => combinations[index].name).join(", ");
  const all = combinations.map((_, index) => index);
  const missing = names(all.filter((index) => !isPlaced(index)));
  const ranges = [tradeoff.x, tradeoff.y].map((metric) => [metric, axisRange(metric)]);
  const isBeyond = (index) =>
    ranges.some(([metric, range]) => {
      const [mean] = meanOf(index, metric);
      return range !== null && (mean < range[0] || mean > range[1]);
    });
  const beyond = names(all.filter((index) => isPlaced(index) && isBeyond(index)));
  const lines = [
    missing && `Not shown, for lack of a finite mean: ${missing}.`,
    beyond && `Outside the range of the edits: ${beyond}.`,
  ];
  return lines.filter(Boolean).join(" ");
}

// Called whenever the overview is shown; before the library has come, only what is said below the plot appears.
function drawTradeoff() {
  if (tradeoff.x === null || byId("overview").hidden) return;
  byId("tradeoff-note").textContent = leftOut();
  const side = metrics[tradeoff.x].higherIsBetter ? "right" : "left";
  byId("tradeoff-corner").textContent = `${metrics[tradeoff.y].higherIsBetter ? "upper" : "lower"} ${side}`;
  if (!window.Plotly) return;
  const found = groups();
  const plot = byId("tradeoff-plot");
  window.Plotly.react(plot, found.map(trace), plotLayout(), { displaylogo: false, displayModeBar: false });
  window.Plotly.relayout(plot, { annotations: annotations(plot, found) });
}
