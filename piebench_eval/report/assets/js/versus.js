// Paired differences: every other combination against a baseline, on the same pictures.

function signed(value) {
  return Number.isFinite(value) && value > 0 ? `+${shown(value)}` : shown(value);
}

function drawVersusControls() {
  if (!byId("versus")) return;
  const choices = combinations.map(({ name }, index) => [String(index), name]);
  byId("versus-controls").append(select("Baseline", choices, "0", (value) => drawVersus(Number(value))));
  drawVersus(0);
}

function differenceCell(numbers) {
  const [difference, low, high] = numbers.slice(0, 3).map(toNumber);
  const verdict = { 1: "agrees", "-1": "differs" }[numbers[3]] ?? "";
  const interval = Number.isNaN(low) ? "" : `${signed(low)} to ${signed(high)}`;
  return el("td", { class: `number ${verdict}` }, signed(difference), el("br"), el("small", {}, interval));
}

function drawVersus(baseline) {
  const rows = combinations.flatMap(({ name }, index) => {
    const differences = REPORT.versus[index][baseline];
    if (index === baseline || differences === null) return [];
    return [el("tr", {}, el("th", { scope: "row" }, name), ...differences.map(differenceCell))];
  });
  const headings = metrics.map(({ title }) => el("th", { scope: "col", class: "number" }, title));
  const head = el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "combination"), ...headings));
  byId("versus-table").replaceChildren(el("table", {}, head, el("tbody", {}, ...rows)));
}
