// One sample: source against an edit, prompts, and every combination's edit with its scores.

const comparison = { cut: 50, outlined: true };

// Samples in the order in which the gallery's filters and order bring them.
function sampleOrder(state) {
  return [...new Set(editsOf(state).map(({ sample }) => sample))];
}

function neighbour(state, step) {
  const order = sampleOrder(state);
  const here = order.findIndex((number) => samples[number].id === state.sample);
  return here < 0 ? undefined : order[here + step];
}

function goToNeighbour(step) {
  const state = readState();
  const number = neighbour(state, step);
  if (number !== undefined) go({ sample: samples[number].id });
}

function backToOverview() {
  go({ sample: "", edit: "" });
}

// The edit that is asked for, or that the filters show, or the first.
function chosenEdit(state, sample) {
  const scored = combinations.map((_, index) => index).filter((index) => isScored(index, sample));
  const named = (name) => scored.find((index) => combinations[index].name === name);
  return named(state.edit) ?? named(state.combination) ?? scored.find((index) => isWanted(index, state)) ?? scored[0];
}

function drawBar(state) {
  const step = (label, direction) =>
    el(
      "button",
      { type: "button", disabled: neighbour(state, direction) === undefined, click: () => goToNeighbour(direction) },
      label,
    );
  const keys = "Arrow keys: previous and next sample; Escape: overview";
  return el(
    "div",
    { class: "bar" },
    el("button", { type: "button", click: backToOverview }, "Overview"),
    step("← Previous", -1),
    step("Next →", 1),
    el("span", { class: "quiet" }, keys),
  );
}

// Where the run's pictures are not beside the report, the thumbnail has to do.
function fullEdit(combination, sample) {
  const alt = `edit by ${combinations[combination].name}: ${plain(samples[sample].target)}`;
  const image = picture(fullPicture(combination, sample), alt, { class: "picture over", loading: "eager" });
  image.addEventListener(
    "error",
    () => {
      image.src = thumbnail(combination, sample);
      byId("picture-note").textContent = "The run's pictures are not where the report expects them; this is the thumbnail.";
    },
    { once: true },
  );
  return image;
}

function drawComparison(combination, sample) {
  const { source } = samples[sample];
  const frame = el("div", { class: "compare", style: `--cut: ${comparison.cut}%` });
  const outline = el("img", { class: "outline", alt: "", src: outlineOf(combination, sample), hidden: !comparison.outlined });
  const slide = (event) => {
    comparison.cut = Number(event.target.value);
    frame.style.setProperty("--cut", `${comparison.cut}%`);
  };
  const label = "Compare: the source lies left of this place, the edit right of it";
  frame.append(
    picture(fullSource(combination, sample), `source: ${plain(source)}`, { loading: "eager" }),
    isGone(combination, sample) ? el("span", { class: "gone over" }, "picture gone") : fullEdit(combination, sample),
    outline,
    el("input", { type: "range", min: 0, max: 100, value: comparison.cut, "aria-label": label, input: slide }),
    el("span", { class: "cut" }),
    el("span", { class: "name left" }, "source"),
    el("span", { class: "name right" }, combinations[combination].name),
  );
  const toggle = (event) => {
    comparison.outlined = event.target.checked;
    outline.hidden = !comparison.outlined;
  };
  const box = el("input", { type: "checkbox", checked: comparison.outlined, change: toggle });
  return el("div", {}, frame, el("div", { class: "controls" }, el("label", { class: "check" }, box, "mask outline")));
}

function drawPrompts(combination, sample) {
  const { id, type, source, target, instruction } = samples[sample];
  const entry = (term, ...texts) => [el("dt", {}, term), el("dd", {}, ...texts)];
  const links = [el("a", { href: fullSource(combination, sample) }, "source")];
  if (!isGone(combination, sample)) links.push(", ", el("a", { href: fullPicture(combination, sample) }, "edit"));
  return el(
    "div",
    {},
    el("h2", { id: "sample-heading", tabindex: -1 }, `Sample ${id}`),
    el(
      "dl",
      { class: "prompts" },
      ...entry("editing type", types[type].label),
      ...entry("source prompt", ...prompt(source)),
      ...entry("target prompt", ...prompt(target)),
      ...entry("instruction", instruction || "–"),
      ...entry("full pictures", ...links),
    ),
    el("p", { id: "picture-note", class: "quiet", role: "status" }),
  );
}

function bestScores(sample) {
  const edits = combinations.map((_, index) => index).filter((index) => combinations[index].isEdit);
  return metrics.map((_, metric) => {
    const scores = edits.map((index) => scoreOf(index, sample, metric)).filter((score) => !Number.isNaN(score));
    return scores.sort((a, b) => byMerit(a, b, metric, false))[0];
  });
}

function drawEdit(combination, sample, state, best, isChosen) {
  const { name, isEdit } = combinations[combination];
  const scores = metrics.flatMap(({ title }, metric) => {
    const score = scoreOf(combination, sample, metric);
    return [el("span", {}, title), el("span", { class: isEdit && score === best[metric] ? "best" : null }, shown(score))];
  });
  return el(
    "a",
    { class: "edit", href: toHash({ ...state, edit: name }), "aria-current": isChosen ? "true" : null },
    editPicture(combination, sample),
    el("strong", {}, name),
    el("span", { class: "scores" }, ...scores),
  );
}

function drawSample(state) {
  const sample = samples.findIndex(({ id }) => id === state.sample);
  const chosen = chosenEdit(state, sample);
  const best = bestScores(sample);
  const edits = combinations
    .map((_, index) => index)
    .filter((index) => isScored(index, sample))
    .map((index) => drawEdit(index, sample, state, best, index === chosen));
  byId("sample").replaceChildren(
    drawBar(state),
    el("div", { class: "two" }, drawComparison(chosen, sample), drawPrompts(chosen, sample)),
    el("h3", {}, "All edits"),
    el("div", { id: "edits" }, ...edits),
  );
}

function heedKeys(event) {
  const state = readState();
  if (!state.sample || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
  if (event.key === "Escape") backToOverview();
  // The slider's arrow keys are its own.
  if (event.target.matches("input[type=range], select")) return;
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (step) {
    event.preventDefault();
    goToNeighbour(step);
  }
}
