"use strict";
// The page of dsa-train browse. Texts of the server are set as text, never as HTML.
const by = (id) => document.getElementById(id);
const filters = by("filters");
let query = null; // {file: File} that was dropped, or {number: n} that was picked
let asked = 0; // counts searches, so that an answer that comes late does not replace a newer one
let start = 0; // of the images to pick from
let calibrated = false; // whether distances have probabilities

function element(name, values = {}, children = []) {
  const made = Object.assign(document.createElement(name), values);
  made.append(...children);
  return made;
}

function report(message, isError = false) {
  by("status").textContent = message;
  by("status").className = isError ? "error" : "";
}

async function answer(address, options = {}) {
  const response = await fetch(address, options);
  if (!response.ok) {
    const problem = await response.json().catch(() => ({ error: response.statusText }));
    throw new Error(problem.error);
  }
  return response;
}

function parameters(format) {
  const values = new URLSearchParams({ format });
  for (const [name, value] of new FormData(filters)) if (value) values.append(name, value);
  if (query.number !== undefined) values.set("query", query.number);
  return values;
}

function send(format) {
  return answer("/api/search?" + parameters(format), { method: "POST", body: query.file || null });
}

async function search() {
  if (!query) return;
  const mine = ++asked;
  report("Searching …");
  try {
    const found = await (await send("page")).json();
    if (mine === asked) show(found);
  } catch (error) {
    if (mine !== asked) return;
    by("hits").replaceChildren();
    by("exports").hidden = by("surface").hidden = true;
    report(error.message, true);
  }
}

function show(found) {
  const without = calibrated ? "; distances by chosen regions have no probabilities" : "";
  const presence =
    found.presence === null ? without : `; the person is in the gallery with P = ${found.presence.toFixed(2)}`;
  report(`${found.hits.length} images${presence}.`);
  by("hits").replaceChildren(...found.hits.map(hit));
  by("exports").hidden = !found.hits.length;
  by("surface").hidden = true;
}

function hit(one) {
  const [kind, words] = one.correct === null ? ["", ""] : one.correct ? ["right", "✓ right"] : ["wrong", "✗ wrong"];
  const person = one.pid === null ? "" : `person ${one.pid}, camera ${one.camid}`;
  const probability = one.probability === null ? "" : `, P ${one.probability.toFixed(3)}`;
  const children = [
    element("img", { src: "/api/image/" + one.number, alt: `Rank ${one.rank} ${words}: ${one.image}`, loading: "lazy" }),
    element("strong", { textContent: `${one.rank} ${words}` }),
    element("div", { textContent: `${one.distance.toFixed(3)}${probability}` }),
    element("div", { textContent: person }),
    element("div", { textContent: one.image }),
  ];
  if (query.number !== undefined) {
    const button = element("button", { type: "button", textContent: "compare surfaces" });
    button.addEventListener("click", () => compare(one.number));
    children.push(button);
  }
  return element("li", { className: kind }, children);
}

async function compare(number) {
  const values = new URLSearchParams({ query: query.number, image: number });
  try {
    const found = await (await answer("/api/surfaces?" + values)).json();
    by("bodies").replaceChildren(
      ...found.map((one) =>
        element("figure", {}, [
          element("img", { src: one.src, alt: "Unfolded body: " + one.words }),
          element("figcaption", { textContent: one.words }),
        ])
      )
    );
    by("surface").hidden = false;
    by("surface").scrollIntoView({ block: "nearest" });
  } catch (error) {
    report(error.message, true);
  }
}

async function exported(format) {
  const data = await (await send(format)).blob();
  const link = element("a", { href: URL.createObjectURL(data), download: "ranking." + format });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function choose(chosen, source, name) {
  query = chosen;
  Object.assign(by("query"), { src: source, alt: "Query " + name, hidden: false });
  by("named").textContent = name;
  search();
}

function chooseFile(file) {
  if (file) choose({ file }, URL.createObjectURL(file), file.name);
}

async function shelf() {
  const values = new URLSearchParams({ text: by("pick-text").value, start });
  const found = await (await answer("/api/picks?" + values)).json();
  const items = found.images.map((one) => {
    const image = element("img", { src: "/api/image/" + one.number, alt: one.key, loading: "lazy" });
    const words = one.pid === null ? "" : `${one.pid}, c${one.camid}`;
    const button = element("button", { type: "button", title: one.key }, [image, words]);
    button.addEventListener("click", () => choose({ number: one.number }, "/api/image/" + one.number, one.key));
    return element("li", {}, [button]);
  });
  by("picks").replaceChildren(...items);
  by("pick-count").textContent = items.length ? `${start + 1} to ${start + items.length} of ${found.total}` : "none";
  by("earlier").disabled = start === 0;
  by("later").disabled = start + items.length >= found.total;
  shelf.size = items.length;
}

function moved(distance) {
  start = Math.max(0, start + distance);
  shelf().catch((error) => report(error.message, true));
}

async function begin() {
  const about = await (await answer("/api/about")).json();
  by("title").textContent = about.title;
  document.title = "Search by image: " + about.title;
  calibrated = about.calibrated;
  const visible = about.visible ? " Distances compare what both images show." : "";
  const without = calibrated ? "" : " The model is not calibrated for these distances: they give no probabilities.";
  by("about").textContent = `${about.images} images in the gallery.${visible}${without}`;
  filters.elements.camera.append(...about.cameras.map((one) => element("option", { textContent: one })));
  by("regions").hidden = !about.regions.length;
  by("regions").append(
    ...about.regions.map((name) =>
      element("label", {}, [element("input", { type: "checkbox", name: "region", value: name }), name])
    )
  );
  await shelf();
}

by("file").addEventListener("change", (event) => chooseFile(event.target.files[0]));
for (const name of ["dragenter", "dragover"])
  by("drop").addEventListener(name, (event) => {
    event.preventDefault();
    by("drop").classList.add("over");
  });
for (const name of ["dragleave", "drop"]) by("drop").addEventListener(name, () => by("drop").classList.remove("over"));
by("drop").addEventListener("drop", (event) => {
  event.preventDefault();
  chooseFile(event.dataTransfer.files[0]);
});
filters.addEventListener("submit", (event) => event.preventDefault());
filters.addEventListener("change", search);
by("pick-text").addEventListener("input", () => moved(-start));
by("earlier").addEventListener("click", () => moved(-60));
by("later").addEventListener("click", () => moved(shelf.size));
for (const button of document.querySelectorAll("[data-format]"))
  button.addEventListener("click", () => exported(button.dataset.format).catch((error) => report(error.message, true)));
begin().catch((error) => report(error.message, true));
