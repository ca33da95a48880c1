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

  // Agents as swim-lanes, on a canvas that draws only what is in sight: 500 lanes have 20 000 calls.
  // A call is [due, wait, prefill, decode, prompt, cached, ceiling, output, turn, outcome], times in tenths of a millisecond.
  for (const box of $(".swim")) {
    const swim = (data[box.dataset.scenario] || {}).swim, canvas = box.firstElementChild, tall = box.lastElementChild;
    if (!swim) continue;
    const lanes = swim.lanes, outcomes = box.dataset.outcomes.split(" "), head = 26, foot = 10;
    const left = () => Math.min(132, box.clientWidth * 0.26);
    let pitch = Math.max(8, Math.min(24, (+box.dataset.height - head - foot) / lanes.length));
    let from = 0, span = swim.end, focus = null, asked = 0, drag = null;
    const length = c => c[1] + c[2] + c[3];
    const ink = name => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
    const hatch = (back, line) => { const t = document.createElement("canvas"); t.width = t.height = 8; const g = t.getContext("2d"); g.fillStyle = back; g.fillRect(0, 0, 8, 8); g.strokeStyle = line; g.lineWidth = 1.6; g.beginPath(); g.moveTo(-2, 10); g.lineTo(10, -2); g.moveTo(-2, 2); g.lineTo(2, -2); g.moveTo(6, 10); g.lineTo(10, 6); g.stroke(); return t };
    tall.style.height = head + foot + pitch * lanes.length - +box.dataset.height + "px";
    const xOf = t => left() + (t - from) / span * (box.clientWidth - left() - 6);
    const tOf = x => from + (x - left()) / (box.clientWidth - left() - 6) * span;
    const clamp = () => { span = Math.max(20, Math.min(swim.end, span)); from = Math.max(0, Math.min(swim.end - span, from)) };
    const round = v => { const p = 10 ** Math.floor(Math.log10(v)); return (v / p > 5 ? 10 : v / p > 2 ? 5 : v / p > 1 ? 2 : 1) * p };
    function draw() {
      asked = 0;
      const w = box.clientWidth, h = box.clientHeight, dpr = devicePixelRatio || 1;
      if (!w) return; // in a tab that is not shown
      if (canvas.width !== Math.round(w * dpr) || canvas.height !== Math.round(h * dpr)) { canvas.width = Math.round(w * dpr); canvas.height = Math.round(h * dpr); canvas.style.height = h + "px" }
      const g = canvas.getContext("2d"), x0 = left(), c = {};
      for (const n of ["panel", "ink", "soft", "faint", "grid", "queue", "prefill", "decode", "bad", "c5"]) c[n] = ink(n);
      g.setTransform(dpr, 0, 0, dpr, 0, 0);
      g.clearRect(0, 0, w, h);
      const hit = g.createPattern(hatch(c.c5, c.panel), "repeat");
      g.font = "11.5px system-ui,sans-serif";
      g.textBaseline = "middle";
      const step = round(span / Math.max(3, (w - x0) / 110));
      g.textAlign = "center";
      for (let t = Math.ceil(from / step) * step; t <= from + span; t += step) {
        const x = Math.round(xOf(t)) + 0.5;
        g.fillStyle = c.grid; g.fillRect(x, head - 6, 1, h);
        g.fillStyle = c.faint; g.fillText(Number((t / 1e4).toPrecision(6)) + " s", Math.max(x, x0 + 10), 10);
      }
      const top = box.scrollTop, first = Math.max(0, Math.floor((top - foot) / pitch)), last = Math.min(lanes.length - 1, Math.ceil((top + h - head) / pitch));
      const bar = Math.max(3, Math.min(15, pitch - 4)), every = Math.ceil(13 / pitch);
      const fails = [];
      g.save();
      g.beginPath(); g.rect(0, head - 4, w, h); g.clip();
      g.textAlign = "right";
      for (let i = first; i <= last; i++) {
        g.fillStyle = lanes[i].s ? c.faint : c.soft;
        if (i % every === 0) g.fillText(lanes[i].n, x0 - 10, head + pitch * (i + 0.5) - top, x0 - 12);
      }
      g.beginPath(); g.rect(x0 - 3, head - 4, w, h); g.clip();
      for (let i = first; i <= last; i++) {
        const lane = lanes[i], y = head + pitch * (i + 0.5) - top;
        g.fillStyle = c.grid; g.fillRect(x0, y, w, 0.6);
        let over = null; // when the call before ended
        for (const q of lane.c) {
          if (q[0] > from + span) { if (over !== null && !lane.s && over < from + span) line(over, q[0]); break }
          const end = q[0] + length(q);
          if (end >= from) {
            if (over !== null && !lane.s) line(over, q[0]);
            let x = xOf(q[0]);
            const wide = l => l / span * (w - x0 - 6);
            if (q[9]) {
              g.fillStyle = c.bad; g.globalAlpha = 0.4; g.fillRect(x, y - bar / 2, Math.max(1, wide(length(q))), bar); g.globalAlpha = 1;
              fails.push([xOf(end), y]);
            } else {
              const [a, b, d] = [wide(q[1]), wide(q[2]), wide(q[3])];
              if (a > 0.4) { g.strokeStyle = c.queue; g.lineWidth = 1.2; a > 3 ? g.strokeRect(x + 0.6, y - bar / 2 + 0.6, a - 1.2, bar - 1.2) : (g.fillStyle = c.queue, g.fillRect(x, y - bar / 2, a, bar)) }
              x += a;
              if (b > 0) {
                const share = q[4] > 0 ? Math.max(0, q[5]) / q[4] : 0, low = bar * share;
                g.fillStyle = c.prefill; g.fillRect(x, y - bar / 2, Math.max(b, 0.7), bar - low);
                g.fillStyle = b > 6 ? hit : c.c5; g.fillRect(x, y + bar / 2 - low, Math.max(b, 0.7), low);
              }
              x += b;
              if (d > 0) { g.fillStyle = c.decode; g.fillRect(x, y - bar / 2, Math.max(d, 0.7), bar) }
            }
          }
          over = end;
        }
        function line(a, b) {
          if (b <= a) return;
          g.strokeStyle = c.faint; g.lineWidth = 1.2; g.setLineDash([3, 2]); g.beginPath();
          g.moveTo(Math.max(x0, xOf(a)), y); g.lineTo(Math.min(w, xOf(b)), y); g.stroke(); g.setLineDash([]);
        }
      }
      g.strokeStyle = c.bad; g.lineWidth = 1.8;
      for (const [x, y] of fails) { g.beginPath(); g.moveTo(x - 4, y - 4); g.lineTo(x + 4, y + 4); g.moveTo(x + 4, y - 4); g.lineTo(x - 4, y + 4); g.stroke() }
      if (focus) {
        const q = lanes[focus[0]].c[focus[1]], y = head + pitch * (focus[0] + 0.5) - top, x = xOf(q[0]);
        g.strokeStyle = c.ink; g.lineWidth = 1.8; g.strokeRect(x - 2, y - bar / 2 - 2.5, Math.max(3, xOf(q[0] + length(q)) - x) + 4, bar + 5);
      }
      g.restore();
    }
    const redraw = () => { if (!asked) asked = requestAnimationFrame(draw) };
    const tell = () => {
      const [i, k] = focus, q = lanes[i].c[k], ms = v => time(v * 1e5);
      const lines = [lanes[i].n + ", turn " + q[8] + ", call " + (k + 1) + " of " + lanes[i].c.length, "due " + ms(q[0]) + ", took " + ms(length(q)) + (q[9] ? ": " + outcomes[q[9]] : "")];
      if (!q[9]) {
        lines.push([[q[1], "wait"], [q[2], "prefill"], [q[3], "decode"]].filter(p => p[0] > 0).map(p => ms(p[0]) + " " + p[1]).join(", "));
        if (q[4] >= 0) lines.push(q[4] + " tokens in, " + Math.max(0, q[5]) + " cached" + (q[6] > 0 ? " (ceiling " + q[6] + ")" : "") + (q[7] >= 0 ? ", " + q[7] + " out" : ""));
      }
      const next = lanes[i].c[k + 1];
      if (next && !lanes[i].s && next[0] > q[0] + length(q)) lines.push("then " + ms(next[0] - q[0] - length(q)) + " of tools, people or sub-agents");
      const r = canvas.getBoundingClientRect();
      show(lines.join("\n"), r.left + Math.max(left(), Math.min(box.clientWidth - 20, xOf(q[0] + length(q)))), r.top + head + pitch * (i + 0.5) - box.scrollTop + 40);
    };
    const pick = (i, k, follow) => {
      focus = [i, k];
      if (follow) {
        const q = lanes[i].c[k], y = pitch * (i + 0.5);
        if (q[0] < from || q[0] + length(q) > from + span) { from = q[0] - span / 3; clamp() }
        if (y < box.scrollTop + pitch || y > box.scrollTop + box.clientHeight - head - foot - pitch) box.scrollTop = y - box.clientHeight / 2;
      }
      tell();
      redraw();
    };
    const near = (i, t) => { let best = 0; lanes[i].c.forEach((q, k) => { if (Math.abs(q[0] - t) < Math.abs(lanes[i].c[best][0] - t)) best = k }); return best };
    const zoom = (by, at = from + span / 2) => { const part = (at - from) / span; span *= by; span = Math.max(20, Math.min(swim.end, span)); from = at - part * span; clamp(); redraw() };
    const fit = () => { from = 0; span = swim.end; redraw() };
    const local = e => { const r = canvas.getBoundingClientRect(); return [e.clientX - r.left, e.clientY - r.top] };
    box.onpointerdown = e => { if (e.button === 0 && local(e)[0] > left() && local(e)[0] < box.clientWidth) drag = { x: e.clientX, y: e.clientY, from, top: box.scrollTop } };
    box.onpointermove = e => {
      if (drag && e.buttons) {
        if (Math.abs(e.clientX - drag.x) > 3) { hide(); box.setPointerCapture(e.pointerId) }
        from = drag.from - (e.clientX - drag.x) / (box.clientWidth - left()) * span;
        box.scrollTop = drag.top - (e.clientY - drag.y);
        clamp();
        return redraw();
      }
      drag = null;
      const [x, y] = local(e), i = Math.floor((y - head + box.scrollTop) / pitch), t = tOf(x), slack = span / (box.clientWidth - left()) * 3;
      const k = lanes[i] && x > left() ? lanes[i].c.findIndex(q => t >= q[0] - slack && t <= q[0] + length(q) + slack) : -1;
      if (k >= 0) pick(i, k); else if (focus && document.activeElement !== box) { focus = null; hide(); redraw() }
    };
    box.onpointerup = () => { drag = null };
    box.onpointerleave = () => { if (document.activeElement !== box) { focus = null; hide(); redraw() } };
    box.onblur = () => { focus = null; hide(); redraw() };
    box.onscroll = redraw;
    box.addEventListener("wheel", e => {
      if (e.ctrlKey || e.metaKey) { e.preventDefault(); zoom(e.deltaY > 0 ? 1.25 : 0.8, tOf(local(e)[0])) }
      else if (e.shiftKey || Math.abs(e.deltaX) > Math.abs(e.deltaY)) { e.preventDefault(); from += (e.deltaX || e.deltaY) / 600 * span; clamp(); redraw() }
    }, { passive: false });
    box.onkeydown = e => {
      if (e.ctrlKey || e.metaKey || e.altKey) return;
      const way = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[e.key];
      if (e.key === "Escape") { focus = null; hide(); return redraw() }
      const at = focus ? lanes[focus[0]].c[focus[1]] : null, middle = at ? at[0] + length(at) / 2 : from + span / 2;
      if (e.key === "+" || e.key === "=") zoom(0.6, middle);
      else if (e.key === "-") zoom(1 / 0.6, middle);
      else if (e.key === "0" || e.key === "Home") fit();
      else if (e.key === "Enter" && at) { span = Math.max(20, 6 * length(at)); from = at[0] - span / 3; clamp(); redraw(); tell() }
      else if (way && e.shiftKey) { from += way[1] * span / 5; box.scrollTop += way[0] * 5 * pitch; clamp(); redraw() }
      else if (way && !focus) { const i = Math.min(lanes.length - 1, Math.floor(box.scrollTop / pitch)); pick(i, near(i, from), true) }
      else if (way) {
        const i = Math.max(0, Math.min(lanes.length - 1, focus[0] + way[0]));
        pick(i, way[0] ? near(i, at[0]) : Math.max(0, Math.min(lanes[i].c.length - 1, focus[1] + way[1])), true);
      } else return;
      e.preventDefault();
    };
    for (const b of $("button[data-do]", box.closest("figure"))) b.onclick = () => ({ in: () => zoom(0.6), out: () => zoom(1 / 0.6), fit })[b.dataset.do]();
    new ResizeObserver(redraw).observe(box);
    new MutationObserver(redraw).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    matchMedia("(prefers-color-scheme:dark)").addEventListener("change", redraw);
    draw();
  }

  // A history is read commit by commit.
  for (const svg of $("svg.history")) {
    const d = numbers(svg), columns = $(".column", svg);
    let at = -1;
    const pick = i => {
      r.clear();
      at = i;
      const x = +columns[i].dataset.at;
      r.mark("line", { class: "cursor", x1: x, x2: x, y1: d.top, y2: d.bottom });
      show(columns[i].dataset.text, ...outside(svg, x, (d.top + d.bottom) / 2));
    };
    const point = x => { let best = 0; columns.forEach((c, i) => { if (Math.abs(c.dataset.at - x) < Math.abs(columns[best].dataset.at - x)) best = i }); pick(best) };
    const r = reading(svg, { point, step: s => columns.length && pick(Math.max(0, Math.min(columns.length - 1, at + s))) });
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
