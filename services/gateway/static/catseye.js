// Follows the live events of the gateway and keeps the page as it is there; sends what a person asks for.
const byCamera = new Map();
const seen = new Set();
const waiting = new Map();
const page = document.body.dataset.page;

const percent = (value) => (value === "" || value == null ? "–" : `${(100 * value).toFixed(1)} %`);
const shown = { label: String, frame: String, version: String, confidence: percent, accuracy: percent };

function age(ms) {
  const seconds = Math.max(0, Math.floor((Date.now() - ms) / 1000));
  for (const [length, unit] of [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]]) {
    if (seconds >= length) return `${Math.floor(seconds / length)} ${unit}`;
  }
  return "now";
}

function tick() {
  for (const element of seen) {
    for (const each of element.querySelectorAll("[data-age]")) {
      const at = Number(each.dataset.age);
      if (at) each.textContent = age(at);
    }
    for (const image of element.querySelectorAll("img[data-at]")) {
      image.classList.toggle("old", Date.now() - Number(image.dataset.at) > 60000);
    }
  }
}

function draw(element, fields) {
  for (const [name, value] of Object.entries(fields)) {
    const place = element.querySelector(`[data-field="${name}"]`);
    if (place && shown[name]) {
      const text = shown[name](value);
      if (place.textContent !== text) {
        place.textContent = text;
        place.classList.remove("changed");
        void place.offsetWidth;
        place.classList.add("changed");
      }
    }
  }
  const when = element.querySelector("[data-age]");
  if (when && fields.received_at_ms) when.dataset.age = fields.received_at_ms;
  const image = element.querySelector("img[data-at]");
  if (image && fields.picture_at_ms && fields.picture_at_ms - Number(image.dataset.at) > 500) {
    image.dataset.at = fields.picture_at_ms;
    const camera = encodeURIComponent(element.dataset.camera ?? image.dataset.camera);
    image.src = `/v1/cameras/${camera}/picture.jpg?at=${fields.picture_at_ms}`;
  }
}

// Only what is in sight is drawn; the rest waits, merged.
const sight = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) { seen.delete(target); continue; }
    seen.add(target);
    const fields = waiting.get(target);
    if (fields) { waiting.delete(target); draw(target, fields); }
  }
});

function changes(event) {
  for (const [camera, fields] of Object.entries(event.cameras ?? {})) {
    const element = byCamera.get(camera);
    if (!element) { if (page === "/") reloadSoon(); continue; }
    if (seen.has(element)) draw(element, fields);
    else waiting.set(element, { ...waiting.get(element), ...fields });
  }
  if (event.alerts?.length) refresh("alerts");
  if (event.models) refresh("models");
  if (event.dead_letters) refresh("dead_letters");
  if (event.alerts?.length && page === "/") reloadSoon();
}

let soon = 0;
function reloadSoon() {
  soon ||= setTimeout(() => { soon = 0; replace("main"); }, 1500);
}

// A part of the page as the server has it now; what a person is typing stays.
let busy = false;
async function replace(selector) {
  if (busy || document.activeElement?.closest("form.act")) return;
  busy = true;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!answer.ok && answer.status !== 503) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector(selector);
    const old = document.querySelector(selector);
    if (fresh && old) { old.replaceWith(fresh); begin(); }
  } finally { busy = false; }
}

const due = new Map();
function refresh(name) {
  const selector = `[data-live="${name}"]`;
  if (!document.querySelector(selector) || due.has(name)) return;
  due.set(name, setTimeout(() => { due.delete(name); replace(selector); }, 400));
}

function say(text) {
  const place = document.getElementById("said");
  place.textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { place.textContent = ""; }, 8000);
}

async function act(event) {
  const form = event.target.closest("form.act");
  if (!form) return;
  event.preventDefault();
  const { post, revision, version, model, ask } = form.dataset;
  const action = event.submitter?.value ?? "";
  if (ask && !confirm(`${event.submitter.textContent}${version ? ` ${version}` : ""}?`)) return;
  const data = new FormData(form);
  const body = {};
  if (action !== "train" && action !== "resend") body.action = action;
  if (data.get("reason")) body.reason = data.get("reason");
  if (data.get("for_s") && action === "suppress") body.until_ms = Date.now() + 1000 * Number(data.get("for_s"));
  if (revision) body.revision = Number(revision);
  if (version) body.version = version;
  if (model) body.model = model;
  event.submitter.disabled = true;
  try {
    const answer = await fetch(post, {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
    });
    const said = await answer.json();
    say(answer.ok ? "Sent. It shows here as soon as it is carried out." : said.detail);
  } catch { say("The gateway did not answer. Nothing was sent, or it is not known."); }
  finally { event.submitter.disabled = false; event.submitter.blur(); }
}

async function plots() {
  const sections = document.querySelectorAll("[data-plot]");
  if (!sections.length) return;
  const { uPlot } = window;
  const colours = ["#3f87d9", "#d97b3f", "#3fa66b", "#a05fd0", "#c94f6d", "#5f9ea8", "#9a8b2f", "#7a7f87"];
  for (const section of sections) {
    const { plot, camera } = section.dataset;
    const answer = await fetch(`/v1/cameras/${encodeURIComponent(camera)}/plots/${plot}?span_s=14400`);
    if (!answer.ok) continue;
    const { lines, step_ms: step } = await answer.json();
    const place = section.querySelector(".chart");
    const named = Object.entries(lines).filter(([, points]) => points.length).slice(0, 12);
    if (!named.length) { place.textContent = "Nothing was measured yet."; continue; }
    const times = [...new Set(named.flatMap(([, points]) => points.map(([at]) => at)))].sort((a, b) => a - b);
    const series = [{}], columns = [times.map((at) => at / 1000)];
    named.forEach(([name, points], number) => {
      const stroke = colours[number % colours.length];
      if (plot === "accuracy") {
        ["accuracy", "95 % from", "95 % to"].forEach((label, part) => {
          const known = new Map(points.map(([at, value]) => [at, value[part]]));
          columns.push(times.map((at) => known.get(at) ?? null));
          series.push({ label, stroke, width: part ? 0.7 : 2, dash: part ? [4, 4] : undefined, spanGaps: true });
        });
      } else {
        const known = new Map(points);
        columns.push(times.map((at) => known.get(at) ?? null));
        series.push({ label: name, stroke, width: 1.5, spanGaps: true });
      }
    });
    place.replaceChildren();
    const ink = getComputedStyle(document.body).color;
    const axis = { stroke: ink, grid: { stroke: "#8884", width: 1 } };
    const bounded = plot === "accuracy" || plot === "evidence";
    new uPlot({
      width: Math.max(280, place.clientWidth - 16), height: 200, series, axes: [axis, axis],
      scales: { y: bounded ? { range: [0, 1] } : {} }, points: { show: times.length < 40 },
    }, columns, place);
    const newest = columns.slice(1).map((column, index) => `${series[index + 1].label} ${column.findLast((v) => v !== null)}`);
    place.setAttribute("aria-label", `Newest, by ${step / 60000} min: ${newest.join(", ")}`);
  }
}

function begin() {
  byCamera.clear(); seen.clear(); waiting.clear(); sight.disconnect();
  for (const tile of document.querySelectorAll(".tile[data-camera]")) {
    byCamera.set(tile.dataset.camera, tile);
    sight.observe(tile);
  }
  const one = document.querySelector("[data-plot]")?.dataset.camera;
  if (one) { const main = document.getElementById("main"); main.dataset.camera = one; byCamera.set(one, main); seen.add(main); }
  for (const time of document.querySelectorAll("time[data-ms]")) {
    const at = new Date(Number(time.dataset.ms));
    time.textContent = at.toLocaleString(undefined, { dateStyle: "short", timeStyle: "medium" });
    time.title = at.toISOString();
  }
  tick();
}

function follow() {
  if (page === "" && !document.querySelector("[role=alert]")) return;
  const link = document.getElementById("link");
  const source = new EventSource("/v1/events");
  source.addEventListener("open", () => { link.textContent = "live"; link.className = "link live"; });
  source.addEventListener("error", () => { link.textContent = "connection lost, trying again"; link.className = "link lost"; });
  source.addEventListener("changes", (event) => changes(JSON.parse(event.data)));
  source.addEventListener("resync", () => replace("main"));
}

document.addEventListener("submit", act);
begin();
follow();
plots();
setInterval(tick, 1000);
if (document.querySelector("[data-live=system]")) setInterval(() => replace("[data-live=system]"), 2000);
if (document.querySelector("main [role=alert]") && page === "") setInterval(() => replace("main"), 3000);
