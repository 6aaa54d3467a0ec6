// The overview of all edits, a row per sample or a card per edit: filtered, ordered, and built a page at a time.

const PER_PAGE = { samples: 20, edits: 60 };

function isWanted(combination, state) {
  const { name, method } = combinations[combination];
  return (!state.combination || name === state.combination) && (!state.method || method === state.method);
}

// The edits that the filters leave, as { combination, sample }, in order.
function editsOf(state) {
  const chosen = combinations.map((_, index) => index).filter((index) => isWanted(index, state));
  const edits = [];
  for (const sample of samples) {
    if (state.type && types[sample.type].id !== state.type) continue;
    for (const combination of chosen) {
      if (isScored(combination, sample.number)) edits.push({ combination, sample: sample.number });
    }
  }
  const metric = metrics.findIndex(({ key }) => key === state.sort);
  if (metric >= 0) {
    for (const edit of edits) edit.score = scoreOf(edit.combination, edit.sample, metric);
    edits.sort((a, b) => byMerit(a.score, b.score, metric, state.order === "worst"));
  }
  return edits;
}

const galleryFields = {};

function chooseEdits(value) {
  const cut = value.indexOf(" ");
  const filter = { method: "", combination: "" };
  if (value) filter[value.slice(0, cut)] = value.slice(cut + 1);
  go({ ...filter, page: 1 });
}

// Made once, for a field that is replaced loses the keyboard's focus.
function makeGalleryControls() {
  // A row that no inversion made has one name, which stands among the combinations.
  const methods = [...new Set(combinations.filter(({ isEdit }) => isEdit).map(({ method }) => method))];
  const edits = [
    ["", "all"],
    ["method", methods.map((method) => [`method ${method}`, method])],
    ["combination", combinations.map(({ name }) => [`combination ${name}`, name])],
  ];
  const typeChoices = [["", "all"], ...types.map(({ id, label }) => [id, label])];
  const orders = [["", "sample"], ...metrics.map(({ key, title }) => [key, title])];
  const views = [["samples", "samples, edits side by side"], ["edits", "single edits"]];
  const fields = {
    view: select("Show", views, "samples", (view) => go({ view, page: 1 })),
    edits: select("Edits", edits, "", chooseEdits),
    type: select("Editing type", typeChoices, "", (type) => go({ type, page: 1 })),
    sort: select("Order by", orders, "", (sort) => go({ sort, page: 1 })),
    order: select("First", [["worst", "worst"], ["best", "best"]], "worst", (order) => go({ order, page: 1 })),
  };
  byId("gallery-controls").append(...Object.values(fields));
  for (const [name, label] of Object.entries(fields)) galleryFields[name] = label.control;
}

function setGalleryControls({ view, combination, method, type, sort, order }) {
  galleryFields.view.value = view;
  galleryFields.edits.value = combination ? `combination ${combination}` : method ? `method ${method}` : "";
  galleryFields.type.value = type;
  galleryFields.sort.value = sort;
  galleryFields.order.value = order;
  galleryFields.order.disabled = !sort;
}

function editPicture(combination, sample, attributes) {
  if (isGone(combination, sample)) return el("span", { class: "gone" }, "picture gone");
  const alt = `${combinations[combination].name}: ${plain(samples[sample].target)}`;
  return picture(thumbnail(combination, sample), alt, attributes);
}

function card({ combination, sample }, state) {
  const { id, source, target } = samples[sample];
  const { name } = combinations[combination];
  const metric = metrics.findIndex(({ key }) => key === state.sort);
  const score = metric >= 0 ? `${metrics[metric].title} ${shown(scoreOf(combination, sample, metric))}` : id;
  return el(
    "a",
    { class: "card", href: toHash({ ...state, sample: id, edit: name }) },
    el(
      "span",
      { class: "pair" },
      picture(sourceThumbnail(combination, sample), `source: ${plain(source)}`),
      editPicture(combination, sample),
    ),
    el("span", { class: "prompt" }, ...prompt(target)),
    el("span", { class: "facts" }, `${name}, ${score}`),
  );
}

// A name that may be broken behind its plus.
function breakable(name) {
  return name.split("+").flatMap((part, index) => (index ? ["+", el("wbr"), part] : [part]));
}

// A sample as a row: its source, in each way that it was loaded, and every edit that the filters leave.
function sampleRow({ sample, edits }, state) {
  const { id, type, source, target } = samples[sample];
  const metric = metrics.findIndex(({ key }) => key === state.sort);
  const cell = (combination, image, name, score) =>
    el(
      "a",
      { class: "cell", href: toHash({ ...state, sample: id, edit: combinations[combination].name }) },
      image,
      el("span", { class: "facts" }, ...breakable(name)),
      el("span", { class: "score" }, score),
    );
  const views = new Map(edits.map((combination) => [combinations[combination].view, combination]));
  const sources = [...views.values()].map((combination) =>
    cell(combination, picture(sourceThumbnail(combination, sample), `source: ${plain(source)}`), "source", ""),
  );
  const cells = edits.map((combination) => {
    const score = metric < 0 ? "" : shown(scoreOf(combination, sample, metric));
    return cell(combination, editPicture(combination, sample), combinations[combination].name, score);
  });
  return el(
    "section",
    { class: "row", "aria-label": `sample ${id}` },
    el("p", { class: "prompt" }, ...prompt(source), " → ", ...prompt(target)),
    el("p", { class: "facts" }, `${types[type].label}, ${id}`),
    el("div", { class: "cells" }, ...sources, ...cells),
  );
}

// The edits of each sample together: samples in the order of their first edits, edits in Table 1's.
function bySample(edits) {
  const found = new Map();
  for (const { combination, sample } of edits) found.set(sample, [...(found.get(sample) ?? []), combination]);
  return [...found].map(([sample, ofSample]) => ({ sample, edits: ofSample.sort((a, b) => a - b) }));
}

function drawPages(page, pages) {
  const turnTo = (to) => {
    go({ page: to });
    byId("gallery-heading").focus();
  };
  const turn = (label, to) =>
    el("button", { type: "button", disabled: to < 1 || to > pages, click: () => turnTo(to) }, label);
  const parts = [turn("Previous", page - 1), el("span", {}, `page ${page} of ${pages}`), turn("Next", page + 1)];
  byId("gallery-pages").replaceChildren(...(pages > 1 ? parts : []));
}

function counted(number, word) {
  return `${number} ${word}${number === 1 ? "" : "s"}`;
}

function drawGallery(state) {
  const isOfSamples = state.view === "samples";
  const edits = editsOf(state);
  const items = isOfSamples ? bySample(edits) : edits;
  const perPage = PER_PAGE[state.view];
  const pages = Math.max(1, Math.ceil(items.length / perPage));
  const page = Math.min(state.page, pages);
  setGalleryControls(state);
  const total = counted(edits.length, "edit");
  byId("gallery-count").textContent = isOfSamples ? `${counted(items.length, "sample")}, ${total}` : total;
  const visible = items.slice((page - 1) * perPage, page * perPage);
  byId("gallery-cards").className = state.view;
  byId("gallery-cards").replaceChildren(...visible.map((item) => (isOfSamples ? sampleRow(item, state) : card(item, state))));
  drawPages(page, pages);
}
