// What plots share: shapes and colours, the look of axes, and when the library is read.

// A kind of point has a shape beside its colour.
const SYMBOLS = ["circle", "square", "triangle-up", "cross", "star", "hexagon"];
const COLORS = ["#3b82c4", "#d9822b", "#3a9c5f", "#b65cc2", "#c94f4f", "#a08a1c"];
const GREY = "#7b8794";
const LABEL_FONT = { size: 12, family: "system-ui, DejaVu Sans, sans-serif" };

// Plotly takes some markup in its texts.
function unmarked(text) {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

// Ends of an axis: room for all means of a metric, on either side a tenth of what they span; null for one alone.
function rangeOf(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const margin = (high - low) / 10;
  return margin > 0 ? [low - margin, high + margin] : null;
}

// x and y: { title, range }.
function plotStyle(x, y) {
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(name).trim();
  const axis = ({ title, range }) => ({
    title: { text: unmarked(title) },
    gridcolor: color("--line"),
    linecolor: color("--line"),
    zeroline: false,
    automargin: true,
    range,
  });
  return {
    xaxis: axis(x),
    yaxis: axis(y),
    font: { color: color("--ink"), family: LABEL_FONT.family, size: 13 },
    hoverlabel: { bgcolor: color("--raised"), font: { color: color("--ink") }, align: "left" },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 56, r: 16, t: 16, b: 48 },
    legend: { orientation: "h", y: 1.02, yanchor: "bottom" },
    showlegend: true,
    annotations: [],
  };
}

// Labels have other places in another width; a phone's address bar changes the height alone.
function redrawAtNewWidth(plot, draw) {
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width || !window.Plotly || !byId(plot).offsetParent) return;
    width = innerWidth;
    window.Plotly.Plots.resize(plot).then(draw);
  });
}

// A megabyte of library is read when the page stands already.
function loadPlotly(draw) {
  const load = () => setTimeout(() => document.head.append(el("script", { src: document.body.dataset.plotly, load: draw })), 50);
  if (document.readyState === "complete") load();
  else addEventListener("load", load);
}
