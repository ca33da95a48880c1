"use strict";
(() => {
  const $ = (sel, from = document) => [...from.querySelectorAll(sel)];
  const tip = document.getElementById("tip");

  // Colour theme: follow the system until the reader chooses. Storage may be closed to a page opened from disk.
  const theme = document.getElementById("theme");
  const stored = { get() { try { return localStorage.getItem("loadstone-theme") } catch { return null } },
                   set(v) { try { localStorage.setItem("loadstone-theme", v) } catch {} } };
  const dark = () => (document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme:dark)").matches ? "dark" : "light")) === "dark";
  const paint = () => { theme.textContent = dark() ? "☀" : "☾"; theme.setAttribute("aria-label", dark() ? "Use light colours" : "Use dark colours") };
  if (stored.get()) document.documentElement.dataset.theme = stored.get();
  theme.hidden = false;
  theme.onclick = () => { const v = dark() ? "light" : "dark"; document.documentElement.dataset.theme = v; stored.set(v); paint() };
  matchMedia("(prefers-color-scheme:dark)").addEventListener("change", paint);
  paint();

  function show(text, x, y) {
    tip.textContent = text;
    tip.hidden = false;
    const r = tip.getBoundingClientRect();
    tip.style.left = Math.max(8, Math.min(innerWidth - r.width - 8, x + 16 + r.width > innerWidth ? x - r.width - 16 : x + 16)) + "px";
    tip.style.top = Math.max(8, Math.min(innerHeight - r.height - 8, y - r.height / 2)) + "px";
  }
  const hide = () => { tip.hidden = true };
  const add = (svg, name, attrs) => { const e = svg.appendChild(document.createElementNS(svg.namespaceURI, name)); for (const k in attrs) e.setAttribute(k, attrs[k]); return e };
  const inside = (svg, e) => { const m = svg.getScreenCTM(); return { x: (e.clientX - m.e) / m.a, y: (e.clientY - m.f) / m.d } };
  const outside = (svg, x, y) => { const m = svg.getScreenCTM(); return [x * m.a + m.e, y * m.d + m.f] };
  const time = ns => { const [v, u] = ns < 1e6 ? [ns / 1e3, "µs"] : ns < 1e9 ? [ns / 1e6, "ms"] : [ns / 1e9, "s"]; return Number(v.toPrecision(3)) + " " + u };

  // A scenario's curve is hidden in all distributions at once.
  const off = new Set();
  for (const b of $("button.key[data-s]")) b.onclick = () => {
    const s = b.dataset.s;
    off.has(s) ? off.delete(s) : off.add(s);
    for (const o of $(`button.key[data-s="${s}"]`)) o.setAttribute("aria-pressed", String(!off.has(s)));
    for (const c of $(`.ecdf .curve[data-s="${s}"]`)) c.classList.toggle("off", off.has(s));
  };

  for (const svg of $("svg.ecdf")) {
    const d = Object.fromEntries(Object.entries(svg.dataset).map(([k, v]) => [k, +v]));
    const curves = $(".curve[data-s]", svg).map(c => {
      const n = c.getAttribute("d").match(/[\d.]+/g).map(Number), points = [];
      for (let i = 0; i < n.length; i += 2) points.push([n[i], n[i + 1]]);
      return { c, points };
    });
    let at = null, marks = [];
    const clear = () => { for (const m of marks) m.remove(); marks = []; hide() };
    const draw = x => {
      clear();
      at = x = Math.max(d.left, Math.min(d.right, x));
      marks.push(add(svg, "line", { class: "cursor", x1: x, x2: x, y1: d.top, y2: d.bottom }));
      const lines = ["within " + time(d.lo * (d.hi / d.lo) ** ((x - d.left) / (d.right - d.left)))];
      for (const { c, points } of curves) {
        if (c.classList.contains("off")) continue;
        let y = d.bottom;
        for (const p of points) { if (p[0] > x) break; y = p[1] }
        marks.push(add(svg, "circle", { class: "spot s" + c.dataset.s, cx: x, cy: y, r: 4 }));
        lines.push(((d.bottom - y) / (d.bottom - d.top) * 100).toFixed(1).padStart(5, "\u2007") + " %  " + c.dataset.name);
      }
      show(lines.join("\n"), ...outside(svg, x, (d.top + d.bottom) / 2));
    };
    svg.onpointermove = e => draw(inside(svg, e).x);
    svg.onpointerleave = () => { if (document.activeElement !== svg) clear() };
    svg.onblur = clear;
    svg.onkeydown = e => {
      const step = { ArrowLeft: -8, ArrowRight: 8 }[e.key];
      if (e.key === "Escape") clear();
      if (!step) return;
      e.preventDefault();
      draw(at === null ? (d.left + d.right) / 2 : at + step);
    };
  }

  const dots = JSON.parse(document.getElementById("dots").textContent) || {};
  for (const svg of $("svg.timeline")) {
    const all = dots[svg.dataset.scenario] || [];
    let at = -1, marks = [];
    const clear = () => { for (const m of marks) m.remove(); marks = []; hide() };
    const pick = i => {
      clear();
      at = i;
      const r = all[i];
      for (const y of [r.t, r.e]) if (y >= 0) marks.push(add(svg, "circle", { class: "ring", cx: r.x, cy: y, r: 6.5 }));
      if (r.t >= 0 && r.e >= 0) marks.push(add(svg, "line", { class: "cursor", x1: r.x, x2: r.x, y1: r.t, y2: r.e }));
      show(r.s, ...outside(svg, r.x, r.e >= 0 ? r.e : r.t));
    };
    svg.onpointermove = e => {
      const p = inside(svg, e);
      let best = -1, far = 900;
      all.forEach((r, i) => { for (const y of [r.t, r.e]) if (y >= 0) { const q = (r.x - p.x) ** 2 + (y - p.y) ** 2; if (q < far) [best, far] = [i, q] } });
      best < 0 ? clear() : pick(best);
    };
    svg.onpointerleave = () => { if (document.activeElement !== svg) clear() };
    svg.onblur = clear;
    svg.onkeydown = e => {
      const step = { ArrowLeft: -1, ArrowRight: 1, Home: -1e9, End: 1e9 }[e.key];
      if (e.key === "Escape") clear();
      if (!step || !all.length) return;
      e.preventDefault();
      pick(Math.max(0, Math.min(all.length - 1, at + step)));
    };
  }
})();
