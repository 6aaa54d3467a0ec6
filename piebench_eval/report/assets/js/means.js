// The table of means, sorted by a click on a heading: best first, worst first, Table 1's order.

function valueOf(row, column) {
  const cell = row.cells[column];
  if (cell.dataset.number === undefined) return cell.textContent;
  return cell.dataset.number === "" ? NaN : Number(cell.dataset.number.replace("inf", "Infinity"));
}

function compare(first, second, descending) {
  if (Number.isNaN(first) || Number.isNaN(second)) return Number.isNaN(first) - Number.isNaN(second);
  const ascending = typeof first === "string" ? first.localeCompare(second) : first < second ? -1 : first > second;
  return descending ? -ascending : Number(ascending);
}

// A click on a heading sorts best first, then worst first, then not at all: order is "ascending", "descending" or null.
// Headings without data-better stay as they are.
function makeSortable(table, onSort) {
  const headings = [...table.tHead.rows[0].cells];

  function sortBy(column) {
    const heading = headings[column];
    const first = heading.dataset.better === "higher" ? "descending" : "ascending";
    const second = first === "descending" ? "ascending" : "descending";
    const next = { [first]: second, [second]: null }[heading.getAttribute("aria-sort")];
    const order = next === undefined ? first : next;
    for (const other of headings) other.removeAttribute("aria-sort");
    if (order) heading.setAttribute("aria-sort", order);
    onSort(column, order);
  }

  headings.forEach((heading, column) => {
    if (!heading.dataset.better) return;
    const button = el("button", { type: "button", click: () => sortBy(column) }, ...heading.childNodes);
    heading.replaceChildren(button);
  });
}

function makeMeansSortable() {
  const table = byId("means-table");
  const body = table.tBodies[0];
  const original = [...body.rows];
  makeSortable(table, (column, order) => {
    table.classList.toggle("sorted", order !== null);
    const rows = [...original];
    if (order) rows.sort((a, b) => compare(valueOf(a, column), valueOf(b, column), order === "descending"));
    body.append(...rows);
  });
}
