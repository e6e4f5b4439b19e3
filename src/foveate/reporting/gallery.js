// Every picture with its answers: filtered, sorted, opened. What comes from a folder becomes text, never markup.
{
  const data = JSON.parse(document.getElementById("answers").textContent);
  const section = document.getElementById("gallery");
  const [form, found, list, more] = [".filters", ".found", ".cards", ".more"].map((s) => section.querySelector(s));
  const viewer = section.querySelector(".viewer");
  const PAGE = 20;
  const runs = data.runs;
  const first = runs[0];
  const both = runs.length > 1;
  const names = data.names;

  const make = (tag, properties = {}, ...children) => {
    const element = document.createElement(tag);
    const { data: set = {}, ...rest } = properties;
    Object.assign(element, rest);
    Object.assign(element.dataset, set);
    element.append(...children);
    return element;
  };
  const options = (select, entries) => select.replaceChildren(...entries.map(([value, text]) => make("option", { value, textContent: text })));
  const share = (part, digits = 0) => (part == null ? "–" : `${((100 * part) / data.whole).toFixed(digits)} %`);
  const called = (k) => names[k] ?? "unlabelled";
  const source = (text) => (text.startsWith("/9j/") ? `data:image/jpeg;base64,${text}` : text.startsWith("data:") ? text : data.folder + text);
  const right = (run, row) => run.prediction[row] === data.label[row];
  const confidence = (run, row) => run.shares[row * run.k];

  // The maps that the page shows elsewhere are not in the data twice.
  const rowOf = new Map(data.path.map((path, row) => [path, row]));
  for (const image of document.querySelectorAll("img[data-view]")) {
    const row = rowOf.get(image.dataset.path);
    if (row !== undefined) (first.maps[image.dataset.view] ??= {})[row] = image.getAttribute("src");
  }
  const PLAIN = "picture";
  const views = [...new Set(runs.flatMap((run) => Object.keys(run.maps)))].filter((name) => name !== PLAIN);
  const mapOf = (run, view, row) => run.maps[view]?.[row];
  // Maps that training kept lie over what the network saw, the others over the whole picture.
  const under = (run, view, row) => (run.kept.includes(view) ? run.maps[PLAIN]?.[row] : null) ?? data.pictures[row];

  options(form.label, [["", "all"], ...names.map((name, k) => [k, name])]);
  options(form.prediction, [["", "all"], ...names.map((name, k) => [k, name])]);
  const outcomes = both
    ? [["", "all"], ["only0", `only ${runs[0].name} right`], ["only1", `only ${runs[1].name} right`], ["both", "both right"], ["neither", "both wrong"]]
    : [["", "all"], ["right", "right"], ["wrong", "wrong"]];
  options(form.right, outcomes);
  const scores = Object.keys(first.look);
  const readable = (name) => name.replaceAll("_", " ");
  options(form.score, scores.map((name) => [name, readable(name)]));
  form.score.closest(".range").hidden = !scores.length;
  options(form.order, [
    ["worst", "worst first"], ["sure", "surest first"], ["unsure", "least sure first"], ["path", "file name"],
    ...(scores.length ? [["away", "look score, lowest first"], ["on", "look score, highest first"]] : []),
  ]);
  options(form.view, [["", "picture"], ...views.map((name) => [name, name])]);
  for (const [name, known] of Object.entries(data.known)) {
    const id = `known-${Object.keys(data.known).indexOf(name)}`;
    const input = make("input", { name: id, type: "search" });
    const label = make("label", {}, `${name[0].toUpperCase()}${name.slice(1)} `, input);
    if (known.names.length <= 500) {
      input.setAttribute("list", id);
      label.append(make("datalist", { id }, ...known.names.map((value) => make("option", { value }))));
    }
    form.querySelector(".known").append(label);
  }

  const OUTCOME = {
    right: (row) => right(first, row), wrong: (row) => !right(first, row) && data.label[row] >= 0,
    only0: (row) => right(runs[0], row) && !right(runs[1], row), only1: (row) => !right(runs[0], row) && right(runs[1], row),
    both: (row) => runs.every((run) => right(run, row)), neither: (row) => runs.every((run) => !right(run, row)),
  };
  const ORDER = {
    worst: (row) => -(first.loss[row] ?? -1), sure: (row) => -confidence(first, row), unsure: (row) => confidence(first, row),
    away: (row) => first.look[form.score.value][row] ?? Infinity, on: (row) => -(first.look[form.score.value][row] ?? -Infinity),
  };
  let rows = [];
  let shown = 0;
  let only = null; // one picture that was picked

  const wanted = () => {
    const tests = [];
    if (only !== null) return (row) => row === only;
    if (form.label.value) tests.push((row) => data.label[row] === +form.label.value);
    if (form.prediction.value) tests.push((row) => runs.some((run) => run.prediction[row] === +form.prediction.value));
    if (form.right.value) tests.push(OUTCOME[form.right.value]);
    const part = (input) => (+input.value * data.whole) / 100;
    if (form.low.value) tests.push((row) => confidence(first, row) >= part(form.low));
    if (form.high.value) tests.push((row) => confidence(first, row) <= part(form.high));
    const look = first.look[form.score.value];
    if (look && form.least.value) tests.push((row) => look[row] != null && look[row] >= part(form.least));
    if (look && form.most.value) tests.push((row) => look[row] != null && look[row] <= part(form.most));
    Object.values(data.known).forEach((known, k) => {
      const text = form[`known-${k}`].value.toLowerCase();
      if (!text) return;
      const exact = known.names.some((name) => name.toLowerCase() === text);
      tests.push((row) => {
        const own = known.names[known.of[row]].toLowerCase();
        return exact ? own === text : own.includes(text);
      });
    });
    const search = form.search.value.trim().toLowerCase();
    if (search) tests.push((row) => data.path[row].toLowerCase().includes(search));
    return (row) => tests.every((test) => test(row));
  };

  const picture = (run, view, row, alt) => {
    const map = view && mapOf(run, view, row);
    const base = map ? under(run, view, row) ?? map : data.pictures[row];
    const box = make("div", { className: "frame-box" });
    if (!base) {
      const why = data.why[row] ?? "not in this page: foveate report --assets puts every picture beside it";
      box.append(make("span", { className: "missing", textContent: why }));
      return box;
    }
    box.append(make("img", { src: source(base), alt, loading: "lazy" }));
    if (map) box.append(make("img", { src: source(map), alt: `${view} of ${data.path[row]}`, className: "over", loading: "lazy" }));
    return box;
  };
  const verdict = (run, row) => {
    const ok = right(run, row);
    const sign = data.label[row] < 0 ? "" : ok ? "✓ " : "✗ ";
    const answer = make("span", { className: data.label[row] < 0 ? "" : ok ? "right" : "wrong", textContent: sign + called(run.prediction[row]) });
    return make("span", { className: "answer" }, ...(both ? [`${run.name}: `] : []), answer, ` ${share(confidence(run, row))}`);
  };
  const card = (row) => {
    const shownAs = form.view.value;
    const faces = both && shownAs ? runs : [first];
    const strip = make("div", { className: `faces n${faces.length}` }, ...faces.map((run) => picture(run, shownAs, row, data.path[row])));
    const text = make("div", { className: "text" }, make("b", { textContent: called(data.label[row]) }), ...runs.map((run) => verdict(run, row)),
      make("span", { className: "file", textContent: data.path[row] }));
    const button = make("button", { type: "button", className: "card", data: { row } }, strip, text);
    button.addEventListener("click", () => open(row));
    return make("li", {}, button);
  };
  const show = () => {
    const next = rows.slice(shown, shown + PAGE);
    list.append(...next.map(card));
    shown += next.length;
    more.hidden = shown >= rows.length;
    more.textContent = `Show more (${rows.length - shown} left)`;
  };
  const render = () => {
    const test = wanted();
    rows = data.path.map((_, row) => row).filter(test);
    const key = ORDER[form.order.value];
    if (key) {
      const keys = new Map(rows.map((row) => [row, key(row)]));
      rows.sort((a, b) => keys.get(a) - keys.get(b) || a - b);
    } else rows.sort((a, b) => (data.path[a] < data.path[b] ? -1 : 1));
    shown = 0;
    list.replaceChildren();
    const hits = runs.map((run) => rows.filter((row) => right(run, row)).length);
    const told = data.label.some((label) => label >= 0) ? `; right: ${hits.map((n, k) => (both ? `${runs[k].name} ${n}` : n)).join(", ")}` : "";
    found.textContent = `${rows.length} of ${data.path.length} ${data.split} pictures${told}.`;
    show();
  };

  // A place on a drawing or in a table names pictures: {"label": 2, "prediction": 0}, {"low": 90, "high": 100}, {"row": 7}.
  const pick = (query) => {
    form.reset();
    only = query.row ?? (query.path === undefined ? null : rowOf.get(query.path) ?? null);
    for (const [name, value] of Object.entries(query)) if (form[name]) form[name].value = value;
    form.view.value = chosen;
    render();
    section.scrollIntoView({ behavior: "instant" });
    found.focus({ preventScroll: true });
    if (only !== null) open(only);
  };
  let chosen = "";
  form.view.addEventListener("change", () => { chosen = form.view.value; });
  for (const place of document.querySelectorAll("[data-pick]")) {
    const go = () => pick(JSON.parse(place.dataset.pick));
    place.addEventListener("click", go);
    if (place.tagName !== "BUTTON") {
      place.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === " ") { event.preventDefault(); go(); }
      });
    }
  }
  // In a drawing one place can be reached by Tab; arrows lead to its neighbours.
  for (const drawing of document.querySelectorAll("svg[role=group]")) {
    const places = [...drawing.querySelectorAll("[data-pick][role=button]")];
    places.forEach((place, k) => place.setAttribute("tabindex", k ? -1 : 0));
    const middle = (place) => {
      const box = place.getBoundingClientRect();
      return [box.x + box.width / 2, box.y + box.height / 2];
    };
    drawing.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      const here = event.target.closest("[data-pick]");
      if (!way || !here) return;
      event.preventDefault();
      const [x, y] = middle(here);
      let best = null;
      let least = Infinity;
      for (const place of places) {
        const [dx, dy] = middle(place).map((value, axis) => value - [x, y][axis]);
        const along = dx * way[0] + dy * way[1];
        const aside = Math.abs(dx * way[1] + dy * way[0]);
        if (along > 0.5 && along + 3 * aside < least) [best, least] = [place, along + 3 * aside];
      }
      if (!best) return;
      here.setAttribute("tabindex", -1);
      best.setAttribute("tabindex", 0);
      best.focus();
    });
  }

  const slider = viewer.querySelector("input[type=range]");
  const mapChoice = viewer.querySelector("select[name=map]");
  const panes = viewer.querySelector(".panes");
  let current = null;
  const blend = () => { for (const map of panes.querySelectorAll(".over")) map.style.opacity = slider.value / 100; };
  const chart = (run, row) => {
    const body = make("tbody");
    for (let k = 0; k < run.k; k++) {
      const [of, part] = [run.classes[row * run.k + k], run.shares[row * run.k + k]];
      const bar = make("i");
      bar.style.width = `${(100 * part) / data.whole}%`;
      const head = make("th", { scope: "row", textContent: called(of), className: of === data.label[row] ? "right" : "" });
      body.append(make("tr", {}, head, make("td", {}, make("span", { className: "energy" }, bar)), make("td", { className: "n", textContent: share(part, 1) })));
    }
    return make("table", {}, make("caption", { textContent: both ? run.name : "Most probable classes" }), body);
  };
  const facts = (run, row) => [
    `Probability of the true class ${share(run.of_label[row], 1)}`,
    ...scores.filter((name) => run.look[name]?.[row] != null).map((name) => `${readable(name)} ${share(run.look[name][row])}`),
    ...Object.entries(data.known).filter(([, known]) => known.names[known.of[row]]).map(([name, known]) => `${name} ${known.names[known.of[row]]}`),
  ].join(" · ");
  const fill = () => {
    const row = current;
    const here = views.filter((name) => runs.some((run) => mapOf(run, name, row)));
    const wish = here.includes(mapChoice.value) ? mapChoice.value : here.includes(form.view.value) ? form.view.value : here[0] ?? "";
    options(mapChoice, here.length ? here.map((name) => [name, name]) : [["", "none is stored for this picture"]]);
    mapChoice.value = wish;
    mapChoice.disabled = slider.disabled = !here.length;
    viewer.querySelector("h3").replaceChildren(called(data.label[row]), ...runs.map((run) => verdict(run, row)));
    viewer.querySelector(".file").textContent = data.path[row];
    viewer.querySelector(".place").textContent = `${rows.indexOf(row) + 1} of ${rows.length}`;
    panes.replaceChildren(...runs.map((run) => make("div", { className: "pane" }, picture(run, wish, row, data.path[row]), chart(run, row),
      make("p", { className: "note", textContent: facts(run, row) }))));
    blend();
  };
  const open = (row) => {
    current = row;
    fill();
    if (!viewer.open) viewer.showModal();
  };
  const step = (by) => {
    const next = rows[rows.indexOf(current) + by];
    if (next !== undefined) open(next);
  };
  slider.addEventListener("input", blend);
  mapChoice.addEventListener("change", fill);
  viewer.querySelector(".before").addEventListener("click", () => step(-1));
  viewer.querySelector(".after").addEventListener("click", () => step(1));
  viewer.querySelector(".close").addEventListener("click", () => viewer.close());
  viewer.addEventListener("close", () => list.querySelector(`[data-row="${current}"]`)?.focus());
  viewer.addEventListener("click", (event) => { if (event.target === viewer) viewer.close(); });
  viewer.addEventListener("keydown", (event) => {
    if (event.target.matches("input, select")) return;
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });

  more.addEventListener("click", () => {
    const from = shown;
    show();
    list.children[from]?.firstElementChild.focus();
  });
  form.addEventListener("input", () => { only = null; render(); });
  form.querySelector(".all").addEventListener("click", () => {
    form.reset();
    only = null;
    form.view.value = chosen;
    render();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.querySelector(".save").addEventListener("click", () => {
    const head = ["path", "label", ...runs.flatMap((run) => ["prediction", "confidence"].map((word) => (both ? `${run.name} ${word}` : word)))];
    const lines = rows.map((row) => [data.path[row], called(data.label[row]), ...runs.flatMap((run) => [called(run.prediction[row]), confidence(run, row) / data.whole])]);
    save("pictures.csv", csv([head, ...lines]), "text/csv");
  });
  form.hidden = false;
  render();
}
