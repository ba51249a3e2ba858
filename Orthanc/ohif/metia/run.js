// Starting a segmentation: model and series, percent and stage, cancelling, and why a series was chosen.
import { h } from './react.js';
import { stage } from './words.js';

export function runBox({ state, session }) {
  const { models, model, ownSeries, busy, job, lost } = state;
  return h(
    'section',
    null,
    h(
      'div',
      { className: 'metia-row' },
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
    job?.selection && h(reasons, { selection: job.selection }),
    !job && state.result && h(reasons, { selection: state.result.selection })
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

export function problemBox({ problem, session }) {
  const choice = (problem.candidates ?? []).filter(one => !one.excluded);
  return h(
    'div',
    { className: 'metia-problem', role: 'alert' },
    problem.title && h('strong', null, problem.title),
    h('p', null, problem.message),
    problem.advice && h('p', null, problem.advice),
    problem.failed &&
      h('button', { type: 'button', onClick: () => session.retry(problem.failed) }, 'Try again'),
    choice.map(one =>
      h(
        'button',
        { key: one.SeriesInstanceUID, type: 'button', onClick: () => session.run(one.SeriesInstanceUID) },
        `Segment ${one.SeriesDescription || one.SeriesInstanceUID}`
      )
    )
  );
}
