// Draws the charts of the follow-up page and sends what is entered; the page is complete without them.

const PAPER = { width: 680, height: 285 }; // so that a chart and its table, or two charts, leave no half-empty page
const figures = JSON.parse(document.getElementById("figures").textContent);
const charts = [...document.querySelectorAll("[data-figure]")];

function draw(element) {
  const { data, layout } = figures[element.id];
  Plotly.newPlot(element, data, layout, { responsive: true, displayModeBar: false });
}

// Paper has its own size, whatever the window's is.
function onPaper(paper) {
  for (const element of charts) {
    const width = element.parentElement.className === "pair" ? PAPER.width / 2 - 10 : PAPER.width;
    Plotly.relayout(element, paper ? { width, height: PAPER.height, autosize: false } : { width: null, height: null, autosize: true });
  }
}

// A picture that is not there (segmented before pictures were kept) leaves no hole.
function hideMissingPictures() {
  for (const image of document.querySelectorAll("[data-picture] img")) {
    image.addEventListener("error", () => { image.closest("[data-picture]").hidden = true; });
    image.src = image.dataset.src;
  }
}

function entered(form) {
  if (form.dataset.verified !== undefined) return { verified: form.dataset.verified || null };
  const dose = form.elements.corticosteroid_mg.value.trim();
  return {
    corticosteroid_mg: dose === "" ? null : Number(dose),
    clinical_status: form.elements.clinical_status.value || null,
    immunotherapy: JSON.parse(form.elements.immunotherapy.value),
    note: form.elements.note.value,
    baseline: form.elements.baseline.checked,
  };
}

function inWords(assessment) {
  const dose = assessment.corticosteroid_mg === null ? "dose not known" : `${assessment.corticosteroid_mg} mg`;
  const note = assessment.note ? `, note “${assessment.note}”` : ", no note";
  const therapy = { true: "immunotherapy", false: "no immunotherapy", null: "immunotherapy as at the visit before" };
  return `${dose}, ${assessment.clinical_status ?? "status not known"}, ${therapy[assessment.immunotherapy]}${note}`;
}

function say(form, text, bad) {
  const message = form.querySelector(".message");
  message.textContent = text;
  message.classList.toggle("bad", bad);
}

// Somebody else was faster: show what they wrote, keep what is written here, and let the next Save decide knowingly.
async function explainConflict(form) {
  const patient = document.getElementById("entries-section").dataset.patient;
  const timeline = await (await fetch(`/patients/${patient}/timeline`)).json();
  const visit = timeline.visits.find((one) => one.StudyInstanceUID === form.dataset.study);
  form.dataset.version = visit.assessment.version;
  say(form, `Not saved: somebody else has changed this visit since you opened the page. It says now: ${inWords(visit.assessment)}. `
    + "What you entered is still in the form; Save again replaces theirs, loading the page again drops yours.", true);
}

async function save(form) {
  const user = document.getElementById("user").value.trim();
  const body = { ...entered(form), version: Number(form.dataset.version), ...(user && { user }) };
  const answer = await fetch(`/visits/${form.dataset.study}/assessment`, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  });
  if (answer.ok) {
    say(form, "Saved. The response is being judged again.", false);
    location.reload();
  } else if (answer.status === 409 && form.dataset.verified === undefined) {
    await explainConflict(form);
  } else {
    const problem = await answer.json();
    say(form, `Not saved: ${problem.detail} ${problem.what_to_do}`, true);
  }
}

function listen() {
  const user = document.getElementById("user");
  user.value = localStorage.getItem("metia-user") ?? "";
  user.addEventListener("change", () => localStorage.setItem("metia-user", user.value.trim()));
  for (const form of document.querySelectorAll("form[data-study]")) {
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const button = form.querySelector("button");
      button.disabled = true;
      try {
        await save(form);
      } catch {
        say(form, "Not saved: the server does not answer. What you entered is still here; try again.", true);
      }
      button.disabled = false;
    });
  }
  document.getElementById("chosen").addEventListener("change", (event) => event.target.form.submit());
  const print = document.querySelector("[data-print]");
  print.hidden = false;
  print.addEventListener("click", () => window.print());
  window.addEventListener("beforeprint", () => onPaper(true));
  window.addEventListener("afterprint", () => onPaper(false));
}

hideMissingPictures();
listen();
charts.forEach(draw);
