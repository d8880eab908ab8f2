// One held-out perturbation at a time: predicted against true labels of its genes, and its place in the graph.
"use strict";

// "low high base64": the place of each number between the two in 65,535 steps, little-endian.
function unpackSteps(text) {
  const [low, high, steps] = text.split(" ");
  const bytes = Uint8Array.from(atob(steps), letter => letter.charCodeAt(0)), view = new DataView(bytes.buffer);
  return Float64Array.from({ length: bytes.length / 2 },
    (_, i) => Number(low) + view.getUint16(2 * i, true) / 65535 * (high - low));
}

function geneMeans(geneOfPair, scores, genes) {
  const sums = new Float64Array(genes), counts = new Float64Array(genes);
  geneOfPair.forEach((gene, i) => { sums[gene] += scores[i]; counts[gene] += 1; });
  return sums.map((sum, gene) => sum / Math.max(counts[gene], 1));
}

// Rows of a perturbation: gene, truth, predicted, mean prediction of the gene, difference.
function pairRows(table, scores, means, place) {
  const start = table.pairs.slice(0, place).reduce((sum, n) => sum + n, 0);
  return Array.from({ length: table.pairs[place] }, (_, i) => {
    const gene = table.gene_of_pair[start + i], score = scores[start + i];
    return [table.genes[gene], table.words[table.labels[start + i]], score, means[gene], score - means[gene]];
  });
}

// Share of (label 1, label 0) pairs in which label 1 is further above its gene's mean; null without both.
function aurocOf(rows, one) {
  const above = rows.filter(row => row[1] === one), below = rows.filter(row => row[1] !== one);
  let sum = 0;
  above.forEach(a => below.forEach(b => { sum += a[4] > b[4] ? 1 : a[4] === b[4] ? 0.5 : 0; }));
  return above.length && below.length ? sum / above.length / below.length : null;
}

function startExplorer(root, tables) {
  const find = name => root.querySelector(`[data-part="${name}"]`);
  const [choice, model, search, names, summary, chart, near] =
    ["choice", "model", "search", "names", "summary", "chart", "near"].map(find);
  const shown = sortableTable(find, 15);
  const unpacked = new Map();
  let table, arm, rows = [];

  tables.forEach((one, place) => choice.append(new Option(one.title, place)));
  choice.addEventListener("change", changeTable);
  model.addEventListener("change", changeModel);
  search.addEventListener("input", () => { if (table.perturbations.includes(search.value.trim())) draw(); });
  search.addEventListener("change", draw);
  window.addEventListener("resize", () => drawChart());

  function changeTable() {
    table = tables[choice.value];
    const kept = model.value;
    model.replaceChildren(...table.models.map(one => new Option(one.name, one.name)));
    if (table.models.some(one => one.name === kept)) model.value = kept;
    names.replaceChildren(...table.perturbations.map(name => new Option(name, name)));
    if (!table.perturbations.includes(search.value.trim())) search.value = table.perturbations[table.first];
    changeModel();
  }

  function changeModel() {
    arm = table.models.find(one => one.name === model.value);
    if (!unpacked.has(arm)) {
      const scores = unpackSteps(arm.scores);
      unpacked.set(arm, [scores, geneMeans(table.gene_of_pair, scores, table.genes.length)]);
    }
    draw();
  }

  function draw() {
    const place = table.perturbations.indexOf(search.value.trim());
    if (place < 0) {
      const like = table.perturbations.filter(name => name.toLowerCase().includes(search.value.trim().toLowerCase()));
      summary.textContent = `${search.value} is not among the held-out perturbations` +
        (like.length ? `; ${like.slice(0, 8).join(", ")} are.` : ".");
      return;
    }
    rows = pairRows(table, ...unpacked.get(arm), place);
    const ones = rows.filter(row => row[1] === table.words[1]).length, auroc = aurocOf(rows, table.words[1]);
    summary.textContent = `${table.perturbations[place]}: ${rows.length} genes measured, ${ones} ${table.words[1]}. ` +
      (auroc === null ? "All have one label, so there is nothing to rank." :
        `${arm.name} puts a gene that is ${table.words[1]} further above its own mean than one that is ` +
        `${table.words[0]} in ${(100 * auroc).toFixed(0)}% of pairs (chance: 50%).`);
    const columns = ["gene", "truth", "predicted", "gene's mean", "difference"];
    shown.showTable({ columns, digits: [0, 0, 3, 3, 3], rows }, 4);
    drawChart();
    drawNear(table.perturbations[place]);
  }

  function drawChart() {
    const width = Math.max(chart.parentNode.clientWidth, 240), left = 86, right = 12, height = 150;
    const most = Math.max(...rows.map(row => Math.abs(row[4])), 1e-6);
    const x = value => left + (width - left - right) * (value / most + 1) / 2;
    const parts = [];
    parts.push(element("line", { x1: x(0), x2: x(0), y1: 8, y2: 118, class: "null" }));
    [1, 0].forEach((label, strip) => {
      const top = 14 + 56 * strip;
      parts.push(element("text", { x: 0, y: top + 26 }, table.words[label]));
      rows.filter(row => row[1] === table.words[label]).forEach((row, i) => {
        const y = top + (i * 17 % 41);
        const mark = label ? element("circle", { cx: x(row[4]), cy: y, r: 4.5, class: "one" })
          : element("rect", { x: x(row[4]) - 3.5, y: y - 3.5, width: 7, height: 7, class: "zero" });
        mark.append(element("title", {}, `${row[0]}: ${shownText(row[2], 3)}, mean ${shownText(row[3], 3)}`));
        parts.push(mark);
      });
    });
    [[-most, "start"], [0, "middle"], [most, "end"]].forEach(([value, anchor]) =>
      parts.push(element("text", { x: x(value), y: 132, "text-anchor": anchor }, shownText(value, 2))));
    parts.push(element("text", { x: x(0), y: 147, "text-anchor": "middle" }, "predicted − gene's mean"));
    Object.entries({ viewBox: `0 0 ${width} ${height}`, width, height }).forEach(entry => chart.setAttribute(...entry));
    chart.replaceChildren(...parts);
  }

  function element(name, attributes, text) {
    const made = document.createElementNS(chart.namespaceURI, name);
    Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function drawNear(name) {
    const found = (table.near[arm.graph] || {})[name];
    if (!found) {
      near.replaceChildren(line("Neighbours and paths need the graph: gnnvcell report OUT_DIR --graph DIR."));
      return;
    }
    const [measured, partner, neighbours, paths] = found;
    const parts = [line(`In ${arm.graph}: ${measured} measured perturbations are next to ${name}` +
      (partner === null ? "." : `; ${partner ? "a" : "no"} training perturbation shares a protein complex with it.`))];
    if (neighbours.length) parts.push(list("Strongest measured neighbours", neighbours.map(([other, weights]) =>
      `${other}: ${Object.entries(weights).map(([relation, weight]) => `${relation} ${weight}`).join(", ")}`)));
    if (paths.length) parts.push(list("Paths to measured perturbations further away", paths.map(([nodes, strength]) =>
      `${nodes.join(" → ")} (${strength})`)));
    near.replaceChildren(...parts);
  }

  function line(text, name = "p") {
    const made = document.createElement(name);
    made.textContent = text;
    return made;
  }

  function list(title, texts) {
    const made = document.createElement("div"), items = document.createElement("ul");
    items.append(...texts.map(text => line(text, "li")));
    made.append(line(title, "h3"), items);
    return made;
  }

  changeTable();
}

if (typeof module !== "undefined") module.exports = { unpackSteps, geneMeans, pairRows, aurocOf };
