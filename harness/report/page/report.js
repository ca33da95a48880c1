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
    for (const c of $(`.curves path[data-s="${s}"]`)) c.classList.toggle("off", off.has(s));
  };

  // What all charts share: a mark that the pointer or the arrow keys move, and Escape takes away.
  function reading(svg, on) {
    let marks = [];
    const r = {
      clear() { for (const m of marks) m.remove(); marks = []; hide() },
      mark(name, attrs) { marks.push(add(svg, name, attrs)) },
    };
    svg.onpointermove = e => { const p = inside(svg, e); on.point(p.x, p.y) };
    svg.onpointerleave = () => { if (document.activeElement !== svg) r.clear() };
    svg.onblur = r.clear;
    svg.onkeydown = e => {
      const step = { ArrowLeft: -1, ArrowRight: 1, Home: -1e9, End: 1e9 }[e.key];
      if (e.key === "Escape") r.clear();
      if (!step) return;
      e.preventDefault();
      on.step(step);
    };
    return r;
  }
  const numbers = svg => Object.fromEntries(Object.entries(svg.dataset).map(([k, v]) => [k, +v]));

  for (const svg of $("svg.curves")) {
    const d = numbers(svg), tail = svg.dataset.kind === "tail";
    const curves = $(".curve[data-s]", svg).map(c => {
      const n = c.getAttribute("d").match(/[\d.]+/g).map(Number), points = [];
      for (let i = 0; i < n.length; i += 2) points.push([n[i], n[i + 1]]);
      return { c, points };
    });
    let at = null;
    const value = y => d.lo * (d.hi / d.lo) ** ((d.bottom - y) / (d.bottom - d.top));
    const draw = x => {
      r.clear();
      at = x = Math.max(d.left, Math.min(d.right, x));
      r.mark("line", { class: "cursor", x1: x, x2: x, y1: d.top, y2: d.bottom });
      const part = (x - d.left) / (d.right - d.left);
      const share = 100 * (1 - 10 ** (-part * d.nines));
      const lines = [tail ? "p" + share.toFixed(share < 99 ? 1 : share < 99.9 ? 2 : 4) : "within " + time(d.lo * (d.hi / d.lo) ** part)];
      for (const { c, points } of curves) {
        if (c.classList.contains("off") || !points.length) continue;
        let y = d.bottom;
        if (tail) {
          const i = points.findIndex(p => p[0] >= x);
          if (i < 0 || x < points[0][0] && i > 0) { lines.push("–  " + c.dataset.name); continue }
          const [a, b] = [points[Math.max(i - 1, 0)], points[i]];
          y = b[0] === a[0] ? b[1] : a[1] + (b[1] - a[1]) * (x - a[0]) / (b[0] - a[0]);
          lines.push(time(value(y)) + "  " + c.dataset.name);
        } else {
          for (const p of points) { if (p[0] > x) break; y = p[1] }
          lines.push(((d.bottom - y) / (d.bottom - d.top) * 100).toFixed(1).padStart(5, "\u2007") + " %  " + c.dataset.name);
        }
        r.mark("circle", { class: "spot " + c.classList[1], cx: x, cy: y, r: 4 });
      }
      show(lines.join("\n"), ...outside(svg, x, (d.top + d.bottom) / 2));
    };
    const r = reading(svg, { point: draw, step: s => draw(at === null ? (d.left + d.right) / 2 : at + 8 * s) });
  }

  const data = JSON.parse((document.getElementById("data") || { textContent: "{}" }).textContent) || {};
  const state = i => [["running", i.r], ["waiting", i.q]].filter(p => p[1] >= 0).map(p => p[1] + " " + p[0]).concat(i.p >= 0 ? [(100 * i.p).toFixed(1) + " % of the pool"] : []).join(", ");
  for (const svg of $("svg.timeline")) {
    const d = numbers(svg), { dots = [], server = [] } = data[svg.dataset.scenario] || {};
    let at = -1;
    const then = x => { let best = null; for (const i of server) { if (i.x > x + 0.5) break; best = i } return best };
    const pick = i => {
      r.clear();
      at = i;
      const q = dots[i], s = then(q.x);
      for (const y of [q.t, q.e]) if (y >= 0) r.mark("circle", { class: "ring", cx: q.x, cy: y, r: 6.5 });
      r.mark("line", { class: "cursor", x1: q.x, x2: q.x, y1: d.top, y2: d.bottom });
      show(q.s + (s ? "\nserver: " + state(s) : ""), ...outside(svg, q.x, q.e >= 0 ? q.e : q.t));
    };
    const point = (x, y) => {
      if (y >= d.below) {
        r.clear();
        const s = then(x);
        if (!s) return;
        r.mark("line", { class: "cursor", x1: x, x2: x, y1: d.top, y2: d.bottom });
        return show("server: " + state(s), ...outside(svg, x, y));
      }
      let best = -1, far = 900;
      dots.forEach((q, i) => { for (const at of [q.t, q.e]) if (at >= 0) { const f = (q.x - x) ** 2 + (at - y) ** 2; if (f < far) [best, far] = [i, f] } });
      best < 0 ? r.clear() : pick(best);
    };
    const r = reading(svg, { point, step: s => dots.length && pick(Math.max(0, Math.min(dots.length - 1, at + s))) });
  }

  for (const svg of $("svg.lanes")) {
    const scenario = svg.closest(".panels > *").querySelector("svg.timeline").dataset.scenario;
    const bars = (data[scenario] || {}).bars || [];
    let at = -1;
    const pick = (i, follow) => {
      r.clear();
      at = i;
      const b = bars[i];
      r.mark("rect", { class: "ring", x: b.x - 1.5, y: b.y - 9, width: b.w + 3, height: 18, rx: 3 });
      if (follow) { const box = svg.parentNode, x = b.x - svg.viewBox.baseVal.x; if (x < box.scrollLeft || x > box.scrollLeft + box.clientWidth - 60) box.scrollLeft = x - box.clientWidth / 3 }
      show(b.s, ...outside(svg, b.x + Math.min(b.w, 40), b.y + 24));
    };
    const point = (x, y) => {
      const i = bars.findIndex(b => Math.abs(b.y - y) < 9 && x >= b.x - 2 && x <= b.x + b.w + 2);
      i < 0 ? r.clear() : pick(i);
    };
    const r = reading(svg, { point, step: s => bars.length && pick(Math.max(0, Math.min(bars.length - 1, at + s)), true) });
  }

  for (const svg of $("svg.sweep")) {
    const marks = $(".sweep-point", svg), middle = m => { const b = m.getBBox(); return [b.x + b.width / 2, b.y + b.height / 2] };
    let at = -1;
    const pick = i => {
      r.clear();
      at = i;
      const [x, y] = middle(marks[i]);
      r.mark("circle", { class: "ring", cx: x, cy: y, r: 9 });
      show(marks[i].dataset.text, ...outside(svg, x, y));
    };
    const point = x => { let best = 0; marks.forEach((m, i) => { if (Math.abs(middle(m)[0] - x) < Math.abs(middle(marks[best])[0] - x)) best = i }); pick(best) };
    const r = reading(svg, { point, step: s => pick(Math.max(0, Math.min(marks.length - 1, at + s))) });
  }
})();
