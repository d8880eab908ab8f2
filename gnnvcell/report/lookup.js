// One of several tables, chosen from a list, with a search among the names in its first column.
"use strict";

function startLookup(root, tables) {
  const find = name => root.querySelector(`[data-part="${name}"]`);
  const [choice, search] = ["choice", "search"].map(find);
  const shown = sortableTable(find, 25);

  tables.forEach((one, place) => choice.append(new Option(one.title, place)));
  search.addEventListener("input", filter);
  choice.addEventListener("change", change);

  function change() { shown.showTable(tables[choice.value]); filter(); }

  function filter() {
    const { rows } = tables[choice.value];
    shown.showRows(matchingRows(rows, search.value), rows.length);
  }

  change();
}
