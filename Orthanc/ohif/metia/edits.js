// What a person changes: one after the other, and none of it against another change of the same person.
import * as api from './api.js';

// `get` gives what the panel says now: which lesions there are, and what can be undone.
export function createEdits(get) {
  const mine = new Map(); // a version of a lesion, or of the visit -> the one that this person has made of it
  let last = Promise.resolve();
  const now = lesion => get().lesions.find(one => one.id === lesion.id);

  // Made on what was seen, and on whatever this person has made of that since.
  async function make(what, seen, request) {
    let version = seen;
    while (mine.has(`${what} ${version}`)) version = mine.get(`${what} ${version}`);
    const made = await request(version);
    if (made.version !== version) mine.set(`${what} ${version}`, made.version);
  }

  return {
    inTurn(action) {
      const done = last.then(action);
      last = done.catch(() => {});
      return done;
    },
    // Each says whether there is anything left to do: not for the second press of two.
    change: {
      make: (lesion, values) =>
        make(lesion.id, lesion.version, version => api.change({ ...lesion, version }, values)),
      isMade(lesion, values) {
        const there = now(lesion);
        return Boolean(there) && Object.keys(values).every(field => there[field] === values[field]);
      },
    },
    judge: {
      make: ({ judging: { uid, version: seen } }, said) =>
        make('visit', seen, version => api.judge(get().study, version, uid, said)),
      isMade: (lesion, said) => now(lesion)?.judging.said === said,
    },
    undo: { make: api.undo, isMade: ({ id }) => get().undoable?.id !== id },
  };
}
