// The response of this visit in one line; and its reason, and the way to the follow-up.
import { visitOf } from './course.js';
import { h } from './react.js';
import { cm3, response, signed } from './words.js';

const judged = visit => visit.overall ?? visit.radiographic;

export function headline({ state: { timeline, study } }) {
  const visit = visitOf(timeline, study);
  if (!visit) return null;
  const said = judged(visit);
  const words = said ? response(said.response) : visit.role === 'baseline' ? 'Baseline' : `Visit ${visit.role}`;
  return h('p', { className: 'metia-response', title: words }, words);
}

export function verdict({ state: { timeline, study, patient } }) {
  const visit = visitOf(timeline, study);
  if (!visit) return null;
  const said = judged(visit);
  const sum = visit.deciding_sum;
  return h(
    'section',
    { className: 'metia-verdict' },
    said && h('p', null, said.sentence),
    sum && sum.total !== null && h('p', null, sumOf(sum, visit.role)),
    visit.notes.map(note => h('p', { key: note, className: 'metia-quiet' }, note)),
    h('a', { href: `/follow-up/${patient}`, target: '_blank', rel: 'noopener' }, 'Follow-up of this patient')
  );
}

function sumOf({ of, unit, total, from_baseline_percent: baseline, from_nadir_percent: nadir }, role) {
  const size = unit === 'mm3' ? `${cm3(total)} cm³` : `${total.toFixed(1)} mm`;
  const changes = role === 'baseline' ? [] : [['baseline', baseline], ['nadir', nadir]];
  const told = changes.filter(([, percent]) => percent !== null);
  const words = told.map(([what, percent]) => `${signed(percent, 2)} % from the ${what}`).join(', ');
  return `Sum of the targets' ${of} ${size}${words && `: ${words}`}`;
}
