// Which study the panel is about: the one in the active viewport. Several may be open side by side.
import { createStore } from './store.js';
import { createVisit, EMPTY, unknown } from './visit.js';

export function createSession(viewer) {
  const store = createStore({ ...EMPTY, models: [], model: '', ownSeries: false, places: [] });
  const studies = new Map(); // what is known of each that was open
  let visit = null;
  let report = null;

  function enter(study) {
    visit?.leave();
    const opening = studies.size === 0;
    if (!studies.has(study)) studies.set(study, unknown(study));
    const known = studies.get(study);
    store.set(known.state);
    visit = createVisit({ viewer, store, known });
    visit.begin({ opening });
  }

  const stop = viewer.whenShownChanges(() => {
    const [study, before] = [viewer.shownStudy(), report];
    report = viewer.shownReport();
    if (study && study !== store.get().study) enter(study);
    else if (report && report !== before) visit?.leadInto(report);
  });

  return {
    store,
    run: series => visit?.run(series),
    retry: job => visit?.retry(job),
    cancel: () => visit?.cancel(),
    select: lesion => visit?.select(lesion),
    step: by => visit?.step(by),
    change: (lesion, values) => visit?.change(lesion, values),
    judge: (lesion, said) => visit?.judge(lesion, said),
    undo: () => visit?.undo(),
    dismiss: () => visit?.dismiss(),
    set: changes => store.set(changes),
    end() {
      visit?.leave();
      stop();
    },
  };
}
