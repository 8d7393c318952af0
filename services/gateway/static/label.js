// One frame after the other, by key: the next ones are fetched and decoded ahead, answers are sent behind.
const LEASE_MS = 85000, AHEAD = 20, LOW = 10, TRIES = 8;
const PLACES = ["Digit1", "Digit2", "Digit3", "Digit4", "Digit5", "Digit6", "Digit7", "Digit8", "Digit9",
  "KeyQ", "KeyW", "KeyE", "KeyR", "KeyT", "KeyA", "KeyS", "KeyD", "KeyF", "KeyG", "KeyC", "KeyV", "KeyB"];
const at = (id) => document.getElementById(id);
const queue = [], done = [];
let now = null, shownAt = 0, fetching = false, begun = false, setting = null, sending = Promise.resolve();

const chosen = JSON.parse(localStorage.getItem("catseye-keys") ?? "{}");
function keyOf(label, classes) {
  if (chosen[label]) return chosen[label];
  const free = PLACES.filter((place) => !Object.values(chosen).includes(place));
  return free[classes.filter((each) => !chosen[each]).indexOf(label)] ?? "";
}
const cap = (place) => place.replace(/^(Digit|Key)/, "");

async function post(path, body) {
  const answer = await fetch(path, {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body), keepalive: true,
  });
  return { ok: answer.ok, status: answer.status, body: await answer.json() };
}

function notify(text) { at("notice").textContent = text; }

async function more() {
  if (fetching || queue.length >= LOW) return;
  fetching = true;
  try {
    const first = !begun;
    const { ok, body } = await post("/v1/labels/offers", { most: AHEAD, again: first });
    if (!ok) { at("about").textContent = body.detail; setTimeout(more, 10000); return; }
    begun = true;
    for (const offer of body.offers) {
      offer.until = Date.now() + LEASE_MS;
      offer.image = new Image();
      offer.image.src = `/v1/frames/${offer.place}.jpg`;
      offer.ready = offer.image.decode().then(() => true, () => false);
      queue.push(offer);
    }
    for (const place of document.querySelectorAll('[data-progress="waiting"]')) place.textContent = body.waiting;
    if (!now) next();
    if (!body.offers.length) setTimeout(more, 3000);
  } catch { at("about").textContent = "The gateway does not answer; it is asked again."; setTimeout(more, 3000); }
  finally { fetching = false; }
}

async function next() {
  now = null;
  while (queue.length && queue[0].until < Date.now()) queue.shift();
  const offer = queue.shift();
  more();
  if (!offer) {
    at("frame").hidden = true;
    at("classes").replaceChildren();
    at("same").hidden = true;
    at("about").textContent = "Nothing is to be labelled now. Frames are drawn from what cameras send; this page waits for them.";
    return;
  }
  if (!(await offer.ready)) { send({ ...offer, answer: "skipped" }); next(); return; }
  show(offer);
}

function show(offer) {
  now = offer;
  shownAt = performance.now();
  const image = at("frame");
  image.src = offer.image.src;
  image.alt = `Frame of ${offer.camera}`;
  image.hidden = false;
  const says = offer.drawer === "suspect" ? "its label is" : "the model says";
  const guess = offer.predicted ? `, ${says} ${offer.predicted}` : "";
  const like = offer.same.length ? `, and ${offer.same.length} more that look alike` : "";
  at("about").textContent = `${offer.camera}: ${offer.second_opinion ? "a second opinion" : offer.drawer}${guess}${like}`;
  at("same").hidden = !offer.same.length;
  at("same").textContent = offer.same.length ? `One answer for ${offer.same.length + 1} frames.` : "";
  at("classes").replaceChildren(...offer.classes.map((label) => {
    const button = document.createElement("button"), key = document.createElement("kbd");
    button.type = "button";
    button.dataset.answer = "labelled";
    button.dataset.label = label;
    button.dataset.key = keyOf(label, offer.classes);
    key.textContent = cap(button.dataset.key);
    button.append(key, ` ${label}`);
    return button;
  }));
  performance.measure("catseye-next", { start: show.pressed ?? shownAt, end: performance.now() });
}

// Answers go out one after the other, each again until the gateway has it: its id makes that harmless.
function send({ frame, drawer, same, second_opinion, answer_id, answer, label, took_ms }) {
  const given = { answer_id: answer_id ?? crypto.randomUUID(), frame, drawer, same, second_opinion, answer, label: label ?? null, took_ms: took_ms ?? 0 };
  sending = sending.then(async () => {
    for (let tries = 0; tries < TRIES; tries += 1) {
      try {
        const { ok, status, body } = await post("/v1/labels/answers", given);
        if (ok) return progress(answer);
        if (status < 500 && status !== 429) return notify(body.detail);
      } catch { /* the gateway is away: again */ }
      await new Promise((resolve) => setTimeout(resolve, 300 * 2 ** tries));
    }
    notify("An answer was not taken; the frame will be asked again.");
  });
  return given.answer_id;
}

function progress(answer) {
  if (answer === "skipped") return;
  for (const name of ["mine", "all", "hour"]) {
    const place = document.querySelector(`[data-progress="${name}"]`);
    place.textContent = Math.max(0, Number(place.textContent) + (answer === "undone" ? -1 : 1));
  }
}

function give(answer, label) {
  if (answer === "undone") {
    const last = done.pop();
    if (!last) return notify("There is nothing to undo.");
    send({ ...last, answer: "undone", label: null });
    if (now) queue.unshift(now);
    last.until = Date.now() + LEASE_MS;
    delete last.answer_id;
    show(last);
    return notify("Taken back.");
  }
  if (!now) return;
  show.pressed = performance.now();
  const given = { ...now, answer, label, took_ms: Math.round(performance.now() - shownAt) };
  given.answer_id = send(given);
  if (answer !== "skipped") done.push(given);
  notify("");
  next();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-answer]");
  if (event.target.closest("#zoom")) at("frame").classList.toggle("zoomed");
  if (!button) return;
  if (event.shiftKey && button.dataset.label) {
    setting = button.dataset.label;
    return notify(`Press the key for ${setting}.`);
  }
  give(button.dataset.answer, button.dataset.label);
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest("input, textarea, select")) return;
  if (setting && event.key !== "Shift") {
    event.preventDefault();
    for (const label of Object.keys(chosen)) if (chosen[label] === event.code) delete chosen[label];
    chosen[setting] = event.code;
    localStorage.setItem("catseye-keys", JSON.stringify(chosen));
    notify(`${cap(event.code)} is ${setting} from now on.`);
    setting = null;
    if (now) show(now);
    return;
  }
  if (event.key === "?") { at("help").open = !at("help").open; return; }
  if (event.key === "+") { at("frame").classList.toggle("zoomed"); return; }
  if (event.code === "Space" && event.target.closest("button, summary, a")) return;
  const button = document.querySelector(`[data-answer][data-key="${CSS.escape(event.code)}"]`);
  if (button && !event.repeat) { event.preventDefault(); give(button.dataset.answer, button.dataset.label); }
});

if (at("labelling")) more();
