// What is shown, as the part of the address behind "#": every view can be linked, and "back" works.

const DEFAULTS = {
  sample: "",
  edit: "",
  combination: "",
  method: "",
  type: "",
  sort: "",
  order: "worst",
  view: "samples",
  page: 1,
};
const FIELDS = Object.keys(DEFAULTS);

let lastFilters = { ...DEFAULTS };

// A "+" is a plus here, as in direct+p2p, and no space.
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function encoded(value) {
  return encodeURIComponent(value).replace(/%2B/g, "+");
}

// Names that the report does not have are passed over.
function knownOnly(state) {
  const known = {
    combination: combinations.map(({ name }) => name),
    edit: combinations.map(({ name }) => name),
    method: combinations.map(({ method }) => method),
    type: types.map(({ id }) => id),
    sort: metrics.map(({ key }) => key),
    sample: samples.map(({ id }) => id),
    order: ["worst", "best"],
    view: ["samples", "edits"],
  };
  for (const [field, names] of Object.entries(known)) {
    if (!names.includes(state[field])) state[field] = DEFAULTS[field];
  }
  state.page = Math.max(1, Number.parseInt(state.page, 10) || 1);
  return state;
}

// A section's name alone (#means) keeps the gallery's filters; #gallery and nothing are the whole gallery.
function readState() {
  const text = location.hash.slice(1);
  if (text && text !== "gallery" && !text.includes("=")) return { ...lastFilters, sample: "", edit: "" };
  const state = { ...DEFAULTS };
  for (const part of text.split("&")) {
    const cut = part.indexOf("=");
    const field = part.slice(0, Math.max(cut, 0));
    if (FIELDS.includes(field)) state[field] = decoded(part.slice(cut + 1));
  }
  lastFilters = knownOnly(state);
  return { ...lastFilters };
}

function toHash(state) {
  const parts = FIELDS.filter((field) => state[field] !== DEFAULTS[field]);
  return `#${parts.map((field) => `${field}=${encoded(state[field])}`).join("&") || "gallery"}`;
}

function go(changes) {
  location.hash = toHash({ ...readState(), ...changes });
}
