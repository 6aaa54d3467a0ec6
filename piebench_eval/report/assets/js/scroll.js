// Tables that are wider than the window: a hint that there is more, and names that stay in view.

function markOverflow(box) {
  const more = box.scrollWidth - box.clientWidth - box.scrollLeft;
  box.classList.toggle("more", more > 2);
  const hint = box.previousElementSibling;
  if (hint?.classList.contains("hint")) hint.hidden = box.scrollWidth <= box.clientWidth + 2;
  const first = box.querySelector("tbody th[scope=row]");
  if (first) box.style.setProperty("--first", `${first.getBoundingClientRect().width}px`);
}

function hintAtOverflow() {
  const watcher = new ResizeObserver((entries) => entries.forEach(({ target }) => markOverflow(target.closest(".scroll"))));
  for (const box of document.querySelectorAll(".scroll")) {
    box.before(el("p", { class: "hint", hidden: true }, "Scroll sideways for more columns →"));
    box.addEventListener("scroll", () => markOverflow(box), { passive: true });
    watcher.observe(box);
    if (box.firstElementChild) watcher.observe(box.firstElementChild);
  }
}
