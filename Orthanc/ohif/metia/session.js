// What goes on while a study is open: its jobs, its lesions, and what a person does to them.
import * as api from './api.js';
import { lastChange, withCourse } from './course.js';
import { createStore } from './store.js';

const POLL_MS = 400;
const SOON_MS = 100; // when what is left takes a second or two
const SOON_DONE = ['measuring', 'writing'];
const DRAWN_MS = 500;
const FINAL = ['done', 'failed', 'cancelled'];
const EMPTY = {
  study: null,
  job: null,
  busy: false,
  result: null,
  patient: null,
  lesions: [],
  timeline: null,
  undoable: null,
  selected: null,
  problem: null,
};

const pause = ms => new Promise(resolve => setTimeout(resolve, ms));

export function createSession(viewer) {
  const store = createStore({ ...EMPTY, models: [], model: '', ownSeries: false });
  let seg = null;
  let ours = []; // series of results that the viewer knows
  let changes = 0; // how many a person has made
  let visit = 0; // grows with each study that is opened, so that answers about an earlier one are dropped

  const say = error => store.set({ problem: error });
  const guarded = action => async (...given) => {
    try {
      store.set({ problem: null });
      return await action(...given);
    } catch (error) {
      say(error);
    }
  };

  // The models there are, and what the study has: a job under way is followed, a stored result is shown.
  const open = guarded(async study => {
    const mine = ++visit;
    seg = null;
    ours = [];
    store.set({ ...EMPTY, study });
    const [{ models, default: standard }, jobs] = await Promise.all([api.models(), api.jobs(study)]);
    if (mine !== visit) return;
    store.set({ models, model: store.get().model || standard });
    const result = jobs.find(job => job.state === 'done');
    if (result) await show(result, { look: !/initialSOPInstanceUID=/i.test(location.search) });
    const running = jobs.find(job => !FINAL.includes(job.state) && job.purpose === 'segment');
    if (running && mine === visit) await follow(running);
  });

  const run = guarded(async (series = null) => {
    const { study, model, ownSeries, busy } = store.get();
    if (busy || !study) return;
    const chosen = series ?? (ownSeries ? viewer.shownMr() : null);
    viewer.openPanel();
    store.set({ busy: true, job: null });
    try {
      await follow(
        await api.segment({
          StudyInstanceUID: study,
          ...(model ? { model } : {}),
          ...(chosen ? { SeriesInstanceUID: chosen } : {}),
        })
      );
    } finally {
      store.set({ busy: false });
    }
  });

  async function follow(job) {
    const mine = visit;
    let early = null; // the overlay, begun while the other results are still being written
    const drop = () => {
      early?.then(drawn => viewer.forget(drawn.SeriesInstanceUID)).catch(() => {});
      early = null;
    };
    store.set({ job, busy: true });
    try {
      while (!FINAL.includes(job.state)) {
        await pause(SOON_DONE.includes(job.state) ? SOON_MS : POLL_MS);
        if (mine !== visit) return;
        job = await api.job(job.id);
        store.set({ job });
        if (job.state === 'writing') {
          early ??= overlay(job, { look: true });
          early?.catch(() => {}); // whoever waits for it hears of it
        } else if (job.state !== 'done') drop(); // tried again later, or ended without a result
      }
    } finally {
      if (mine === visit) store.set({ busy: false });
      if (mine !== visit || job.state !== 'done') drop();
    }
    if (mine !== visit) return;
    if (job.state === 'done') return show(job, { look: true, early });
    if (job.state === 'failed') throw new api.Problem(job.problem ?? { title: 'The job failed' });
  }

  const written = (job, kind) => job.results.find(one => one.kind === kind && !one.retired)?.SeriesInstanceUID;

  // The overlay of a job, if there is one by now.
  function overlay(job, { look }) {
    const series = written(job, 'SEG');
    return series ? viewer.overlay(job.StudyInstanceUID, job.SeriesInstanceUID, series, { look }) : null;
  }

  // Show what a job found: the overlay, the lesions, and the largest of them in view.
  async function show(job, { look, early = null }) {
    const mine = visit;
    const largest = () => store.get().lesions.find(lesion => !lesion.not_a_lesion);
    viewer.openPanel();
    store.set({ result: job, selected: null });
    const drawing = early?.catch(() => overlay(job, { look })) ?? overlay(job, { look });
    const [drawn] = await Promise.all([drawing, load()]);
    if (mine !== visit) return;
    seg = drawn;
    agree();
    if (look && largest()) select(largest());
    await pause(DRAWN_MS); // what follows would delay the drawing
    await exchange(job);
  }

  // After a change the results are written again. The overlay shows it already; the other results are exchanged, unless
  // another change has come since: then these are on their way out too.
  const renew = guarded(async () => {
    const [mine, change] = [visit, ++changes];
    const outdated = () => mine !== visit || change !== changes;
    let jobs;
    do {
      await pause(POLL_MS);
      jobs = await api.jobs(store.get().study);
      if (outdated()) return;
    } while (jobs.some(job => !FINAL.includes(job.state)));
    const newest = jobs.find(job => job.state === 'done');
    if (!newest || newest.id === store.get().result?.id) return;
    store.set({ result: newest });
    await exchange(newest, seg?.SeriesInstanceUID).catch(error => {
      if (!outdated()) throw error;
    });
  });

  // What the archive has no more goes from the viewer, what is new comes into it; an overlay may stay in its place.
  async function exchange(job, overlay = null) {
    const results = job.results.filter(one => !one.retired && !(overlay && one.kind === 'SEG'));
    const wanted = results.map(one => one.SeriesInstanceUID);
    const gone = ours.filter(series => series !== overlay && !wanted.includes(series));
    ours = overlay ? [overlay, ...wanted] : wanted;
    await viewer.bring(job.StudyInstanceUID, wanted);
    await Promise.all(gone.map(viewer.forget));
  }

  // The lesions of the study and their course.
  async function load() {
    const mine = visit;
    const { study } = store.get();
    const { lesions, patient } = await api.lesions(study);
    const [timeline, changes] = await Promise.all([api.timeline(patient), api.changes(patient)]);
    if (mine !== visit) return;
    store.set({ lesions: withCourse(lesions, timeline, study), patient, timeline, undoable: lastChange(changes) });
  }

  const agree = () => store.set({ lesions: viewer.agree(store.get().lesions, seg) });

  const changed = action =>
    guarded(async (...given) => {
      try {
        await action(...given);
      } finally {
        await load(); // after a refusal too: somebody else's change is what there is now
        agree();
        renew();
      }
    });

  function select(lesion) {
    store.set({ selected: lesion.label });
    viewer.jump(lesion, seg);
  }

  // OHIF shows a report on the first slice, which is air.
  const leadInto = guarded(async report => {
    await viewer.drawn();
    const lesions = store.get().lesions.filter(lesion => !lesion.not_a_lesion);
    const lesion = lesions.find(one => one.label === store.get().selected) ?? lesions[0];
    if (lesion && viewer.shownReport() === report) viewer.jump(lesion, null);
  });

  let report = null;
  const stop = viewer.whenShownChanges(() => {
    const [study, before] = [viewer.shownStudy(), report];
    report = viewer.shownReport();
    if (study && study !== store.get().study) open(study);
    else if (report && report !== before && ours.includes(report)) leadInto(report);
  });

  return {
    store,
    run,
    select,
    step(by) {
      const { lesions, selected } = store.get();
      const listed = lesions.filter(lesion => !lesion.not_a_lesion);
      if (!listed.length) return;
      const at = listed.findIndex(lesion => lesion.label === selected);
      const next = at < 0 ? (by > 0 ? 0 : listed.length - 1) : (at + by + listed.length) % listed.length;
      select(listed[next]);
    },
    cancel: guarded(() => api.cancel(store.get().job.id)),
    change: changed(api.change),
    undo: changed(() => api.undo(store.get().undoable.id)),
    set: changes => store.set(changes),
    end() {
      visit += 1;
      stop();
    },
  };
}
