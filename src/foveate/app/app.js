// The network answers in the program that serves this page.
const asked = (way, values) => `${way}?${new URLSearchParams(values)}`;

/** What the program says; an Error with its sentence where it refuses. */
async function ask(address, options) {
  let response;
  try {
    response = await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The program does not answer any more; start foveate app again.");
  }
  const found = await response.json();
  if (!response.ok) throw new Error(found.error);
  return found;
}

const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

async function timed(address, options) {
  const started = performance.now();
  const found = await ask(address, options);
  return { ...found, near: null, maps: {}, seconds: (performance.now() - started) / 1000 };
}

async function classify(file) {
  const result = await timed(asked("take", { name: file.name || "photo" }), { method: "POST", body: file });
  $("all-answers").hidden = false;
  return result;
}

const refusalOf = (file, error) => error.message;

async function previewOf(result, side = SHOWN) {
  const response = await fetch(asked("picture", { key: result.key, side }));
  return createImageBitmap(await response.blob());
}

let stop = new AbortController();

/** The map by the chosen explainer; null where there is none, and then it is said why, or where another is wanted by now. */
async function mapOf(result, target) {
  const method = $("method").value;
  const name = `${target} ${method}`;
  if (!result.maps[name]) {
    stop.abort();
    stop = new AbortController();
    result.maps[name] = ask(asked("map", { key: result.key, method, class: target }), { signal: stop.signal });
  }
  try {
    const { levels, ...map } = await result.maps[name];
    return method === $("method").value ? { ...map, levels: bytesOf(levels) } : null;
  } catch (error) {
    delete result.maps[name];
    if (error.name === "AbortError") return null;
    if (current === result) $("legend").textContent = error.message;
    fillExplainers();
    return null;
  }
}

const legendOf = (name) => ($("method").value.startsWith("own ") ? "Bright: what the network itself weighs most." : `Bright: what speaks for ${name}.`);

/** The list of explainers: those that mean nothing for this network leave it while they are tried. */
async function fillExplainers() {
  const { explainers, tried } = await ask("explainers");
  const list = $("method");
  const before = list.value || explainers.find(({ name }) => name.startsWith("own ") || name === "gradcam").name;
  const groups = [["", false], ["Slow", true]].map(([label, slow]) => {
    const options = explainers.filter((one) => one.slow === slow);
    const made = options.map(({ name, title, about }) => make("option", title, { value: name, title: about }));
    return label && made.length ? [Object.assign(make("optgroup", undefined, { label })), made] : [null, made];
  });
  list.replaceChildren(...groups.flatMap(([group, made]) => (group ? (group.append(...made), [group]) : made)));
  list.value = explainers.some(({ name }) => name === before) ? before : "gradcam";
  if (!tried) setTimeout(fillExplainers, 1000);
}

$("method").addEventListener("change", () => current && choose(chosen));
start(fillExplainers(), (error) => error.message);
