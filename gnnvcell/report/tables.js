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

// A table with a button in each head and one for more rows. "find" gives the elements table, status and more.
function sortableTable(find, page) {
  const [table, status, more] = ["table", "status", "more"].map(find);
  let digits = [], rows = [], total = 0, column = 0, descending = false, shown = page;
  more.addEventListener("click", () => { shown += page * 4; drawBody(); });

  function sortBy(place) {
    // Names begin with A, numbers with the largest.
    descending = place === column ? !descending : place !== 0;
    column = place;
    markHead();
    drawBody();
  }

  function drawHead(columns) {
    const row = document.createElement("tr");
    columns.forEach((name, place) => {
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
    table.tBodies[0].replaceChildren(...sortedRows(rows, column, descending).slice(0, shown).map(values => {
      const row = document.createElement("tr");
      values.forEach((value, place) => { row.insertCell().textContent = shownText(value, digits[place]); });
      return row;
    }));
    status.textContent = `${Math.min(shown, rows.length)} shown of ${rows.length} found, ${total} in all`;
    more.hidden = rows.length <= shown;
  }

  function showRows(found, all) { rows = found; total = all; shown = page; drawBody(); }

  function showTable(next, place = 0) {
    digits = next.digits; column = place; descending = place !== 0;
    drawHead(next.columns);
    showRows(next.rows, next.rows.length);
  }

  return { showTable, showRows };
}

if (typeof module !== "undefined") module.exports = { matchingRows, sortedRows, shownText };
