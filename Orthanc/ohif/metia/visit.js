// A stay at one study: its jobs, its lesions, and what a person does to them. What is still under way when the study is
// left ends there: nothing that is said of it, answer or error, reaches the panel of another.
import * as api from './api.js';
import { insist, pause } from './asking.js';
import { lastChange, visitOf, withCourse } from './course.js';
import { createEdits } from './edits.js';
import { failure, isOpen, latest, newestFirst, underWay, written } from './jobs.js';

const POLL_MS = 400;
const SOON_MS = 100; // when what is left takes a second or two
const SOON_DONE = ['measuring', 'writing'];
const DRAWN_MS = 500;
const LOOK_MS = 15000; // for what is done elsewhere

const NO_MR = {
  title: 'No MR series is shown',
  detail: 'The series shown is to be segmented, and the active viewport shows none of MR.',
  what_to_do: 'Show an MR series there, or have MetIA choose the series.',
};

const IDLE = { job: null, busy: false, lost: false, problem: null };
export const EMPTY = {
  ...IDLE,
  study: null,
  result: null,
  patient: null,
  lesions: [],
  timeline: null,
  undoable: null,
  selected: null,
};

// What outlasts a stay: what the panel said last, the overlay that was shown with the segmentation it is of, and the
// series of results that the viewer knows.
export const unknown = study => ({ state: { ...EMPTY, study }, seg: null, segmented: null, ours: [] });

export function createVisit({ viewer, store, known }) {
  const { study } = known.state;
  let over = false;
  let changes = 0; // how many a person has made
  let told = null; // the failure that was told last
  let loads = 0; // how often lesions and course were asked for
  let loaded = { number: 0, said: '' }; // the newest answer

  const get = () => known.state;
  const set = news => {
    if (over) return;
    known.state = { ...known.state, ...news };
    store.set(news);
  };
  const here = promise =>
    Promise.resolve(promise).finally(() => {
      if (over) throw new Error('The study was left.');
    });
  const asked = question => insist(question, { here, tell: lost => lost !== get().lost && set({ lost }) });
  const listed = () => asked(() => api.jobs(study)).then(newestFirst);

  // What goes wrong is told, and given.
  const guarded = action => async (...given) => {
    try {
      return await action(...given);
    } catch (error) {
      set({ problem: error });
      return error;
    }
  };
  // What a person does: it ends what was said before.
  const act = action =>
    guarded((...given) => {
      set({ problem: null });
      return action(...given);
    });

  // The models there are, and what the study has. The image that the viewer opens with, nobody's choice unless the
  // address names it, gives way to the segmented series.
  const open = guarded(async ({ opening }) => {
    const [{ models, default: standard }, jobs] = await Promise.all([asked(api.models), listed()]);
    store.set({ models, model: store.get().model || standard });
    const look = !/initialSOPInstanceUID=/i.test(location.search);
    await take(jobs, { look, replace: opening && look });
  });

  // From then on, what is done elsewhere shows here: an automatic job, a new segmentation, what others change, what is
  // entered on the follow-up page. Nobody who has a result before them is led to another place by it.
  const watch = guarded(async () => {
    for (;;) {
      await here(pause(LOOK_MS));
      if (!document.hidden && !get().busy) await glance();
    }
  });

  const glance = guarded(async () => {
    const { result } = get();
    const jobs = await listed();
    if (get().result !== result) return; // what a person did meanwhile was followed already
    if (!result || underWay(jobs) || latest(jobs)?.result.id !== result.id) {
      await take(jobs, { look: !result });
    } else {
      tell(jobs[0]);
      await load();
    }
  });

  // A stored result is shown, a failure is told, a job under way is followed.
  async function take(jobs, { look = true, replace = false } = {}) {
    if (get().busy) return;
    const found = latest(jobs);
    const running = underWay(jobs);
    if (found) await show(found.result, { segmented: found.segmented.id, look, replace });
    tell(jobs[0]);
    if (running && !get().busy) await follow(running, { look });
  }

  function tell(job) {
    const problem = failure(job);
    if (!problem || problem.failed === told) return;
    told = problem.failed;
    viewer.openPanel();
    set({ problem });
  }

  // A job that a person wants, or the one that is in its way, is followed. What it finds may take the place of another
  // image in the viewport.
  const start = request =>
    act(async (...given) => {
      if (get().busy) return;
      viewer.openPanel();
      set({ busy: true, job: null });
      try {
        await follow(await here(request(...given).catch(instead)), { replace: true });
      } finally {
        set({ busy: false });
      }
    });

  async function instead(problem) {
    const other = problem.job && (await api.at(problem.job));
    if (other?.StudyInstanceUID !== study) throw problem;
    set({ problem });
    return other;
  }

  async function wanted(series) {
    const { model, ownSeries } = store.get();
    const chosen = series ?? (ownSeries ? viewer.shownMr() : null);
    if (ownSeries && !chosen) throw new api.Problem(NO_MR);
    return api.segment({
      StudyInstanceUID: study,
      ...(model ? { model } : {}),
      ...(chosen ? { SeriesInstanceUID: chosen } : {}),
    });
  }

  async function follow(job, { look = true, replace = false } = {}) {
    let early = null; // the overlay, begun while the other results are still being written
    const drop = () => {
      early?.then(seg => seg && viewer.forget(seg.SeriesInstanceUID)).catch(() => {});
      early = null;
    };
    set({ job, busy: true });
    try {
      while (isOpen(job)) {
        await here(pause(SOON_DONE.includes(job.state) ? SOON_MS : POLL_MS));
        const { id } = job;
        job = await asked(() => api.job(id));
        set({ job });
        if (job.state === 'writing' && job.purpose === 'segment') {
          early ??= overlay(job, written(job, 'SEG'), { look, replace });
          early?.catch(() => {}); // whoever waits for it hears of it
        } else if (isOpen(job)) drop(); // tried again later
      }
    } finally {
      set({ busy: false });
      if (over || job.state !== 'done') drop();
    }
    told = null; // a job that is tried again keeps its name
    tell(job);
    const segmented = job.purpose === 'segment' ? job.id : known.segmented;
    if (job.state === 'done') await show(job, { segmented, look, replace, early });
  }

  const overlay = (job, series, options) =>
    series ? viewer.overlay(job.StudyInstanceUID, job.SeriesInstanceUID, series, options) : null;

  // A failure that was told is over once there is a newer result; one that is newer still is told again.
  function settle() {
    if (!get().problem?.failed) return;
    told = null;
    set({ problem: null });
  }

  // Show what a job found: the overlay, and the largest of its lesions in view, once; after that only the panel changes.
  async function show(job, { segmented, look, replace = false, early = null }) {
    const fresh = !known.seg || known.segmented !== segmented;
    settle();
    set({ result: job, job: null });
    let drawing = null;
    if (fresh) {
      viewer.openPanel();
      set({ selected: null });
      const draw = () => overlay(job, written(job, 'SEG'), { look, replace });
      drawing = (early?.catch(draw) ?? Promise.resolve(draw())).then(seg => Object.assign(known, { seg, segmented }));
    }
    await here(Promise.all([drawing, load()]));
    agree();
    if (fresh) {
      const largest = get().lesions.find(lesion => lesion.shown);
      if (look && known.seg && largest && get().selected === null) goTo(largest);
      await here(pause(DRAWN_MS)); // what follows would delay the drawing
    }
    await exchange(job);
  }

  // After a change the results are written again. The overlay shows it already; the other results are exchanged, unless
  // another change has come since: then these are on their way out too.
  const renew = guarded(async () => {
    const change = ++changes;
    let jobs;
    do {
      await here(pause(POLL_MS));
      jobs = await listed();
      if (change !== changes) return;
    } while (jobs.some(isOpen));
    tell(jobs[0]);
    const result = latest(jobs)?.result;
    if (!result || result.id === get().result?.id) return;
    set({ result });
    await exchange(result).catch(error => {
      if (change === changes) throw error;
    });
  });

  // What the archive has no more goes from the viewer, what is new comes into it; an overlay stays in its place.
  async function exchange(job) {
    const drawn = known.seg?.SeriesInstanceUID;
    const wanted = job.results
      .filter(one => !one.retired && !(drawn && one.kind === 'SEG'))
      .map(one => one.SeriesInstanceUID);
    const kept = drawn ? [drawn, ...wanted] : wanted;
    const gone = known.ours.filter(series => !kept.includes(series));
    known.ours = kept;
    await viewer.bring(study, wanted);
    await Promise.all(gone.map(viewer.forget));
  }

  // The lesions of the study and their course. An answer that a later one has overtaken is let go, and one that says
  // nothing new touches nothing.
  async function load() {
    const number = ++loads;
    const { lesions, patient } = await asked(() => api.lesions(study));
    const [timeline, made] = await Promise.all([
      asked(() => api.timeline(patient)),
      asked(() => api.changes(patient)),
    ]);
    if (number < loaded.number) return;
    const [before, said] = [loaded.said, JSON.stringify([lesions, patient, timeline, made])];
    loaded = { number, said };
    if (said === before) return;
    const told = viewer.agree(withCourse(lesions, timeline, study), known.seg);
    set({ lesions: told, patient, timeline, undoable: lastChange(made, lesions, visitOf(timeline, study)) });
  }

  const agree = () => set({ lesions: viewer.agree(get().lesions, known.seg) });

  const edits = createEdits(get);
  const edit = ({ make, isMade }) =>
    act((...given) =>
      edits.inTurn(async () => {
        if (isMade(...given)) return;
        try {
          await here(make(...given));
        } finally {
          await load(); // after a refusal too: somebody else's change is what there is now
          renew();
        }
      })
    );
  const undo = edit(edits.undo);

  function goTo(lesion) {
    set({ selected: lesion.label });
    viewer.jump(lesion, known.seg);
  }

  // A lesion that a person goes to is shown with its overlay. Another image gives way to it only if the overlay has not
  // been shown yet: whoever puts one there afterwards wants to see the lesion's place in it.
  const select = guarded(async lesion => {
    const { result } = get();
    const series = known.seg?.SeriesInstanceUID ?? written(result, 'SEG');
    set({ selected: lesion.label });
    const seg = await here(overlay(result, series, { look: false, replace: !known.seg }));
    if (seg && !known.seg) {
      known.seg = seg;
      agree();
    }
    if (get().selected === lesion.label) viewer.jump(lesion, known.seg);
  });

  return {
    begin: how => open(how).then(watch),
    run: start(wanted),
    retry: start(api.retry),
    select,
    step(by) {
      const { lesions, selected } = get();
      const { places } = store.get();
      const place = ({ id }) => places.indexOf(id);
      const there = lesions.filter(lesion => lesion.shown).sort((a, b) => place(a) - place(b));
      if (!there.length) return;
      const at = there.findIndex(lesion => lesion.label === selected);
      const next = at < 0 ? (by > 0 ? 0 : there.length - 1) : (at + by + there.length) % there.length;
      select(there[next]);
    },
    cancel: act(() => here(api.cancel(get().job.id))),
    change: edit(edits.change),
    judge: edit(edits.judge),
    undo: () => undo(get().undoable),
    dismiss: () => set({ problem: null }),
    // OHIF shows a report on the first slice, which is air.
    leadInto: guarded(async report => {
      if (!known.ours.includes(report)) return;
      await here(viewer.drawn());
      const there = get().lesions.filter(lesion => lesion.shown);
      const lesion = there.find(one => one.label === get().selected) ?? there[0];
      if (lesion && viewer.shownReport() === report) viewer.jump(lesion, null);
    }),
    leave() {
      known.state = { ...known.state, ...IDLE };
      over = true;
    },
  };
}
