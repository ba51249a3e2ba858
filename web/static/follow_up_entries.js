// Sends what is entered on the follow-up page. Runs before the charts' script is there, which is large and may be slow.

const patient = document.getElementById("entries-section").dataset.patient;
const entries = [...document.querySelectorAll(".entry form[data-study]")];
const KEPT = `metia-unsaved-${patient}`;
const MEANING = {
  corticosteroid_mg: (text) => (text.trim() === "" ? null : Number(text.replace(",", "."))),
  clinical_status: (text) => text || null,
  immunotherapy: (text) => JSON.parse(text),
  note: (text) => text,
  baseline: (checked) => checked,
};
const JUDGEMENT = /^judgement (?<uid>.+)$/; // what a reader says of a lesion: a field of its own for each
let isOurLoad = false; // the page is loaded again by itself, or with another visit: what is not saved comes along

// -- Fields: a browser knows what stands in one, and what the server put there

function stands(field) {
  return field.type === "checkbox" ? field.checked : field.value;
}

function stood(field) {
  if (field.type === "checkbox") return field.defaultChecked;
  if (field.options) return ([...field.options].find((option) => option.defaultSelected) ?? field.options[0]).value;
  return field.defaultValue;
}

function put(field, value) {
  if (field.type === "checkbox") field.checked = value;
  else field.value = value;
}

// A dose is the same with a comma and with a point; what cannot be one was changed, and is refused.
function isChanged(field) {
  const means = MEANING[field.name] ?? ((text) => text);
  const isSame = field.validity.valid && means(stands(field)) === means(stood(field));
  return stands(field) !== stood(field) && !isSame;
}

function fieldsOf(form) {
  return [...form.elements].filter((field) => field.name);
}

function changedFields(form) {
  return fieldsOf(form).filter(isChanged);
}

function judged(field) {
  return JUDGEMENT.exec(field.name)?.groups.uid;
}

// What was changed, as the server takes it.
function meant(fields) {
  const values = {};
  for (const field of fields) {
    if (judged(field)) values.judgements = { ...values.judgements, [judged(field)]: stands(field) || null };
    else values[field.name] = MEANING[field.name](stands(field));
  }
  return values;
}

// What the server says of a field, as that shows it.
function said(field, assessment) {
  if (judged(field)) return assessment.judgements[judged(field)] ?? "";
  const value = assessment[field.name];
  return field.name === "immunotherapy" ? JSON.stringify(value) : value ?? "";
}

// What the server has by now stands in each field, but in those that were changed here.
function renew(form, assessment) {
  for (const field of fieldsOf(form)) {
    const mine = isChanged(field);
    const here = stands(field);
    const theirs = said(field, assessment);
    if (field.type === "checkbox") field.defaultChecked = theirs;
    else if (field.options) for (const option of field.options) option.defaultSelected = option.value === theirs;
    else field.defaultValue = String(theirs).replace(/\r\n?/g, "\n"); // as browsers keep lines
    put(field, mine ? here : stood(field));
  }
  form.dataset.version = assessment.version;
  mark(form);
}

function mark(form) {
  for (const field of fieldsOf(form)) field.closest("label").classList.toggle("changed", isChanged(field));
  form.closest("details").querySelector(".unsaved").hidden = changedFields(form).length === 0;
}

// -- What is not saved stays over a load of ours, with the version it was made on, and is not left without a question

// A browser may forbid a page to store anything, which it says by throwing: then the page does without.
function storing(act) {
  try {
    return act();
  } catch {
    return null;
  }
}

// Whether it could be kept.
function keep() {
  const unsaved = entries.map((form) => ({
    study: form.dataset.study,
    version: form.dataset.version,
    fields: Object.fromEntries(changedFields(form).map((field) => [field.name, stands(field)])),
  }));
  const kept = JSON.stringify(unsaved.filter((one) => Object.keys(one.fields).length));
  return storing(() => { sessionStorage.setItem(KEPT, kept); return true; });
}

function bringBack() {
  const kept = JSON.parse(storing(() => sessionStorage.getItem(KEPT)) ?? "[]");
  storing(() => sessionStorage.removeItem(KEPT));
  for (const { study, version, fields } of kept) {
    const form = entries.find((one) => one.dataset.study === study);
    if (!form) continue;
    form.dataset.version = version;
    form.closest("details").open = true;
    for (const field of fieldsOf(form).filter(({ name }) => name in fields)) {
      put(field, fields[field.name]);
      field.closest("details").open = true;
    }
  }
}

function watchLeaving() {
  window.addEventListener("beforeunload", (event) => {
    const isKept = isOurLoad && keep();
    if (!isKept && entries.some((form) => changedFields(form).length)) event.preventDefault();
  });
  window.addEventListener("pagehide", () => { if (isOurLoad) keep(); });
  window.addEventListener("pageshow", () => { isOurLoad = false; }); // come back to, as it was left
}

// -- Saving

// Of a visit as the server has it, which by now stands behind the fields of its form.
function inWords(form, visit, visits) {
  const { corticosteroid_mg: mg, clinical_status: status, immunotherapy, note, baseline } = visit.assessment;
  const judgements = fieldsOf(form).filter((field) => judged(field) && stood(field)).map((field) => (
    `${field.dataset.lesion}: ${[...field.options].find((option) => option.defaultSelected).text}`));
  const therapy = { true: "immunotherapy", false: "no immunotherapy", null: "immunotherapy as at the visit before" };
  const chosen = visits.find((one) => one.assessment.baseline);
  return [
    mg === null ? "dose not known" : `${mg} mg`,
    status ?? "status not known",
    therapy[immunotherapy],
    ...(judgements.length ? [`judged by a reader: ${judgements.join("; ")}`] : []),
    note ? `note “${note}”` : "no note",
    baseline ? "chosen as the baseline" : chosen ? `not the baseline, which is now ${chosen.date}` : "not chosen as the baseline",
  ].join(", ");
}

function say(form, text, bad) {
  const message = form.querySelector(".message");
  message.textContent = text;
  message.classList.toggle("bad", bad);
}

// Somebody else was faster: show what they wrote, keep what is written here, and let the next Save decide knowingly.
async function explainConflict(form) {
  const { visits } = await (await fetch(`/patients/${patient}/timeline`)).json();
  const visit = visits.find((one) => one.StudyInstanceUID === form.dataset.study);
  renew(form, visit.assessment);
  say(form, "Not saved: somebody else has changed this visit since you opened the page. "
    + `It says now: ${inWords(form, visit, visits)}. ` + (changedFields(form).length
    ? "What you changed is still in the form, marked; Save again puts it in place of theirs, loading the page again drops it."
    : "That is what you entered too."), true);
}

// A dose that decides on the response and is hardly meant: asked about once, and again when it is another.
function isAskedAbout(form) {
  const dose = form.elements.corticosteroid_mg;
  const mg = MEANING.corticosteroid_mg(dose.value);
  if (!isChanged(dose) || !(mg > Number(dose.dataset.unusual)) || form.dataset.meant === dose.value) return false;
  form.dataset.meant = dose.value;
  say(form, `Not saved yet: ${dose.value} mg is more than ${dose.dataset.unusual} mg of dexamethasone a day. `
    + "If that is meant, press Save again.", true);
  return true;
}

function user() {
  return document.getElementById("user").value.trim();
}

function send(address, body, method = "POST") {
  return fetch(address, {
    method, headers: { "Content-Type": "application/json" }, body: JSON.stringify({ ...body, ...(user() && { user: user() }) }),
  });
}

async function refuse(form, answer, what) {
  const problem = await answer.json();
  say(form, `${what}: ${problem.detail} ${problem.what_to_do}`, true);
}

async function save(form) {
  const isEntry = entries.includes(form);
  // Only these: what stands there already the server took, and it may have more digits than people are asked for.
  if (isEntry && !changedFields(form).every((field) => field.reportValidity())) return;
  const fields = isEntry
    ? meant(changedFields(form))
    : { verified: form.dataset.verified || null };
  if (!Object.keys(fields).length) {
    say(form, "Nothing to save: nothing was changed.", false);
    return;
  }
  if (isEntry && isAskedAbout(form)) return;
  const { study, version } = form.dataset;
  const answer = await send(`/visits/${study}/assessment`, { ...fields, version: Number(version) });
  if (answer.ok) {
    say(form, "Saved. The response is being judged again.", false);
    const now = await answer.json();
    const same = entries.find((one) => one.dataset.study === study && one.dataset.version === version);
    if (same) renew(same, now);
    isOurLoad = true;
    location.reload();
  } else if (answer.status === 409 && isEntry) {
    await explainConflict(form);
  } else {
    await refuse(form, answer, "Not saved");
  }
}

// What was taken back was seen here, so what is not saved yet is made on what is there now.
async function undo(form) {
  const answer = await send(`/changes/${form.dataset.undo}/undo`, {});
  if (!answer.ok) {
    await refuse(form, answer, "Not undone");
    return;
  }
  say(form, "Undone. The response is being judged again.", false);
  const entry = form.closest("details").querySelector("form[data-study]");
  const { visits } = await (await fetch(`/patients/${patient}/timeline`)).json();
  renew(entry, visits.find((one) => one.StudyInstanceUID === entry.dataset.study).assessment);
  isOurLoad = true;
  location.reload();
}

// Which lesion another is: what it binds is followed again by the worker, and judged at once.
async function tell(form) {
  const [lesion] = form.elements.lesion.selectedOptions;
  const decision = JSON.parse(form.elements.decision.value);
  const answer = await send(`/lesions/${lesion.value}`, { ...decision, version: Number(lesion.dataset.version) }, "PATCH");
  if (!answer.ok) {
    await refuse(form, answer, "Not saved");
    return;
  }
  say(form, "Saved. The response is being judged again.", false);
  isOurLoad = true;
  location.reload();
}

function listen(form, act, what) {
  const button = form.querySelector("button");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      await act(form);
    } catch {
      say(form, `${what}: the server does not answer. What you entered is still here; try again.`, true);
    }
    button.disabled = false;
  });
  button.disabled = false; // until now a click would have sent the browser away with what was entered
}

function listenToVisit() {
  const chosen = document.getElementById("chosen");
  chosen.form.addEventListener("submit", () => { isOurLoad = isChanged(chosen); });
  chosen.addEventListener("change", () => chosen.form.requestSubmit());
}

function rememberUser() {
  const user = document.getElementById("user");
  if (user.readOnly) return; // the name of the login
  user.value = storing(() => localStorage.getItem("metia-user")) ?? "";
  user.addEventListener("change", () => storing(() => localStorage.setItem("metia-user", user.value.trim())));
}

bringBack();
for (const form of entries) {
  form.addEventListener("input", () => mark(form));
  mark(form);
}
for (const form of document.querySelectorAll("form[data-study]")) listen(form, save, "Not saved");
for (const form of document.querySelectorAll("form[data-lesions]")) listen(form, tell, "Not saved");
for (const form of document.querySelectorAll("form[data-undo]")) listen(form, undo, "Not undone");
listenToVisit();
rememberUser();
watchLeaving();
