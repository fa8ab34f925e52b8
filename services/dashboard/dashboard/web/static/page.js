// The page works without this: it only brings news into what the server has drawn, and keeps focus and what is open.
"use strict";
(() => {
  const QUIET_MS = 600; // between two drawings, so that a busy instance costs a browser little
  const live = document.getElementById("live");
  const text = document.getElementById("live-text");
  const pause = document.getElementById("pause");
  const source = document.body.dataset.news;
  if (!live || !source || !window.EventSource) return;
  live.hidden = false;

  let paused = false, busy = false, owed = false, last = 0;

  // What a person is using stays as it is: a field with the focus, a form that was touched, what was opened.
  const keeps = (node) => node.contains(document.activeElement) && node.matches("input, select, textarea, form, details[open]");

  function sync(from, to) {
    for (const { name } of [...from.attributes]) if (!to.hasAttribute(name) && name !== "open") from.removeAttribute(name);
    for (const { name, value } of to.attributes) if (from.getAttribute(name) !== value) from.setAttribute(name, value);
    if (from.nodeName === "PROGRESS" || from.nodeName === "METER") from.value = to.value;
  }

  function morph(from, to) {
    if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName || (from.id || "") !== (to.id || "")) { from.replaceWith(to); return; }
    if (from.nodeType !== Node.ELEMENT_NODE) { if (from.data !== to.data) from.data = to.data; return; }
    if (from.isEqualNode(to) || keeps(from)) return;
    sync(from, to);
    const known = new Map([...from.children].filter((child) => child.id).map((child) => [child.id, child]));
    let place = from.firstChild;
    for (const next of [...to.childNodes]) {
      const same = next.id && known.get(next.id);
      if (same) {
        if (same === place) place = place.nextSibling;
        else from.insertBefore(same, place);
        morph(same, next);
      } else if (place && !place.id && !next.id) {
        const here = place;
        place = place.nextSibling;
        morph(here, next);
      } else from.insertBefore(next, place);
    }
    while (place) { const gone = place; place = place.nextSibling; gone.remove(); }
  }

  async function draw() {
    if (paused || document.hidden) { owed = true; return; }
    if (busy) { owed = true; return; }
    busy = true; owed = false;
    try {
      const wait = last + QUIET_MS - performance.now();
      if (wait > 0) await new Promise((done) => setTimeout(done, wait));
      const answer = await fetch(location.href, { redirect: "manual", headers: { "x-live": "1" } });
      if (answer.type === "opaqueredirect") { location.assign("/login"); return; }
      if (answer.ok) {
        const drawn = new DOMParser().parseFromString(await answer.text(), "text/html");
        morph(document.getElementById("main"), drawn.getElementById("main"));
        last = performance.now();
      }
    } catch { /* the stream says when the service is there again */ }
    busy = false;
    if (owed) draw();
  }

  const events = new EventSource(source);
  events.addEventListener("open", () => { text.textContent = paused ? "paused" : "live"; live.className = "live"; });
  events.addEventListener("error", () => { text.textContent = "not connected"; live.className = "live bad"; });
  events.addEventListener("news", draw);
  document.addEventListener("visibilitychange", () => { if (!document.hidden && owed) draw(); });
  setInterval(draw, 5000); // ages grow without any news
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? "Resume" : "Pause";
    text.textContent = paused ? "paused" : "live";
    if (!paused) draw();
  });
})();
