// Elements, with texts that are never taken for markup.

function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function isDark() {
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

function byId(id) {
  return document.getElementById(id);
}

// options: [value, text] or [group, [[value, text], ...]]
function select(label, options, chosen, onChange) {
  const option = ([value, text]) => el("option", { value, selected: value === chosen }, text);
  const entries = options.map(([first, second]) =>
    Array.isArray(second) ? el("optgroup", { label: first }, ...second.map(option)) : option([first, second]),
  );
  const field = el("select", { change: (event) => onChange(event.target.value) }, ...entries);
  return el("label", {}, label, field);
}

function prompt(parts) {
  return parts.map((text, index) => (index % 2 ? el("mark", {}, text) : text));
}

function picture(src, alt, attributes = {}) {
  const image = el("img", { class: "picture", alt, loading: "lazy", width: 160, height: 160, ...attributes });
  image.addEventListener("load", () => image.classList.toggle("tiny", image.naturalWidth <= 160));
  image.src = src;
  return image;
}
