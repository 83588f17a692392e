"use strict";
// Tables sort by a click on a head; without scripts they are as they came.
function valueOf(row, column) {
  const text = row.children[column].textContent.trim();
  const number = parseFloat(text.replace(/,/g, ""));
  return /^-?[\d,.]+/.test(text) ? number : text.toLowerCase();
}
function compare(a, b) {
  const numbers = typeof a === "number" && typeof b === "number";
  return numbers ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true });
}
function sortBy(head, table) {
  const column = head.cellIndex;
  const down = head.getAttribute("aria-sort") !== "descending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  rows.sort((a, b) => (down ? -1 : 1) * compare(valueOf(a, column), valueOf(b, column)));
  body.append(...rows);
}
for (const table of document.querySelectorAll("table")) {
  if (!table.tHead || table.tBodies[0].rows.length < 3) continue;
  for (const head of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sortBy(head, table));
  }
}

// The cells on the UMAP, each with its name on hover.
function drawCells(data, place) {
  const canvas = document.createElement("canvas");
  const told = document.createElement("p");
  const choice = document.createElement("select");
  choice.setAttribute("aria-label", "Colour of the cells");
  for (const name of ["type", "modality", "confidence"]) choice.add(new Option("by " + name, name));
  const hint = "Touch a cell, or move over it, to see what it is.";
  told.className = "told";
  told.setAttribute("role", "status");
  told.textContent = hint;
  const legend = document.createElement("ul");
  legend.className = "legend";
  place.append(choice, canvas, told, legend);
  place.hidden = false;
  const range = (values) => [Math.min(...values), Math.max(...values)];
  const [left, right] = range(data.x), [low, high] = range(data.y);
  let size = 0, chosen = -1;
  const at = (i) => [
    8 + (size - 16) * (data.x[i] - left) / (right - left || 1),
    8 + (size - 16) * (high - data.y[i]) / (high - low || 1),
  ];
  const shade = (share) => "hsl(" + (260 - 210 * share) + " 75% " + (30 + 25 * share) + "%)";
  const colorOf = {
    type: (i) => data.types[data.type[i]][1],
    modality: (i) => data.modalities[data.modality[i]][1],
    confidence: (i) => data.confidence[i] === null ? "#9aa3ad" : shade(data.confidence[i]),
  };
  const entries = {
    type: data.types,
    modality: data.modalities,
    confidence: [["0", shade(0)], ["0.5", shade(0.5)], ["1", shade(1)], ["RNA cell", "#9aa3ad"]],
  };
  function draw() {
    const ratio = window.devicePixelRatio || 1;
    size = Math.min(place.clientWidth, 620);
    canvas.style.width = canvas.style.height = size + "px";
    canvas.width = canvas.height = Math.round(size * ratio);
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const radius = Math.max(1.2, size / 260), color = colorOf[choice.value];
    for (let i = 0; i < data.x.length; i++) {
      const [x, y] = at(i);
      pen.fillStyle = color(i);
      pen.beginPath();
      pen.arc(x, y, radius, 0, 7);
      pen.fill();
    }
    if (chosen >= 0) {
      const [x, y] = at(chosen);
      pen.strokeStyle = getComputedStyle(place).color;
      pen.lineWidth = 2;
      pen.beginPath();
      pen.arc(x, y, radius + 4, 0, 7);
      pen.stroke();
    }
  }
  function fill() {
    legend.replaceChildren(...entries[choice.value].map(([name, color]) => {
      const item = document.createElement("li"), mark = document.createElement("span");
      mark.style.background = color;
      item.append(mark, name || "no label");
      return item;
    }));
    draw();
  }
  function look(event) {
    const box = canvas.getBoundingClientRect();
    let best = 144, found = -1;
    for (let i = 0; i < data.x.length; i++) {
      const [x, y] = at(i);
      const far = (x - event.clientX + box.left) ** 2 + (y - event.clientY + box.top) ** 2;
      if (far < best) [best, found] = [far, i];
    }
    if (found === chosen) return;
    chosen = found;
    told.textContent = found < 0 ? hint : [
      data.name[found],
      data.modalities[data.modality[found]][0],
      data.types[data.type[found]][0] || "no label",
      data.confidence[found] === null ? "" : "confidence " + data.confidence[found].toFixed(2),
    ].filter(Boolean).join(" · ");
    draw();
  }
  canvas.addEventListener("pointermove", look);
  canvas.addEventListener("pointerdown", look);
  choice.addEventListener("change", fill);
  window.addEventListener("resize", draw);
  fill();
}
const place = document.getElementById("cells");
if (place) drawCells(JSON.parse(document.getElementById("cell-data").textContent), place);
