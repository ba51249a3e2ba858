// The response of this visit with its reason, and the way to the follow-up.
import { visitOf } from './course.js';
import { h } from './react.js';
import { response, signed } from './words.js';

export function verdict({ state: { timeline, study, patient } }) {
  const visit = visitOf(timeline, study);
  if (!visit) return null;
  const said = visit.overall ?? visit.radiographic;
  const sum = visit.sum_of_diameters;
  return h(
    'section',
    { className: 'metia-verdict' },
    said
      ? [h('strong', { key: 'what' }, response(said.response)), h('p', { key: 'why' }, whole(said))]
      : h('strong', null, visit.role === 'baseline' ? 'Baseline' : `Visit ${visit.role}`),
    sum && sum.total !== null && h('p', null, sumOf(sum, visit.role)),
    visit.notes.map(note => h('p', { key: note, className: 'metia-quiet' }, note)),
    h('a', { href: `/follow-up/${patient}`, target: '_blank', rel: 'noopener' }, 'Follow-up of this patient')
  );
}

const whole = ({ reason, confirmation }) => [reason, confirmation].filter(Boolean).join('. ');

function sumOf(sum, role) {
  const words = `Sum of the targets' diameters ${sum.total.toFixed(1)} mm`;
  if (role === 'baseline' || sum.from_baseline_percent === null) return words;
  return `${words}: ${signed(sum.from_baseline_percent, 2)} % from the baseline, ${signed(sum.from_nadir_percent, 2)} % from the smallest`;
}
