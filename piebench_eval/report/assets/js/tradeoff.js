// Preservation against CLIP score: a point per combination, bars for the 95% intervals of both.

const tradeoff = { x: null, y: null, horizontal: [], vertical: [] };

// A method has a shape beside its colour.
const SYMBOLS = ["circle", "square", "triangle-up", "cross", "star", "hexagon"];

// By turns, so that labels of points that lie together stay apart.
const LABEL_PLACES = ["top right", "bottom right", "top left", "bottom left"];

function indicesOf(keys) {
  return keys.map((key) => metrics.findIndex((metric) => metric.key === key)).filter((index) => index >= 0);
}

function drawTradeoffControls() {
  tradeoff.horizontal = indicesOf(["structure_distance", "psnr"]);
  tradeoff.vertical = indicesOf(["clip_whole", "clip_edit"]);
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
  byId("tradeoff-controls").append(
    axis("Preservation", "x", tradeoff.horizontal),
    axis("Edit", "y", tradeoff.vertical),
  );
}

// Plotly takes some markup in its texts.
function unmarked(text) {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

function meanOf(combination, metric) {
  return REPORT.means[combination][metric].map(toNumber);
}

function bars(indices, metric) {
  const means = indices.map((index) => meanOf(index, metric));
  const known = (length) => (Number.isNaN(length) ? 0 : length);
  return {
    type: "data",
    symmetric: false,
    array: means.map(([mean, , high]) => known(high - mean)),
    arrayminus: means.map(([mean, low]) => known(mean - low)),
    thickness: 1,
    width: 3,
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

function trace(name, indices, isEdit, symbol) {
  return {
    name: unmarked(name),
    type: "scatter",
    mode: "markers+text",
    x: indices.map((index) => meanOf(index, tradeoff.x)[0]),
    y: indices.map((index) => meanOf(index, tradeoff.y)[0]),
    error_x: bars(indices, tradeoff.x),
    error_y: bars(indices, tradeoff.y),
    text: indices.map((index) => unmarked(isEdit ? combinations[index].inversion : combinations[index].name)),
    textposition: isEdit ? indices.map((index) => LABEL_PLACES[index % LABEL_PLACES.length]) : "top center",
    cliponaxis: false,
    hovertext: indices.map(hoverText),
    hoverinfo: "text",
    marker: { size: 10, symbol },
  };
}

function isPlaced(index) {
  return [tradeoff.x, tradeoff.y].every((metric) => Number.isFinite(meanOf(index, metric)[0]));
}

function traces() {
  const placed = combinations.map((_, index) => index).filter(isPlaced);
  const edits = placed.filter((index) => combinations[index].isEdit);
  const methods = [...new Set(edits.map((index) => combinations[index].method))];
  const found = methods.map((method, number) => {
    const own = edits.filter((index) => combinations[index].method === method);
    return trace(method, own, true, SYMBOLS[number % SYMBOLS.length]);
  });
  const others = placed.filter((index) => !combinations[index].isEdit);
  return others.length ? [...found, trace("no edit", others, false, "diamond-open")] : found;
}

function plotLayout() {
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(name).trim();
  const axis = (metric) => ({
    title: { text: unmarked(metrics[metric].title) },
    gridcolor: color("--line"),
    linecolor: color("--line"),
    zeroline: false,
    automargin: true,
  });
  return {
    xaxis: axis(tradeoff.x),
    yaxis: axis(tradeoff.y),
    font: { color: color("--ink"), family: "system-ui, DejaVu Sans, sans-serif", size: 13 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 56, r: 24, t: 16, b: 48 },
    legend: { orientation: "h", y: 1.02, yanchor: "bottom" },
    showlegend: true,
    colorway: ["#3b82c4", "#d9822b", "#3a9c5f", "#b65cc2", "#c94f4f", "#7b8794"],
  };
}

// Called whenever the overview is shown; nothing happens before the library has come.
function drawTradeoff() {
  if (!window.Plotly || tradeoff.x === null || byId("overview").hidden) return;
  const missing = combinations.filter((_, index) => !isPlaced(index)).map(({ name }) => name);
  byId("tradeoff-note").textContent = missing.length ? `Not shown, for lack of a finite mean: ${missing.join(", ")}.` : "";
  window.Plotly.react("tradeoff-plot", traces(), plotLayout(), {
    responsive: true,
    displaylogo: false,
    displayModeBar: false,
  });
}

// A megabyte of library is read when the page stands already.
function loadPlotly() {
  const script = el("script", { src: document.body.dataset.plotly, load: drawTradeoff });
  setTimeout(() => document.head.append(script), 50);
}
