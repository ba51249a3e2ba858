// What a person changes: one after the other, and none of it against another change of the same person.
import * as api from './api.js';

// `get` gives what the panel says now: which lesions there are, and what can be undone.
export function createEdits(get) {
  const mine = new Map(); // a version of a lesion -> the one that this person has made of it
  const key = ({ id, version }) => `${id} ${version}`;
  let last = Promise.resolve();

  // Made on what was seen, and on whatever this person has made of that since.
  async function change(lesion, values) {
    let { version } = lesion;
    while (mine.has(key({ ...lesion, version }))) version = mine.get(key({ ...lesion, version }));
    const before = { ...lesion, version };
    mine.set(key(before), (await api.change(before, values)).version);
  }

  return {
    inTurn(action) {
      const done = last.then(action);
      last = done.catch(() => {});
      return done;
    },
    // Each says whether there is anything left to do: not for the second press of two.
    change: {
      make: change,
      isMade(lesion, values) {
        const now = get().lesions.find(one => one.id === lesion.id);
        return Boolean(now) && Object.keys(values).every(field => now[field] === values[field]);
      },
    },
    undo: { make: api.undo, isMade: ({ id }) => get().undoable?.id !== id },
  };
}
