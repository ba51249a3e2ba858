// What a reader says of the chosen lesion at this visit; it goes before the rule.
import { h } from './react.js';
import { called, JUDGEMENTS } from './words.js';

const EFFECT = 'A reader’s judgement goes before the rule, at this visit';
const NONE = 'A reader’s judgement of this lesion has no effect at this visit';

// It is there for whichever lesion is chosen, where there is any to be judged: nothing comes and goes under a pointer.
export function judgingBox({ lesions, selected, session }) {
  if (!lesions.some(({ judging: { said, can } }) => said || can.length)) return null;
  const lesion = lesions.find(one => one.label === selected);
  const { name, said, can } = lesion?.judging ?? { said: null, can: [] };
  const choices = Object.keys(JUDGEMENTS).filter(one => can.includes(one) || one === said);
  return h(
    'label',
    { className: 'metia-judging', title: can.length ? EFFECT : NONE },
    h('span', null, lesion ? `Judgement of ${called(name, lesion.role)}` : 'Judgement of the chosen lesion'),
    h(
      'select',
      {
        value: said ?? '',
        disabled: !choices.length,
        onKeyDown: open,
        onChange: event => session.judge(lesion, event.target.value || null),
      },
      h('option', { value: '' }, 'by the rule'),
      choices.map(one => h('option', { key: one, value: one }, inWords(one, can)))
    )
  );
}

// In the row of a lesion that a reader has judged.
export function mark({ said, can }) {
  if (!said) return null;
  const [className, whose] = can.includes(said) ? ['metia-said', 'reader'] : [null, 'no effect'];
  return h('small', { className, title: `By a reader: ${inWords(said, can)}` }, `${whose}: ${JUDGEMENTS[said]}`);
}

const inWords = (one, can) => `${JUDGEMENTS[one]}${can.includes(one) ? '' : ', without effect'}`;

const MOVES = ['ArrowUp', 'ArrowDown', 'ArrowLeft', 'ArrowRight', 'Home', 'End', 'PageUp', 'PageDown'];

// These would enter each judgement on the way to the one that is meant: they open the list instead.
function open(event) {
  if (!MOVES.includes(event.key)) return;
  event.preventDefault();
  event.currentTarget.showPicker();
}
