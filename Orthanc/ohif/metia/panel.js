// The panel: what runs, what went wrong, the response, the lesions, and how good all this was measured to be.
import { lesionTable } from './lesions.js';
import { h, useStore } from './react.js';
import { problemBox, runBox } from './run.js';
import { createStore } from './store.js';
import { headline, verdict } from './verdict.js';

const NOTHING = createStore({ study: null });

export function panel(session) {
  const state = useStore(session?.store ?? NOTHING);
  if (!state.study) return h('div', { className: 'metia' }, h('p', { className: 'metia-quiet' }, 'No study is open.'));
  return h(
    'div',
    { className: 'metia', onKeyDown: keep },
    h(runBox, { state, session }),
    state.result && h(headline, { state }),
    // What grows and shrinks with each decision comes below the table: no row moves away under the pointer.
    state.result && h(lesionTable, { state, session }),
    state.problem && h(problemBox, { problem: state.problem, session }),
    state.result && h(verdict, { state }),
    state.result && h(provenance, { job: state.result })
  );
}

// These press the button that has the keys. OHIF takes Enter for itself, and nothing would be pressed.
function keep(event) {
  if (event.key === 'Enter' || event.key === ' ') event.stopPropagation();
}

function provenance({ job }) {
  return h(
    'footer',
    { className: 'metia-quiet' },
    job.model && h('p', null, `${job.model.name} ${job.model.version}. ${job.model.statement}`),
    h('p', null, job.notice)
  );
}
