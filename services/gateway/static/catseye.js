// Follows the live events of the gateway and keeps the page as it is there; sends what a person asks for.
const byCamera = new Map();
const seen = new Set();
const waiting = new Map();
const page = document.body.dataset.page;
const OLD_MS = 60000, PICTURE_EVERY_MS = 1000, EFFECT_MS = 20000;

const percent = (value) => (value === "" || value == null ? "–" : `${(100 * value).toFixed(1)}\u00a0%`);
const shown = { label: String, frame: String, version: String, confidence: percent, accuracy: percent };

function age(ms) {
  const seconds = Math.max(0, Math.floor((Date.now() - ms) / 1000));
  for (const [length, unit] of [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]]) {
    if (seconds >= length) return `${Math.floor(seconds / length)}\u00a0${unit}`;
  }
  return "now";
}

function put(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

function ages(element) {
  for (const each of element.querySelectorAll("[data-age]")) {
    const at = Number(each.dataset.age);
    const now = Date.now();
    if (each.dataset.ago && at >= now + 1000) put(each, `in ${age(2 * now - at)}`);
    else if (at) put(each, age(at) + (each.dataset.ago && at < now - 1000 ? " ago" : ""));
  }
  for (const image of element.querySelectorAll("img[data-at]")) {
    image.classList.toggle("old", Date.now() - Number(image.dataset.at) > OLD_MS);
  }
}

function tick() {
  if (document.hidden) return;
  if (document.getElementById("tiles")) for (const element of seen) ages(element);
  else ages(document);
}

const still = matchMedia("(prefers-reduced-motion: reduce)");
function draw(element, fields) {
  for (const [name, value] of Object.entries(fields)) {
    const show = shown[name];
    const place = show && element.querySelector(`[data-field="${name}"]`);
    if (!place) continue;
    const text = show(value);
    if (place.textContent === text) continue;
    place.textContent = text;
    if (name === "label" && !still.matches) place.animate([{ opacity: 0.3 }, { opacity: 1 }], 600);
  }
  if (fields.received_at_ms) {
    const when = element.querySelector("[data-received]");
    if (when) when.dataset.age = fields.received_at_ms;
  }
  const image = element.querySelector("img[data-at]");
  if (image && fields.picture_at_ms) picture(image, element.dataset.camera, fields.picture_at_ms);
}

// At most one picture a second of each camera; the newest comes in the end.
const pictured = new WeakMap();
function picture(image, camera, at) {
  const known = pictured.get(image) ?? { shown: 0, at: 0, timer: 0 };
  pictured.set(image, known);
  known.at = Math.max(at, known.at);
  known.timer ||= setTimeout(() => {
    known.timer = 0;
    known.shown = Date.now();
    if (image.closest("[data-held]") || known.at <= Number(image.dataset.at)) return;
    image.dataset.at = known.at;
    image.classList.remove("old");
    image.src = `/v1/cameras/${encodeURIComponent(camera)}/picture.jpg?at=${known.at}`;
  }, Math.max(0, known.shown + PICTURE_EVERY_MS - Date.now()));
}

// Only what is in sight is drawn, once a frame of the screen; the rest waits, merged.
const sight = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) { seen.add(target); ages(target); } else seen.delete(target);
  }
  drawSoon();
});

let drawing = 0;
function drawSoon() {
  drawing ||= requestAnimationFrame(() => {
    drawing = 0;
    for (const element of seen) {
      const fields = waiting.get(element);
      if (fields) { waiting.delete(element); draw(element, fields); }
    }
  });
}

function changes(event) {
  for (const [camera, fields] of Object.entries(event.cameras ?? {})) {
    const element = byCamera.get(camera);
    if (!element) { if (page === "/") refresh("main", 1500); continue; }
    const merged = waiting.get(element);
    if (merged) Object.assign(merged, fields); else waiting.set(element, fields);
  }
  drawSoon();
  const alerts = event.alerts?.length;
  if (alerts) refresh('[data-live="alerts"]');
  if (alerts && page === "/") refresh("main", 1500);
  if (event.models) refresh('[data-live="models"]');
  if (event.dead_letters) refresh('[data-live="dead_letters"]');
}

const due = new Map();
function refresh(selector, after = 400) {
  if (!document.querySelector(selector) || due.has(selector)) return;
  due.set(selector, setTimeout(() => { due.delete(selector); replace(selector); }, after));
}

// A part of the page as the server has it now. What a person typed, opened and where he is stays.
const keyOf = (form) => form.dataset.post + (form.dataset.version ?? "");
async function replace(selector) {
  if (document.getElementById("ask")?.open) { refresh(selector, 1000); return; }
  let text;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!answer.ok && answer.status !== 503) return;
    text = await answer.text();
  } catch { return; } // the stream says that the connection is lost
  const fresh = new DOMParser().parseFromString(text, "text/html").querySelector(selector);
  const old = document.querySelector(selector);
  if (!fresh || !old) return;
  keepTiles(old, fresh);
  const focus = kept(old, fresh);
  old.replaceWith(fresh);
  begin();
  focus?.focus({ preventScroll: true });
}

function keepTiles(old, fresh) {
  const tiles = new Map([...old.querySelectorAll(".tile")].map((tile) => [tile.dataset.camera, tile]));
  for (const tile of fresh.querySelectorAll(".tile")) {
    const before = tiles.get(tile.dataset.camera);
    if (!before) continue;
    before.className = tile.className;
    before.querySelector(".state").replaceWith(tile.querySelector(".state"));
    tile.replaceWith(before);
  }
}

function kept(old, fresh) {
  const active = document.activeElement;
  // Fields that were fetched stay as they are, with what was typed.
  for (const details of old.querySelectorAll("details.repair[open]")) {
    fresh.querySelector(`#${CSS.escape(details.id)}`)?.replaceWith(details);
  }
  if (fresh.contains(active)) return active;
  const forms = new Map([...fresh.querySelectorAll("form.act")].map((form) => [keyOf(form), form]));
  for (const form of old.querySelectorAll("form.act")) {
    const now = forms.get(keyOf(form));
    if (!now) continue;
    for (const field of form.elements) {
      const same = field.name && field.tagName !== "BUTTON" && now.elements.namedItem(field.name);
      if (same) same.value = field.value;
    }
  }
  for (const details of old.querySelectorAll("details[open][id]")) {
    const same = fresh.querySelector(`#${CSS.escape(details.id)}`);
    if (same) same.open = true;
  }
  if (!active || !old.contains(active)) return null;
  const form = active.closest("form.act");
  const now = form && forms.get(keyOf(form));
  const same = now && [...now.elements].find((each) => each.name === active.name && each.value === active.value);
  const id = active.closest("[id]")?.id;
  return same ?? (id && (fresh.id === id ? fresh : fresh.querySelector(`#${CSS.escape(id)}`)));
}

export function notify(text) {
  const place = document.getElementById("notice");
  place.textContent = text;
  clearTimeout(notify.timer);
  notify.timer = setTimeout(() => { place.textContent = ""; }, 8000);
}

// Asks once, and takes the reason. Resolves with it, or with null where the person does not want it.
export function asked(button) {
  const dialog = document.getElementById("ask");
  const form = dialog.querySelector("form");
  dialog.querySelector("h2").textContent = button.dataset.title || `${button.textContent}?`;
  dialog.querySelector("p").textContent = button.dataset.ask;
  form.elements.yes.textContent = button.textContent;
  const label = form.elements.why.closest("label");
  label.hidden = button.dataset.reason === "no";
  form.elements.why.value = "";
  dialog.returnValue = "";
  dialog.showModal();
  (label.hidden ? form.elements.yes : form.elements.why).focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      resolve(dialog.returnValue === "yes" ? form.elements.why.value : null);
      button.focus();
    }, { once: true });
  });
}

async function act(event) {
  const form = event.target.closest("form.act");
  if (!form) return;
  event.preventDefault();
  const button = event.submitter;
  const { post, revision, version, model, seen } = form.dataset;
  const action = button?.value ?? "";
  const data = new FormData(form);
  let reason = data.get("reason") ?? "";
  if (button.dataset.ask) {
    const why = await asked(button);
    if (why === null) return;
    reason = why || reason;
  }
  if (action === "resend_all") { await resendAll(form, button); return; }
  const body = {};
  if (action !== "train" && action !== "resend") body.action = action;
  if (reason) body.reason = reason;
  if (action === "suppress") {
    const until = data.get("until") ? Date.parse(data.get("until")) : 0;
    if (data.get("for_s")) body.until_ms = Date.now() + 1000 * Number(data.get("for_s"));
    if (until) body.until_ms = until;
    if (until && until < Date.now()) { notify("That time is over. Nothing was sent."); return; }
  }
  if (revision) body.revision = Number(revision);
  if (version) body.version = version;
  if (model) body.model = model;
  if (seen) body.seen_event_id = seen;
  if (await sent(post, button, body)) waits(form, button);
}

export async function sent(post, button, body) {
  button.setAttribute("aria-disabled", "true");
  try {
    const answer = await fetch(post, {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
    });
    const refusal = answer.ok ? null : await answer.json();
    notify(answer.ok ? "Sent. It shows here as soon as it is carried out." : refusal.detail);
    return answer.ok;
  } catch {
    notify("The gateway did not answer: nothing was sent, or it is not known. The page shows what came of it.");
    return false;
  } finally { button.removeAttribute("aria-disabled"); }
}

// Until the topic says what came of it, the form says that it was sent.
export function waits(form, button) {
  const note = document.createElement("span");
  note.className = "sent";
  note.textContent = `${button.textContent}: sent`;
  form.querySelector(".sent")?.remove();
  form.append(note);
  setTimeout(() => { note.textContent += ", and nothing came of it yet. System says which service does not answer."; }, EFFECT_MS);
}

async function resendAll(form, button) {
  const { reason, topic } = form.dataset;
  button.setAttribute("aria-disabled", "true");
  notify("They are being sent again …");
  try {
    const answer = await fetch("/v1/dead-letters", {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ reason, topic }),
    });
    const found = await answer.json();
    if (!answer.ok) { notify(found.detail); return; }
    const left = found.left ? ` ${found.left} cannot be: only a service writes to ${topic}, or they are not kept.` : "";
    notify(`${found.sent} of ${found.sent + found.left} were sent again.${left}`);
  } catch {
    notify("The gateway did not answer: some may have been sent. Send all again: what was accepted is dropped as a repeat.");
  } finally { button.removeAttribute("aria-disabled"); }
}

// -- pictures: where the model looked

async function explain(event) {
  const button = event.target.closest("button[data-explain]");
  if (!button || button.ariaDisabled === "true") return;
  const group = button.closest(".explainable"), note = group.querySelector(".explained");
  const maps = group.querySelectorAll("img.map");
  if (maps.length) {
    for (const map of maps) map.remove();
    delete group.dataset.held;
    note.textContent = "";
    button.setAttribute("aria-pressed", "false");
    return;
  }
  button.setAttribute("aria-disabled", "true");
  note.textContent = "The model looks at it again …";
  try {
    const { model, version, ofCamera } = group.dataset;
    const now = ofCamera ? await (await fetch(`/v1/cameras/${encodeURIComponent(ofCamera)}`)).json() : { model, version };
    const explanations = [];
    for (const frame of group.querySelectorAll(".frame")) {
      if (ofCamera) { group.dataset.held = "1"; frame.dataset.place = now.place; frame.querySelector("img").src = `/v1/frames/${now.place}.jpg`; }
      const address = `/v1/frames/${frame.dataset.place}/activation.png?${new URLSearchParams({ model: now.model, version: now.version })}`;
      const answer = await fetch(address);
      if (!answer.ok) { explanations.push((await answer.json()).detail); continue; }
      const facts = JSON.parse(answer.headers.get("catseye-explanation"));
      const image = new Image();
      image.className = "map";
      image.alt = `Where the model looked, for ${facts.label}`;
      image.src = address;
      frame.append(image);
      explanations.push(facts);
    }
    const fine = explanations.filter((each) => each.label);
    button.setAttribute("aria-pressed", String(fine.length > 0));
    note.textContent = fine.length
      ? `${fine.map((each) => `${each.label} ${percent(each.probability)}`).join(", ")}, by ${now.model} ${now.version}. ${fine[0].method}`
      : explanations[0] ?? "";
  } catch { note.textContent = "The gateway did not answer."; }
  finally { button.removeAttribute("aria-disabled"); }
}

function begin() {
  byCamera.clear(); seen.clear(); waiting.clear(); sight.disconnect();
  for (const tile of document.querySelectorAll(".tile[data-camera]")) {
    byCamera.set(tile.dataset.camera, tile);
    sight.observe(tile);
  }
  const one = document.querySelector("[data-camera-page]");
  if (one) { byCamera.set(one.dataset.camera, one); seen.add(one); }
  for (const time of document.querySelectorAll("time[data-ms]")) {
    const at = new Date(Number(time.dataset.ms));
    const today = at.toDateString() === new Date().toDateString();
    time.textContent = today ? at.toLocaleTimeString(undefined, { timeStyle: "medium" })
      : at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
    time.title = at.toISOString();
  }
  sift();
  tick();
  document.dispatchEvent(new Event("catseye:begin"));
}

// -- the fleet by name or class

function sift() {
  const field = document.getElementById("sift");
  if (!field) return;
  const wanted = (field.value || sessionStorage.getItem("sift") || "").toLowerCase();
  if (!field.value && wanted) field.value = wanted;
  sessionStorage.setItem("sift", wanted);
  let left = 0;
  for (const tile of document.querySelectorAll(".tile")) {
    const fits = !wanted || tile.dataset.camera.toLowerCase().includes(wanted)
      || tile.querySelector(".state").textContent.toLowerCase().includes(wanted);
    tile.hidden = !fits;
    left += fits;
  }
  document.getElementById("none").hidden = left > 0;
}

function follow() {
  if (page === "") return; // a problem, or signing in
  const link = document.getElementById("link");
  const source = new EventSource("/v1/events");
  source.addEventListener("open", () => { link.textContent = "live"; link.className = "link live"; });
  source.addEventListener("error", () => { link.textContent = "connection lost, trying again"; link.className = "link lost"; });
  source.addEventListener("changes", (event) => changes(JSON.parse(event.data)));
  source.addEventListener("resync", () => replace("main"));
}

document.addEventListener("submit", act);
document.addEventListener("click", explain);
document.addEventListener("input", (event) => {
  if (event.target.id === "sift") { sessionStorage.setItem("sift", event.target.value); sift(); }
});
begin();
follow();
setInterval(tick, 1000);
if (document.querySelector("[data-live=system]")) setInterval(() => replace("[data-live=system]"), 5000);
if (document.querySelector("main [data-again]")) {
  const again = setInterval(async () => { await replace("main"); if (!document.querySelector("main [data-again]")) { clearInterval(again); location.reload(); } }, 3000);
}
