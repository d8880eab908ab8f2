// Tables to search and sort. Rows are arrays; a missing number is null and stands last in either direction.
"use strict";

function matchingRows(rows, query) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  return words.length ? rows.filter(row => words.some(word => row[0].toLowerCase().includes(word))) : rows;
}

function sortedRows(rows, column, descending) {
  const sign = descending ? -1 : 1;
  const compare = (a, b) => {
    if (a === null || b === null) return (a === null) - (b === null);
    return sign * (typeof a === "string" ? a.localeCompare(b, "en") : a - b);
  };
  return rows.map((row, place) => [row, place])
    .sort(([a, i], [b, j]) => compare(a[column], b[column]) || i - j)
    .map(([row]) => row);
}

function shownText(value, digits) {
  if (value === null) return "–";
  return typeof value === "string" ? value : value.toFixed(digits).replace("-", "−");
}

function startLookup(root, tables) {
  const page = 25;
  const find = name => root.querySelector(`[data-part="${name}"]`);
  const [choice, search, table, status, more] = ["choice", "search", "table", "status", "more"].map(find);
  let column = 0, descending = false, shown = page;

  tables.forEach((one, place) => choice.append(new Option(one.title, place)));
  choice.addEventListener("change", () => { column = 0; descending = false; shown = page; drawHead(); drawBody(); });
  search.addEventListener("input", () => { shown = page; drawBody(); });
  more.addEventListener("click", () => { shown += page * 4; drawBody(); });

  function sortBy(place) {
    // Names begin with A, numbers with the largest.
    descending = place === column ? !descending : place !== 0;
    column = place;
    markHead();
    drawBody();
  }

  function drawHead() {
    const row = document.createElement("tr");
    tables[choice.value].columns.forEach((name, place) => {
      const cell = document.createElement("th"), button = document.createElement("button");
      cell.scope = "col";
      button.type = "button";
      button.textContent = name;
      button.addEventListener("click", () => sortBy(place));
      cell.append(button);
      row.append(cell);
    });
    table.tHead.replaceChildren(row);
    markHead();
  }

  function markHead() {
    [...table.tHead.rows[0].cells].forEach((cell, place) => {
      if (place === column) cell.setAttribute("aria-sort", descending ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    });
  }

  function drawBody() {
    const { rows: all, digits } = tables[choice.value];
    const found = sortedRows(matchingRows(all, search.value), column, descending);
    table.tBodies[0].replaceChildren(...found.slice(0, shown).map(values => {
      const row = document.createElement("tr");
      values.forEach((value, place) => { row.insertCell().textContent = shownText(value, digits[place]); });
      return row;
    }));
    status.textContent = `${Math.min(shown, found.length)} shown of ${found.length} found, ${all.length} in all`;
    more.hidden = found.length <= shown;
  }

  drawHead();
  drawBody();
}

if (typeof module !== "undefined") module.exports = { matchingRows, sortedRows, shownText };
