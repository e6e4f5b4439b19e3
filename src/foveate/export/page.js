// What a person does with the page: pictures come in, answers and maps are shown. The script below it in the same element
// says how a picture is answered: `classify(file)`, `mapOf(result, target)`, `previewOf(result, side)`, `legendOf(name)`,
// `refusalOf(file, error)`.
const $ = (id) => document.getElementById(id);
const card = JSON.parse($("card").textContent);
const SHOWN = 900; // px of the longer side of a picture on the page

const percent = (share) => (share > 0.995 && share < 1 ? "> 99" : share < 0.005 && share > 0 ? "< 1" : Math.round(share * 100)) + " %";
const results = [];
let current = null;
let chosen = 0;

function make(tag, text, properties = {}) {
  const element = Object.assign(document.createElement(tag), properties);
  if (text !== undefined) element.textContent = text;
  return element;
}

/** `levels` (0 to 255) of a map lie in `box`, [left, top, width, height] in pixels of the picture; outside of it the network saw nothing. */
function drawMap(result, { levels, width: columns, height: rows, box }) {
  const canvas = $("map");
  const { width, height } = canvas;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage($("picture"), 0, 0);
  const under = context.getImageData(0, 0, width, height);
  for (let p = 0; p < under.data.length; p += 4) {
    const grey = 0.299 * under.data[p] + 0.587 * under.data[p + 1] + 0.114 * under.data[p + 2];
    for (let c = 0; c < 3; c++) under.data[p + c] = grey + card.pale * (under.data[p + c] - grey);
  }
  context.putImageData(under, 0, 0);
  const made = new ImageData(columns, rows);
  levels.forEach((index, p) => {
    const level = index / 255;
    made.data.set(card.palette.slice(index * 3, index * 3 + 3), p * 4);
    made.data[p * 4 + 3] = 255 * card.strongest * Math.sqrt(level) * Math.min(1, level * 4);
  });
  const small = make("canvas", undefined, { width: columns, height: rows });
  small.getContext("2d").putImageData(made, 0, 0);
  const scale = width / result.width;
  const [left, upper, w, h] = box.map((value) => value * scale);
  context.fillStyle = "rgba(0, 0, 0, 0.65)";
  context.beginPath();
  context.rect(0, 0, width, height);
  context.rect(left, upper, w, h);
  context.fill("evenodd");
  context.imageSmoothingQuality = "high";
  context.drawImage(small, left, upper, w, h);
}

async function choose(target) {
  chosen = target;
  const result = current;
  for (const row of $("classes").querySelectorAll("button")) row.setAttribute("aria-pressed", String(Number(row.dataset.class) === target));
  const name = card.classes[target];
  $("map").hidden = true;
  $("legend").textContent = "Looking for what the answer depends on ...";
  const map = await mapOf(result, target);
  if (!map || current !== result || chosen !== target) return;
  drawMap(result, map);
  $("map").hidden = false;
  $("map").setAttribute("aria-label", `Map over the picture for ${name}`);
  $("legend").textContent = legendOf(name);
}

function showClasses(result, all) {
  const list = $("classes");
  list.replaceChildren();
  const rows = all ? result.order : result.order.slice(0, Math.max(5, Math.min(8, result.possible.length)));
  for (const k of rows) {
    const button = make("button", undefined, { type: "button" });
    button.dataset.class = k;
    const bar = make("span", undefined, { className: "bar" });
    bar.style.setProperty("--share", result.shown[k]);
    button.append(make("span", card.classes[k], { className: "name" }), bar, make("span", percent(result.shown[k]), { className: "share" }));
    button.addEventListener("click", () => choose(k));
    button.setAttribute("aria-pressed", String(k === chosen));
    const item = make("li");
    item.append(button);
    list.append(item);
  }
  $("all").hidden = all || rows.length === result.order.length;
  $("all").textContent = `All ${result.order.length} classes`;
}

async function show(result) {
  current = result;
  chosen = result.order[0];
  document.body.classList.add("answered");
  $("answer").hidden = false;
  const first = result.order[0];
  const doubt = result.unsure || result.far;
  $("verdict").classList.toggle("doubt", doubt);
  $("headline").textContent = doubt ? "Not sure" : card.classes[first];
  const most = `${card.classes[first]}, ${percent(result.shown[first])}`;
  const said = [doubt ? `Most likely ${most}.` : `${percent(result.shown[first])} probable.`];
  if (result.far) said.push("This picture is unlike those that the network was trained on.");
  if (result.unsure) said.push("Its probability is too low for an answer.");
  if (result.possible.length > 1) {
    const names = result.possible.slice(0, 6).map((k) => card.classes[k]).join(", ");
    said.push(result.possible.length > 6 ? `It may be ${names} or one of ${result.possible.length - 6} more.` : `It may be ${names}.`);
  }
  $("reason").textContent = said.join(" ");
  $("file").textContent = `${result.name}, ${result.width} x ${result.height} px, answered in ${result.seconds.toFixed(2)} s`;
  showClasses(result, false);
  $("near").hidden = !(result.near && card.thumbnails.length);
  if (!$("near").hidden)
    $("thumbnails").replaceChildren(
      ...result.near.slice(0, 6).map(({ place }) => {
        const figure = make("figure");
        const name = card.classes[card.labels[place]] ?? "";
        figure.append(make("img", undefined, { src: card.thumbnails[place], alt: `A training picture of ${name}` }), make("figcaption", name));
        return figure;
      }),
    );
  for (const button of $("strip").querySelectorAll("button")) button.setAttribute("aria-pressed", String(results[button.dataset.place] === result));
  const preview = await previewOf(result);
  if (current !== result) return;
  for (const id of ["picture", "map"]) Object.assign($(id), { width: preview.width, height: preview.height });
  $("picture").getContext("2d", { willReadFrequently: true }).drawImage(preview, 0, 0);
  $("picture").setAttribute("aria-label", `The picture ${result.name}`);
  dispatchEvent(new Event("shown"));
  await choose(first);
}

function tell(text) {
  $("status").textContent = text;
  $("status").hidden = !text;
}

async function take(files) {
  const wanted = [...files];
  for (const [number, file] of wanted.entries()) {
    tell(wanted.length > 1 ? `Picture ${number + 1} of ${wanted.length} ...` : "One moment ...");
    await new Promise((go) => setTimeout(go, 20));
    let result;
    try {
      result = await classify(file);
    } catch (error) {
      $("problems").append(make("p", refusalOf(file, error), { className: "problem" }));
      continue;
    }
    result.name = file.name || "from the clipboard";
    results.push(result);
    const button = make("button", undefined, { type: "button" });
    button.dataset.place = results.length - 1;
    const small = make("canvas", undefined, { width: 72, height: 72 });
    small.getContext("2d").drawImage(await previewOf(result, 144), 0, 0, 72, 72);
    const label = result.unsure || result.far ? "Not sure" : card.classes[result.order[0]];
    button.append(small, make("span", label));
    button.setAttribute("aria-label", `${result.name}: ${label}`);
    button.addEventListener("click", () => show(result));
    $("strip").append(button);
    $("strip").hidden = results.length < 2;
    show(result);
  }
  tell("");
}

for (const name of ["choose", "photo"]) {
  $(name).addEventListener("click", () => $(`${name}-file`).click());
  $(`${name}-file`).addEventListener("change", (event) => {
    $("problems").replaceChildren();
    take(event.target.files).then(() => (event.target.value = ""));
  });
}
$("all").addEventListener("click", () => showClasses(current, true));
$("strength").addEventListener("input", (event) => ($("map").style.opacity = event.target.value / 100));
addEventListener("paste", (event) => event.clipboardData.files.length && take(event.clipboardData.files));
for (const kind of ["dragover", "dragenter"])
  addEventListener(kind, (event) => { event.preventDefault(); document.body.classList.add("over"); });
for (const kind of ["dragleave", "drop"]) addEventListener(kind, () => document.body.classList.remove("over"));
addEventListener("drop", (event) => { event.preventDefault(); $("problems").replaceChildren(); take(event.dataTransfer.files); });

/** `ready` holds once pictures can be answered; else `refusal(error)` says why none can. */
function start(ready, refusal) {
  ready.then(
    () => { $("choose").disabled = $("photo").disabled = false; tell(""); },
    (error) => tell(refusal(error)),
  );
}
