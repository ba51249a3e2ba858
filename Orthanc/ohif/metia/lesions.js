// The table of lesions: sort, jump, rename, target, "not a lesion", undo.
import { visitOf } from './course.js';
import { judgingBox, mark } from './judging.js';
import { h, useEffect, useMemo, useRef, useState } from './react.js';
import { changeOf, cm3, decision, size, who } from './words.js';

const ORDERS = {
  name: { title: 'Lesion', by: lesion => lesion.name, compare: (a, b) => a.localeCompare(b, undefined, { numeric: true }) },
  size: { title: 'mm', long: 'Longest × perpendicular diameter', by: lesion => -lesion.longest_diameter_mm },
  change: { title: 'change', long: 'Of the longest diameter since the visit before', by: byChange },
  volume: { title: 'cm³', long: 'Volume', by: lesion => -lesion.volume_mm3 },
};

const NAME_TAKEN = 'urn:metia:problem:name-taken';

function byChange(lesion) {
  return -(lesion.change?.mm ?? (lesion.change?.why.endsWith('new') ? Infinity : -Infinity));
}

export function lesionTable({ state: { study, timeline, lesions, selected, undoable }, session }) {
  const [order, setOrder] = useState({ key: 'volume' });
  const listed = lesions.map(lesion => lesion.id).sort().join();
  // Rows stay in their place whatever is decided, for somebody points at them: only another list, or wish, moves them.
  const places = useMemo(() => inOrder(lesions, ORDERS[order.key]), [order, listed]);
  // The keys go through them as they stand.
  useEffect(() => session.set({ places }), [places]);
  const sorter = key =>
    h(
      'button',
      {
        type: 'button',
        title: ORDERS[key].long,
        'aria-pressed': key === order.key,
        onClick: () => setOrder({ key }),
      },
      ORDERS[key].title
    );
  if (!lesions.length) {
    return h('p', { className: 'metia-none' }, visitOf(timeline, study)?.none_counts || 'No lesion was found.');
  }
  const rows = places.map(id => lesions.find(lesion => lesion.id === id));
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
        rows.map(lesion => h(row, { key: lesion.id, lesion, chosen: lesion.label === selected, session }))
      )
    ),
    h(judgingBox, { lesions, selected, session }),
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

const smallerFirst = (a, b) => (a > b) - (a < b);

function inOrder(lesions, { by, compare = smallerFirst }) {
  const before = (a, b) => compare(by(a), by(b)) || a.label - b.label;
  return [...lesions].sort((a, b) => a.not_a_lesion - b.not_a_lesion || before(a, b)).map(lesion => lesion.id);
}

function row({ lesion, chosen, session }) {
  const target = lesion.role === 'target';
  const change = changeOf(lesion);
  const colour = lesion.colour ? `rgb(${lesion.colour.join(',')})` : 'transparent';
  const place = useRef(null);
  useEffect(() => {
    // No row moves away under the pointer.
    if (chosen && !place.current.matches(':hover')) place.current.scrollIntoView({ block: 'nearest' });
  }, [chosen]);
  const unfit = lesion.not_a_lesion ? 'It is no lesion' : lesion.whyNoTarget;
  return h(
    'tr',
    {
      ref: place,
      className: [
        chosen && 'metia-chosen',
        lesion.not_a_lesion && 'metia-refused',
        lesion.judging.said && 'metia-judged',
      ]
        .filter(Boolean)
        .join(' '),
      'data-lesion': lesion.name,
      onClick: () => session.select(lesion),
    },
    h(
      'td',
      null,
      h('input', {
        type: 'checkbox',
        className: 'mousetrap', // OHIF's shortcuts work from here too
        checked: target,
        disabled: Boolean(unfit),
        title: unfit || (target ? 'Target lesion: counts in the sum' : 'Make it a target lesion'),
        'aria-label': `${lesion.name} is a target`,
        onClick: event => event.stopPropagation(),
        onChange: () => session.change(lesion, { target: !target }),
      }),
      h('i', { className: 'metia-colour', style: { background: colour } })
    ),
    h(nameCell, { lesion, chosen, session }),
    h(
      'td',
      null,
      size(lesion),
      h('small', { title: lesion.doubtful ? `${change}: which lesion of the visit before this is, is not certain` : change }, change)
    ),
    h('td', null, cm3(lesion.volume_mm3)),
    h(
      'td',
      null,
      h(
        'button',
        {
          type: 'button',
          disabled: Boolean(lesion.whyNotBack),
          title: lesion.whyNotBack || (lesion.not_a_lesion ? 'It is a lesion' : 'Not a lesion'),
          'aria-label': `${lesion.name} is ${lesion.not_a_lesion ? 'a lesion' : 'not a lesion'}`,
          onClick: event => {
            event.stopPropagation();
            if (event.detail > 1) return; // the second press of a double click is not meant to take the first back
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
  const edit = () => setEdited({ lesion, name: lesion.name });
  // The field goes when the name is changed, or is not to be; a name that another lesion has is kept for another try.
  const end = async ({ keep, byKey }) => {
    if (edited.sent) return;
    const name = edited.name.trim();
    let taken = false;
    if (keep && name && name !== edited.lesion.name) {
      setEdited({ ...edited, sent: true });
      taken = (await session.change(edited.lesion, { name }))?.type === NAME_TAKEN;
    } else if (edited.taken) session.dismiss();
    setBack(byKey);
    setEdited(taken ? { ...edited, taken } : null);
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
          h('span', null, lesion.name)
        ),
    mark(lesion.judging)
  );
}
