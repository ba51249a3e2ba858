// Starting a segmentation: model and series, percent and stage, cancelling, and why a series was chosen.
import { h } from './react.js';
import { stage } from './words.js';

export function runBox({ state, session }) {
  const { models, model, ownSeries, busy, job, lost } = state;
  // What was run last need not be what is shown: it may have been cancelled.
  const told = job && (busy || !state.result) ? job : state.result;
  return h(
    'section',
    null,
    h(
      'div',
      { className: 'metia-row metia-run' },
      h(
        'select',
        {
          'aria-label': 'Model',
          value: model,
          disabled: busy,
          onChange: event => session.set({ model: event.target.value }),
        },
        models.map(one => h('option', { key: one.name, value: one.name }, `${one.name} ${one.version}`))
      ),
      h(
        'select',
        {
          'aria-label': 'Series',
          value: String(ownSeries),
          disabled: busy,
          onChange: event => session.set({ ownSeries: event.target.value === 'true' }),
        },
        h('option', { value: 'false' }, 'choose the series'),
        h('option', { value: 'true' }, 'the series shown')
      ),
      h(
        'button',
        { type: 'button', className: 'metia-primary', disabled: busy, onClick: () => session.run() },
        state.result ? 'Again' : 'Run'
      )
    ),
    busy && job && h(progress, { job, session }),
    lost && h('p', { className: 'metia-lost', role: 'status' }, 'Connection lost, trying again.'),
    !busy && job && job.state === 'cancelled' && h('p', { role: 'status' }, 'Cancelled.'),
    told?.selection && h(reasons, { selection: told.selection })
  );
}

function progress({ job, session }) {
  return h(
    'div',
    { className: 'metia-row', role: 'status' },
    h('progress', { max: 100, value: job.percent, 'aria-label': 'Progress' }),
    h('span', { className: 'metia-stage' }, `${job.percent} % ${stage(job)}`),
    h(
      'button',
      { type: 'button', disabled: job.cancel_requested, onClick: () => session.cancel() },
      job.cancel_requested ? 'Cancelling' : 'Cancel'
    )
  );
}

function reasons({ selection: { chosen, candidates, named_by_caller: named } }) {
  const others = candidates.filter(one => one.SeriesInstanceUID !== chosen.SeriesInstanceUID);
  return h(
    'details',
    null,
    h('summary', null, `Series: ${chosen.SeriesDescription || 'no description'}${named ? ' (named by hand)' : ''}`),
    h('ul', null, chosen.reasons.map(reason => h('li', { key: reason }, reason))),
    others.length > 0 && h('p', null, 'Not chosen:'),
    h(
      'ul',
      null,
      others.map(one =>
        h(
          'li',
          { key: one.SeriesInstanceUID },
          `${one.SeriesDescription || one.Modality}: ${one.excluded ?? (one.reasons.join(', ') || 'fewer points')}`
        )
      )
    )
  );
}

const SERIES_SELECTION = 'urn:metia:problem:series-selection';

export function problemBox({ problem, session }) {
  return h(
    'div',
    { className: 'metia-problem', role: 'alert' },
    h(
      'button',
      { type: 'button', className: 'metia-close', 'aria-label': 'Close', onClick: () => session.dismiss() },
      '✕'
    ),
    problem.title && h('strong', null, problem.title),
    problem.type === SERIES_SELECTION
      ? h(choice, { problem, session })
      : [problem.message, problem.advice].filter(Boolean).map(text => h('p', { key: text }, text)),
    problem.failed &&
      h('button', { type: 'button', onClick: () => session.retry(problem.failed) }, 'Try again')
  );
}

// Which series a person can take, and why MetIA did not take the others.
function choice({ problem, session }) {
  const able = problem.candidates.filter(one => !one.excluded);
  const others = problem.candidates.filter(one => one.excluded && one.Modality === 'MR');
  return [
    h(
      'p',
      { key: 'what' },
      able.length
        ? 'Which series is the T1 volume after contrast is not certain. Choose it here; or '
        : 'No series looks like a T1 volume after contrast. If one is all the same, ',
      'show it in the viewer, choose "the series shown" above, and press Run.'
    ),
    able.map(one =>
      h(
        'button',
        { key: one.SeriesInstanceUID, type: 'button', onClick: () => session.run(one.SeriesInstanceUID) },
        `Segment ${one.SeriesDescription || one.SeriesInstanceUID}`
      )
    ),
    others.length > 0 && h('p', { key: 'not' }, 'Not taken:'),
    h('ul', { key: 'others' }, others.map(one => h('li', { key: one.SeriesInstanceUID }, notTaken(one)))),
  ];
}

const notTaken = one => `${one.SeriesDescription || 'no description'}: ${one.excluded}`;
