// Draws the plots of a page by uPlot: each has a sentence and a table beside it, for those who do not see it.
const HOUR_MS = 3600000, AGAIN_MS = 15000, BARS = 48;
const drawn = new Map();
const percent = (value) => (value == null ? "–" : `${(100 * value).toFixed(value > 0.995 || value < 0.1 ? 1 : 0)}\u00a0%`);
const plain = (value) => (value == null ? "–" : Math.abs(value) >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3))));
const clock = (seconds) => new Date(1000 * seconds).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });
const day = (seconds) => new Date(1000 * seconds).toLocaleDateString(undefined, { weekday: "short", hour: "2-digit" });

// A colour of the style sheet as a canvas takes it.
function colour(name) {
  const probe = document.createElement("i");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}
const faint = (found, share) => found.replace(/^rgb\(([^)]*)\)$/, `rgba($1, ${share})`);

const span = () => 1000 * Number(document.getElementById("span")?.value ?? 14400);

// Lines of [time, value] as columns of one common time.
function columns(lines) {
  const times = [...new Set(Object.values(lines).flatMap((points) => points.map(([at]) => at)))].sort((a, b) => a - b);
  return [times, Object.entries(lines).map(([name, points]) => {
    const known = new Map(points);
    return [name, times.map((at) => known.get(at) ?? null)];
  })];
}

// Counts of classes in bars, one on the other; *shares*: each as a share of the whole bar.
function stacked({ lines, step_ms }, what, shares) {
  const width = Math.max(step_ms, Math.ceil(span() / BARS / step_ms) * step_ms);
  const bins = new Map();
  for (const [name, points] of Object.entries(lines)) {
    for (const [at, count] of points) {
      const bin = Math.floor(at / width) * width;
      if (!bins.has(bin)) bins.set(bin, {});
      bins.get(bin)[name] = (bins.get(bin)[name] ?? 0) + count;
    }
  }
  const whole = (bin) => Object.values(bins.get(bin)).reduce((sum, count) => sum + count, 0);
  const times = [...bins.keys()].filter((bin) => whole(bin)).sort((a, b) => a - b);
  const names = Object.keys(lines);
  const part = (bin, name) => (bins.get(bin)[name] ?? 0) / (shares ? whole(bin) : 1);
  const layers = names.map((_, number) => times.map((bin) => names.slice(number).reduce((sum, name) => sum + part(bin, name), 0)));
  const all = times.reduce((sum, bin) => sum + whole(bin), 0);
  const most = names.map((name) => [name, times.reduce((sum, bin) => sum + (bins.get(bin)[name] ?? 0), 0)]).sort((a, b) => b[1] - a[1])[0];
  return {
    times, shares, most: shares ? 1 : 1.05 * Math.max(1, ...times.map(whole)), series: names.map((name, number) => [name, layers[number]]),
    values: names.map((name) => times.map((bin) => part(bin, name))),
    fills: true,  says: all && `${all} ${what}, most of them ${most[0]} (${percent(most[1] / all)}).`,
  };
}

// What each series of the gateway becomes: columns, lines, and what the sentence says.
const kinds = {
  accuracy({ lines }) {
    const points = lines.accuracy ?? [];
    const part = (number) => points.map(([, value]) => value[number]);
    const last = points.at(-1)?.[1];
    return {
      times: points.map(([at]) => at), shares: true, most: 1,
      series: [["accuracy", part(0)], ["at least", part(1)], ["at most", part(2)]],
      styles: [{ width: 2 }, { width: 0 }, { width: 0 }], bands: [[3, 2, 0.25]],
      says: last && `Now ${percent(last[0])} of the labels agree; with 95\u00a0% certainty it is ${percent(last[1])} to ${percent(last[2])}.`,
    };
  },
  evidence({ lines }) {
    const [times, series] = columns(lines);
    const newest = series.map(([name, values]) => [name, values.findLast((value) => value !== null)]).sort((a, b) => b[1] - a[1]);
    const over = newest.filter(([, value]) => value >= 0.999).map(([name]) => name.replaceAll("_", " "));
    return {
      times, series, shares: true, most: 1.04, marks: [[1, "alarm"]],
      says: over.length ? `At their alarm: ${over.join(", ")}.` : newest.length && `The nearest is ${newest[0][0].replaceAll("_", " ")}, at ${percent(newest[0][1])} of its alarm.`,
    };
  },
  mix(facts) { return stacked(facts, "predictions", true); },
  vehicles(facts) { return stacked(facts, "vehicles", false); },
  telemetry({ lines }) {
    return Object.entries(lines).filter(([, points]) => points.length).map(([name, points]) => ({
      title: name, times: points.map(([at]) => at), series: [[name, points.map(([, value]) => value)]],
      says: `${name} is ${plain(points.at(-1)[1])}, in the unit that the publisher sends.`,
    }));
  },
  given(facts) { return facts; },
};

function axes(plot, from_s, to_s) {
  const ink = colour("soft"), grid = { stroke: faint(ink, 0.2), width: 1 };
  const write = to_s - from_s > 100000 ? day : clock;
  const style = { stroke: ink, grid, ticks: grid, font: "12px system-ui, sans-serif" };
  const label = plot.shares ? (value) => `${Math.round(100 * value)}\u00a0%` : plot.milliseconds ? (value) => `${plain(value)}\u00a0ms` : plain;
  return [
    { ...style, space: 70, values: plot.count ? (_, found) => found.map(plain) : (_, found) => found.map(write) },
    { ...style, size: 58, values: (_, found) => found.map((value) => (plot.shares && value > 1 ? "" : label(value))) },
  ];
}

// Behind the lines: since when which version predicts. On them: what evidence has to reach.
function hooks(plot) {
  const { versions = [], marks = [] } = plot;
  return {
    drawClear: [(u) => {
      const { left, top, width, height } = u.bbox, ctx = u.ctx;
      ctx.save();
      ctx.beginPath(); ctx.rect(left, top, width, height); ctx.clip();
      ctx.font = `${12 * devicePixelRatio}px system-ui, sans-serif`;
      ctx.textAlign = "left";
      versions.forEach(({ version, since_ms }, number) => {
        const from = Math.max(left, u.valToPos(since_ms / 1000, "x", true));
        const next = versions[number + 1];
        const to = next ? Math.min(left + width, u.valToPos(next.since_ms / 1000, "x", true)) : left + width;
        if (to <= from) return;
        ctx.fillStyle = faint(colour(`s${number % 8}`), 0.12);
        ctx.fillRect(from, top, to - from, height);
        ctx.fillStyle = colour("soft");
        ctx.fillText(version.replace("/", " "), from + 6, top + height - 8 * devicePixelRatio, to - from - 8);
      });
      ctx.restore();
    }],
    draw: [(u) => {
      for (const [at, name] of marks) {
        const y = u.valToPos(at, "y", true), { left, top, width, height } = u.bbox, ctx = u.ctx;
        if (y < top || y > top + height) continue;
        ctx.save();
        ctx.strokeStyle = ctx.fillStyle = colour("critical");
        ctx.setLineDash([8, 5]); ctx.lineWidth = devicePixelRatio;
        ctx.beginPath(); ctx.moveTo(left, y); ctx.lineTo(left + width, y); ctx.stroke();
        ctx.font = `${12 * devicePixelRatio}px system-ui, sans-serif`;
        ctx.textAlign = "left";
        ctx.fillText(name, left + 6, y + 14 * devicePixelRatio);
        ctx.restore();
      }
    }],
  };
}

function chart(place, plot, width) {
  const number = plot.count ? plot.times : plot.times.map((at) => at / 1000);
  const series = [{ value: plot.count ? (_, at) => (at == null ? "–" : String(at)) : (_, at) => (at == null ? "–" : new Date(1000 * at).toLocaleString(undefined, { weekday: "short", hour: "2-digit", minute: "2-digit" })), label: plot.count ? "labels" : "time" }];
  const write = plot.shares ? percent : plot.milliseconds ? (value) => (value == null ? "–" : `${plain(value)}\u00a0ms`) : plain;
  plot.series.forEach(([label, column], at) => {
    const style = plot.styles?.[at] ?? { width: plot.fills ? 0 : 1.6, dash: plot.fills ? undefined : [[], [6, 3], [2, 3]][Math.floor(at / 6) % 3] };
    const stroke = colour(plot.styles ? `s${plot.hues?.[at] ?? 0}` : `s${at % 8}`);
    const values = plot.values?.[at] ?? column;
    series.push({
      label: label.replaceAll("_", " "), stroke, spanGaps: false, ...style,
      fill: plot.fills ? stroke : undefined,
      value: (_, __, ___, index) => (index == null ? "–" : write(values[index])),
      points: { show: number.length < 3 },
    });
  });
  const now_s = Date.now() / 1000, from_s = plot.count ? 0 : Math.min(number[0], now_s - span() / 1000);
  const last = number.length - 1;
  const bands = (plot.bands ?? []).map(([from, to, share]) => ({ series: [from, to], fill: faint(series[from].stroke, share) }));
  place.replaceChildren();
  const found = new window.uPlot({
    width, height: plot.height ?? 210, series, bands, axes: axes(plot, from_s, now_s), hooks: hooks(plot),
    cursor: { y: false, points: { size: 6 } }, legend: { live: true },
    scales: {
      x: plot.count ? { time: false } : { range: () => [from_s, now_s] },
      y: plot.most ? { range: [0, plot.most] } : { range: (_, low, high) => {
        const room = Math.max((high - low) * 0.2, Math.abs(high) * 0.02, 1e-6);
        return [plot.milliseconds ? 0 : low - room, high + room];
      } },
    },
  }, [number, ...plot.series.map(([, column]) => column)], place);
  const rest = () => found.setLegend({ idx: last });
  found.over.addEventListener("mouseleave", () => requestAnimationFrame(rest));
  requestAnimationFrame(rest);
  return found;
}

function table(plot) {
  const rows = plot.times.map((at, row) => [at, row]).slice(-60).reverse();
  const write = plot.shares ? percent : plain;
  const element = document.createElement("table");
  const head = element.createTHead().insertRow();
  for (const text of [plot.count ? "labels" : "time", ...plot.series.map(([name]) => name.replaceAll("_", " "))]) {
    const cell = document.createElement("th");
    cell.scope = "col"; cell.textContent = text; head.append(cell);
  }
  const body = element.createTBody();
  for (const [at, row] of rows) {
    const line = body.insertRow();
    line.insertCell().textContent = plot.count ? String(at) : new Date(at).toLocaleString(undefined, { dateStyle: "short", timeStyle: "short" });
    plot.series.forEach(([, column], number) => { line.insertCell().textContent = write((plot.values?.[number] ?? column)[row]); });
  }
  return element;
}

function show(section, facts) {
  const place = section.querySelector(".chart"), sentence = section.querySelector(".says"), details = section.querySelector("details");
  const plots = [kinds[section.dataset.kind ?? section.dataset.plot](facts)].flat().filter((plot) => plot.times.length);
  const key = JSON.stringify([plots, place.clientWidth, span(), colour("ink")]);
  if (drawn.get(section)?.key === key) return;
  for (const each of drawn.get(section)?.charts ?? []) each.destroy();
  place.setAttribute("aria-busy", "false");
  if (!plots.length) {
    drawn.set(section, { key, charts: [] });
    place.textContent = section.dataset.nothing;
    sentence.textContent = ""; details.hidden = true;
    return;
  }
  place.replaceChildren();
  const versions = JSON.parse(section.dataset.versions ?? "[]");
  const charts = plots.map((plot) => {
    const one = document.createElement("div");
    place.append(one);
    return chart(one, { ...plot, versions: plot.versions ?? versions }, Math.max(240, place.clientWidth - 16));
  });
  sentence.textContent = plots.map((plot) => plot.says).filter(Boolean).join(" ");
  place.setAttribute("aria-label", `${section.querySelector("h2, h3").textContent}: ${sentence.textContent}`);
  details.hidden = false;
  const fill = () => { if (details.open) details.querySelector("div").replaceChildren(...plots.map(table)); };
  details.ontoggle = fill;
  fill();
  drawn.set(section, { key, charts });
}

async function load(section) {
  if (section.dataset.facts) { show(section, JSON.parse(section.dataset.facts)); return; }
  const { plot, camera } = section.dataset;
  try {
    const answer = await fetch(`/v1/cameras/${encodeURIComponent(camera)}/plots/${plot}?span_s=${span() / 1000}`);
    if (answer.ok) show(section, await answer.json());
    else if (!drawn.has(section)) section.querySelector(".chart").textContent = (await answer.json()).detail;
  } catch { /* the header says that the connection is lost; what is drawn stays */ }
}

function all() {
  for (const section of drawn.keys()) {
    if (!section.isConnected) { for (const each of drawn.get(section).charts) each.destroy(); drawn.delete(section); }
  }
  for (const section of document.querySelectorAll("[data-plot]")) load(section);
}

let later = 0;
const soon = () => { clearTimeout(later); later = setTimeout(all, 200); };
document.addEventListener("catseye:begin", all);
document.addEventListener("change", (event) => { if (event.target.id === "span") all(); });
addEventListener("resize", soon);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", soon);
setInterval(() => { if (!document.hidden) all(); }, AGAIN_MS);
all();
