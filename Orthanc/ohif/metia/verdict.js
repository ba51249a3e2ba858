// The response of this visit with its reason, and the way to the follow-up.
import { visitOf } from './course.js';
import { h } from './react.js';
import { response, signed } from './words.js';

export function verdict({ state: { timeline, study, patient } }) {
  const visit = visitOf(timeline, study);
  if (!visit) return null;
  const said = visit.overall ?? visit.radiographic;
  const sum = visit.deciding_sum;
  return h(
    'section',
    { className: 'metia-verdict' },
    said
      ? [h('strong', { key: 'what' }, response(said.response)), h('p', { key: 'why' }, said.sentence)]
      : h('strong', null, visit.role === 'baseline' ? 'Baseline' : `Visit ${visit.role}`),
    sum && sum.total !== null && h('p', null, sumOf(sum, visit.role)),
    visit.notes.map(note => h('p', { key: note, className: 'metia-quiet' }, note)),
    h('a', { href: `/follow-up/${patient}`, target: '_blank', rel: 'noopener' }, 'Follow-up of this patient')
  );
}

function sumOf({ of, unit, total, from_baseline_percent: baseline, from_nadir_percent: nadir }, role) {
  const size = unit === 'mm3' ? `${(total / 1000).toFixed(2)} cm³` : `${total.toFixed(1)} mm`;
  const changes = role === 'baseline' ? [] : [['baseline', baseline], ['nadir', nadir]];
  const told = changes.filter(([, percent]) => percent !== null);
  const words = told.map(([what, percent]) => `${signed(percent, 2)} % from the ${what}`).join(', ');
  return `Sum of the targets' ${of} ${size}${words && `: ${words}`}`;
}
