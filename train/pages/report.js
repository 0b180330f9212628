"use strict";
// Filters of the queries: a text, a camera, whether the nearest image is right, and why a query is on the page.
const form = document.getElementById("filters");
const cards = Array.from(document.querySelectorAll("article.query"));
const count = document.getElementById("count");

function filter() {
  const text = form.elements.text.value.trim().toLowerCase();
  const camera = form.elements.camera.value;
  const first = form.elements.first.value;
  const group = form.elements.group.value;
  let shown = 0;
  for (const card of cards) {
    const data = card.dataset;
    const fits =
      (!text || data.key.toLowerCase().includes(text) || data.pid === text) &&
      (!camera || data.camera === camera) &&
      (!first || data.first === first) &&
      (!group || data.groups.split(" ").includes(group));
    card.hidden = !fits;
    shown += fits;
  }
  count.textContent = shown + " of " + cards.length + " queries shown";
}

if (form) {
  form.hidden = false;
  form.addEventListener("input", filter);
  form.addEventListener("reset", () => setTimeout(filter));
  form.addEventListener("submit", (event) => event.preventDefault());
  filter();
}
