// Fields of a refused record, fetched when they are opened: what is changed here is sent with the rest of it.
import { asked, notify, sent, waits } from "./catseye.js";

const were = new WeakMap();
const KINDS = { number: "a number", object: "JSON such as [0.1, 0.2] or {\"name\": 1.5}" };
const text = (value) => (value !== null && typeof value === "object" ? JSON.stringify(value) : String(value ?? ""));

function line(name, value) {
  const label = document.createElement("label"), field = document.createElement("input");
  label.append(name, field);
  field.name = name;
  field.autocomplete = "off";
  if (typeof value === "boolean") { field.type = "checkbox"; field.checked = value; } else field.value = text(value);
  return label;
}

async function fetched(event) {
  const details = event.target;
  if (!details.open || !details.matches?.("details.repair") || details.querySelector("form, .note")) return;
  const note = document.createElement("p");
  note.className = "note";
  note.textContent = "Reading the record…";
  details.append(note);
  const answer = await fetch(`/v1/dead-letters/${details.dataset.letter}`).catch(() => null);
  if (!answer?.ok) {
    notify(answer ? (await answer.json()).detail : "The gateway did not answer.");
    note.remove();
    details.open = false;
    return;
  }
  const { fields } = await answer.json();
  if (!fields) { note.textContent = "Its bytes are no record, so it has no fields. It can be sent again as it was."; return; }
  const form = document.createElement("form"), button = document.createElement("button");
  button.textContent = "Send repaired";
  button.dataset.title = "Send the repaired record?";
  button.dataset.ask = "It is written once more with the fields that you changed. That cannot be undone.";
  button.dataset.reason = "no";
  form.append(...Object.entries(fields).map(([name, value]) => line(name, value)), button);
  were.set(form, fields);
  note.replaceWith(form);
}

// What a field says now. Throws a sentence.
function read(field, was) {
  if (typeof was === "boolean") return field.checked;
  if (field.value === text(was)) return was;
  if (typeof was === "string") return field.value;
  if (was === null && !field.value) return null;
  try {
    const value = JSON.parse(field.value);
    if (was === null || typeof value === typeof was) return value;
  } catch { if (was === null) return field.value; }
  throw `${field.name}: ${KINDS[typeof was]} is needed. Nothing was sent.`;
}

async function repaired(event) {
  const form = event.target, fields = were.get(form);
  if (!fields) return;
  event.preventDefault();
  const repair = {};
  for (const field of form.querySelectorAll("input")) {
    let value;
    try { value = read(field, fields[field.name]); } catch (fault) { notify(fault); field.focus(); return; }
    if (value !== fields[field.name]) repair[field.name] = value;
  }
  if (!Object.keys(repair).length) { notify("No field was changed. “Send again” sends the record as it was."); return; }
  const button = event.submitter;
  if ((await asked(button)) === null) return;
  const letter = form.closest("details").dataset.letter;
  if (await sent(`/v1/dead-letters/${letter}`, button, { repair })) waits(form, button);
}

document.addEventListener("toggle", fetched, true); // it does not bubble
document.addEventListener("submit", repaired);
