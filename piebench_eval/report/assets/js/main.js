// From the address to what is shown.

const overview = { scroll: 0 };
let shownBefore = { sample: "" };

function showOverview(state) {
  const isBack = byId("overview").hidden;
  byId("sample").hidden = true;
  byId("overview").hidden = false;
  drawGallery(state);
  drawTradeoff();
  if (!isBack) return;
  // The browser looked for the section while it was hidden.
  const isOfGallery = location.hash === "#gallery" || location.hash.includes("=");
  if (!overview.scroll || !isOfGallery) showSection();
  else scrollTo(0, overview.scroll);
  const card = [...document.querySelectorAll(".card, .cell")].find(
    ({ href }) => href.includes(`sample=${encoded(shownBefore.sample)}&`),
  );
  if (card) card.focus({ preventScroll: true });
}

function showSample(state) {
  if (byId("sample").hidden) overview.scroll = scrollY;
  byId("overview").hidden = true;
  byId("sample").hidden = false;
  drawSample(state);
  if (state.sample === shownBefore.sample) {
    document.querySelector(".edit[aria-current]").focus({ preventScroll: true });
  } else {
    scrollTo(0, 0);
    byId("sample-heading").focus({ preventScroll: true });
  }
}

function show() {
  const state = readState();
  if (state.sample) showSample(state);
  else showOverview(state);
  shownBefore = state;
}

function showSection() {
  const section = location.hash.slice(1);
  if (section && !section.includes("=")) byId(section)?.scrollIntoView();
}

document.documentElement.classList.add("scripted");
hintAtOverflow();
makeMeansSortable();
drawVersusControls();
drawTradeoffControls();
drawTypesControls();
drawTypes();
makeGalleryControls();
show();
addEventListener("hashchange", show);
addEventListener("keydown", heedKeys);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  drawTradeoff();
  drawTypes();
});
redrawAtNewWidth("tradeoff-plot", drawTradeoff);
loadPlotly(drawTradeoff);
