// Works on every page without anything else: tables sort, drawings and their figures can be saved.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const ascending = head.getAttribute("aria-sort") !== "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      const body = table.tBodies[0];
      const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
      const compare = (a, b) => {
        const [x, y] = [value(a), value(b)];
        const order = x !== "" && y !== "" && !isNaN(x) && !isNaN(y) ? x - y : x.localeCompare(y);
        return ascending ? order : -order;
      };
      body.append(...[...body.rows].sort(compare));
    });
  });
}
// A printed report shows what is folded on the screen.
addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details.print-open")) part.open = true;
});

function csv(lines) {
  const cell = (value) => (/[",\r\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : value);
  return lines.map((line) => line.map(cell).join(",")).join("\n") + "\n";
}

function save(name, content, type) {
  const link = document.createElement("a");
  link.download = name;
  link.href = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// A copy that stands alone: the style sheet's light colours written into it, nothing interactive left.
function standalone(drawing) {
  const light = document.createElement("div");
  light.className = "light";
  const copy = drawing.cloneNode(true);
  light.append(copy);
  document.body.append(light);
  const styles = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "opacity", "font-size", "font-family", "font-weight", "text-anchor", "dominant-baseline"];
  const parts = [copy, ...copy.querySelectorAll("*")];
  for (const element of parts) {
    const computed = getComputedStyle(element);
    for (const name of styles) element.style.setProperty(name, computed.getPropertyValue(name));
  }
  for (const element of parts) {
    for (const name of ["data-pick", "data-csv", "data-name", "tabindex", "role", "class"]) element.removeAttribute(name);
  }
  light.remove();
  const box = copy.viewBox.baseVal;
  copy.setAttribute("width", box.width);
  copy.setAttribute("height", box.height);
  return { text: new XMLSerializer().serializeToString(copy), width: box.width, height: box.height };
}

async function png(drawing) {
  const { text, width, height } = standalone(drawing);
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  await image.decode();
  const scale = Math.max(1, Math.min(3, 2400 / width));
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width * scale, height * scale];
  const context = canvas.getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

for (const drawing of document.querySelectorAll("svg[data-name]")) {
  const name = drawing.dataset.name;
  const ways = [
    ["SVG", () => save(`${name}.svg`, standalone(drawing).text, "image/svg+xml")],
    ["PNG", async () => save(`${name}.png`, await png(drawing))],
  ];
  if (drawing.dataset.csv) ways.push(["CSV", () => save(`${name}.csv`, drawing.dataset.csv, "text/csv")]);
  const bar = document.createElement("p");
  bar.className = "save-as";
  bar.append("Save as ");
  for (const [word, go] of ways) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = word;
    button.setAttribute("aria-label", `Save ${name} as ${word}`);
    button.addEventListener("click", go);
    bar.append(button, " ");
  }
  drawing.after(bar);
}
