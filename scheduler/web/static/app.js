// What the pages do beside htmx: live updates, countdowns, selections and keys.
// Everything works without it but for these.
"use strict";
(() => {
  const root = document.documentElement;
  const base = root.dataset.base;

  // Light, dark, or as the system has it.
  const themes = ["auto", "light", "dark"];
  const theme = (name) => {
    root.dataset.theme = name;
    const b = document.getElementById("theme");
    if (b) b.textContent = "Theme: " + name;
  };
  theme(localStorage.getItem("theme") || "auto");

  // Live updates: the server says what has changed, and the regions that show it
  // are asked for again, one request at a time and at most once in a second.
  let paused = sessionStorage.getItem("paused") === "yes";
  const waiting = new Set();
  const asked = new WeakMap();
  const refresh = (kind) => {
    for (const e of document.querySelectorAll("[data-live]")) {
      if (e.dataset.live.split(" ").includes(kind)) waiting.add(e.id);
    }
  };
  setInterval(() => {
    if (paused || document.hidden) return;
    for (const id of waiting) {
      const e = document.getElementById(id);
      if (!e) { waiting.delete(id); continue; }
      if (asked.get(e)) continue;
      waiting.delete(id);
      asked.set(e, true);
      htmx.trigger(e, "live");
    }
  }, 1000);
  document.addEventListener("htmx:afterRequest", (ev) => {
    asked.delete(ev.target);
    const status = ev.detail.xhr ? ev.detail.xhr.status : 0;
    if (status === 401) location.reload(); // the session is over: the login page comes
    if (status !== 200) show("Stale"); // what is seen stays
    else if (!paused) show("Live");
  });

  const state = document.getElementById("pause");
  const show = (text) => { if (state) { state.textContent = text; state.setAttribute("aria-pressed", String(paused)); } };
  let source;
  const connect = () => {
    if (source || paused || !state) return;
    const run = document.body.dataset.run;
    source = new EventSource(base + "/ui/events" + (run ? "?run=" + encodeURIComponent(run) : ""));
    source.onopen = () => show("Live");
    source.onerror = () => show("Reconnecting");
    for (const kind of ["jobs", "runs", "run"]) source.addEventListener(kind, () => refresh(kind));
  };
  const pause = (yes) => {
    paused = yes;
    sessionStorage.setItem("paused", yes ? "yes" : "no");
    if (yes) {
      if (source) source.close();
      source = undefined;
      show("Paused");
    } else {
      show("Live");
      connect();
      ["jobs", "runs", "run"].forEach(refresh);
    }
  };

  // Countdowns.
  const span = (ms) => {
    let s = Math.max(0, Math.floor(ms / 1000));
    const d = Math.floor(s / 86400), h = Math.floor(s / 3600) % 24, m = Math.floor(s / 60) % 60;
    s %= 60;
    if (d) return d + "d" + (h ? h + "h" : "");
    if (h) return h + "h" + (m ? m + "m" : "");
    if (m) return m + "m" + (s ? s + "s" : "");
    return s + "s";
  };
  const count = () => {
    for (const e of document.querySelectorAll("[data-due]")) {
      const left = Date.parse(e.dataset.due) - Date.now();
      e.textContent = left > 0 ? "in " + span(left) : "now";
    }
    for (const e of document.querySelectorAll("[data-since]")) e.textContent = span(Date.now() - Date.parse(e.dataset.since)) + " ago";
  };
  setInterval(count, 1000);

  // Selections outlive a refresh.
  const chosen = new Set();
  const tally = () => {
    for (const e of document.querySelectorAll("input[name=name][type=checkbox]")) e.checked = chosen.has(e.value);
    const n = document.getElementById("chosen");
    if (!n) return;
    n.textContent = chosen.size + " selected";
    for (const b of document.querySelectorAll("#bulk button")) b.disabled = chosen.size === 0;
  };
  document.addEventListener("change", (ev) => {
    const e = ev.target;
    if (e.matches("input[name=name][type=checkbox]")) {
      if (e.checked) chosen.add(e.value); else chosen.delete(e.value);
      tally();
    } else if (e.id === "all") {
      for (const c of document.querySelectorAll("input[name=name][type=checkbox]")) {
        if (e.checked) chosen.add(c.value); else chosen.delete(c.value);
      }
      tally();
    }
  });

  // A name that must be typed before a button works.
  const typed = () => {
    for (const e of document.querySelectorAll("input[data-expect]")) {
      e.form.querySelector("button").disabled = e.value !== e.dataset.expect;
    }
  };
  document.addEventListener("input", typed);

  const settle = () => { count(); tally(); typed(); };
  document.addEventListener("htmx:afterSettle", settle);
  settle();

  document.addEventListener("click", (ev) => {
    const e = ev.target.closest("button");
    if (!e) return;
    if (e.id === "pause") pause(!paused);
    if (e.id === "theme") {
      const next = themes[(themes.indexOf(root.dataset.theme) + 1) % themes.length];
      localStorage.setItem("theme", next);
      theme(next);
    }
  });

  // Keys, where nothing is being typed: / searches, p pauses, g and a letter goes.
  const places = { o: "/ui/", j: "/ui/jobs", r: "/ui/runs", t: "/ui/timeline", d: "/ui/dead", s: "/ui/services", c: "/ui/changes", n: "/ui/new" };
  let going = false;
  document.addEventListener("keydown", (ev) => {
    if (ev.ctrlKey || ev.metaKey || ev.altKey || ev.target.closest("input, textarea, select")) return;
    if (going && places[ev.key]) { location.assign(base + places[ev.key]); return; }
    going = ev.key === "g";
    if (ev.key === "p") pause(!paused);
    const search = document.getElementById("search");
    if (ev.key === "/" && search) { ev.preventDefault(); search.focus(); search.select(); }
  });

  if (paused) show("Paused"); else connect();
})();
