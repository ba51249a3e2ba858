// The table of lesions: sort, jump, rename, target, "not a lesion", undo.
import { h, useState } from './react.js';
import { changeOf, cm3, decision, signed, size, who } from './words.js';

const ORDERS = {
  name: { title: 'Lesion', by: lesion => lesion.name },
  size: { title: 'mm', long: 'Longest × perpendicular diameter', by: lesion => -lesion.longest_diameter_mm },
  change: { title: 'change', long: 'Of the longest diameter since the visit before', by: byChange },
  volume: { title: 'cm³', long: 'Volume', by: lesion => -lesion.volume_mm3 },
};

function byChange(lesion) {
  return -(lesion.change?.mm ?? (lesion.change?.why.endsWith('new') ? Infinity : -Infinity));
}

export function lesionTable({ state: { lesions, selected, undoable }, session }) {
  const [order, setOrder] = useState('volume');
  const { by } = ORDERS[order];
  const sorted = [...lesions].sort(
    (a, b) => a.not_a_lesion - b.not_a_lesion || (by(a) < by(b) ? -1 : by(a) > by(b) ? 1 : a.label - b.label)
  );
  const sorter = key =>
    h(
      'button',
      { type: 'button', title: ORDERS[key].long, 'aria-pressed': key === order, onClick: () => setOrder(key) },
      ORDERS[key].title
    );
  if (!lesions.length) return h('p', { className: 'metia-none' }, 'No lesion was found.');
  return h(
    'section',
    null,
    h(
      'table',
      { className: 'metia-lesions' },
      h(
        'thead',
        null,
        h(
          'tr',
          null,
          h('th', { title: 'Target lesion' }, '◎'),
          h('th', null, sorter('name')),
          h('th', null, sorter('size'), sorter('change')),
          h('th', null, sorter('volume')),
          h('th', null)
        )
      ),
      h(
        'tbody',
        null,
        sorted.map(lesion => h(row, { key: lesion.id, lesion, chosen: lesion.label === selected, session }))
      )
    ),
    h(
      'div',
      { className: 'metia-row' },
      h('span', { className: 'metia-quiet' }, 'Keys: j next, k previous, F2 on a name to change it, or click it twice.'),
      undoable &&
        h(
          'button',
          { type: 'button', className: 'metia-undo', title: who(undoable), onClick: () => session.undo() },
          `Undo: ${decision(undoable, lesions)}`
        )
    )
  );
}

function row({ lesion, chosen, session }) {
  const target = lesion.role === 'target';
  const unfit = whyFixed(lesion);
  return h(
    'tr',
    {
      className: [chosen && 'metia-chosen', lesion.not_a_lesion && 'metia-refused'].filter(Boolean).join(' '),
      'data-lesion': lesion.name,
      onClick: () => session.select(lesion),
    },
    h(
      'td',
      null,
      h('input', {
        type: 'checkbox',
        checked: target,
        disabled: Boolean(unfit),
        title: unfit ?? (target ? 'Target lesion: counts in the sum' : 'Make it a target lesion'),
        'aria-label': `${lesion.name} is a target`,
        onClick: event => event.stopPropagation(),
        onChange: () => session.change(lesion, { target: !target }),
      })
    ),
    h(nameCell, { lesion, chosen, session }),
    h(
      'td',
      null,
      size(lesion),
      h('small', { title: lesion.doubtful ? 'Which lesion of the visit before this is, is not certain' : '' }, changeOf(lesion))
    ),
    h('td', null, cm3(lesion)),
    h(
      'td',
      null,
      h(
        'button',
        {
          type: 'button',
          title: lesion.not_a_lesion ? 'It is a lesion' : 'Not a lesion',
          'aria-label': `${lesion.name} is ${lesion.not_a_lesion ? 'a lesion' : 'not a lesion'}`,
          onClick: event => {
            event.stopPropagation();
            session.change(lesion, { not_a_lesion: !lesion.not_a_lesion });
          },
        },
        lesion.not_a_lesion ? '↺' : '✕'
      )
    )
  );
}

// A name, or the field in which it is changed. What is changed is the lesion as it was when the field was opened: what
// somebody else has made of it since is not overwritten unseen.
function nameCell({ lesion, chosen, session }) {
  const [edited, setEdited] = useState(null);
  const [back, setBack] = useState(false); // whether the name takes the keys again when the field is gone
  const colour = lesion.colour ? `rgb(${lesion.colour.join(',')})` : 'transparent';
  const edit = () => setEdited({ lesion, name: lesion.name });
  const end = ({ keep, byKey }) => {
    const name = edited.name.trim();
    if (keep && name && name !== edited.lesion.name) session.change(edited.lesion, { name });
    setBack(byKey);
    setEdited(null);
  };
  const opens = event => {
    if (event.key !== 'F2' && !(event.key === 'Enter' && chosen)) return;
    event.preventDefault(); // nor is it a click
    event.stopPropagation();
    if (!event.repeat) edit();
  };
  const ends = event => {
    event.stopPropagation(); // letters are OHIF's shortcuts elsewhere
    if (event.key !== 'Enter' && event.key !== 'Escape') return;
    event.preventDefault();
    if (!event.repeat) end({ keep: event.key === 'Enter', byKey: true });
  };
  return h(
    'td',
    { onDoubleClick: edited ? null : edit },
    h('i', { className: 'metia-colour', style: { background: colour } }),
    edited
      ? h('input', {
          className: 'metia-rename',
          'aria-label': 'New name',
          autoFocus: true,
          maxLength: 64,
          value: edited.name,
          onChange: event => setEdited({ ...edited, name: event.target.value }),
          onBlur: () => end({ keep: true, byKey: false }),
          onKeyDown: ends,
        })
      : h(
          'button',
          {
            type: 'button',
            className: 'metia-name',
            title: `${lesion.name} (F2, or Enter once it is chosen, or two clicks: change the name)`,
            autoFocus: back,
            onKeyDown: opens,
          },
          lesion.name
        )
  );
}

// Targets are lesions of the baseline that can be measured.
function whyFixed({ role, later, not_a_lesion: refused, measurable, measurable_reason: reason }) {
  if (refused) return 'It is no lesion';
  if (later && role === 'target') return 'It counts with the target that it was a part of';
  if (later || role === 'new') return later ?? 'It was not there at the baseline';
  return measurable || role === 'target' ? null : reason;
}
