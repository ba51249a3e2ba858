// What the timeline says of the lesions of a study, in the panel.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withCourse } from './metia/course.js';
import { changeOf } from './metia/words.js';
import { lesion, open, serve, until, job } from './stubs.mjs';

const size = { longest_diameter_mm: 10 };
const known = (id, name, more = {}) => ({ id, name, role: 'target', sizes: [size, size], within: [null, null], ...more });
const timeline = {
  baseline: 'A',
  visits: [{ StudyInstanceUID: 'A' }, { StudyInstanceUID: 'B' }],
  lesions: [
    known(1, 'plexus', { role: 'not_a_lesion' }),
    known(2, 'sinus', { role: 'not_a_lesion' }),
    known(3, 'L3', { sizes: [size, null], within: [null, 'plexus'] }),
  ],
};
const refused = [lesion(1, 'plexus', { not_a_lesion: true }), lesion(2, 'sinus', { not_a_lesion: true })];

test('what is no lesion is shown where it has taken a lesion in', () => {
  const at = study => withCourse(refused, timeline, study).map(one => [one.name, one.shown, one.holds]);
  assert.deepEqual(at('A'), [
    ['plexus', false, []],
    ['sinus', false, []],
  ]);
  assert.deepEqual(at('B'), [
    ['plexus', true, ['L3']],
    ['sinus', false, []],
  ]);
});

test('before there is a timeline nothing is held', () => {
  const [one] = withCourse([lesion(1, 'L1')], null, 'A');
  assert.deepEqual([one.shown, one.holds], [true, []]);
});

test('the viewer goes to the largest lesion that is shown', async () => {
  serve({
    'GET /jobs?StudyInstanceUID=B': { jobs: [job('b', 'B', 'done')] },
    'GET /studies/B/lesions': { patient: 1, lesions: [...refused].reverse() },
    'GET /patients/1/timeline': timeline,
  });
  const page = open();
  page.enter('B');
  await until(() => page.log.some(one => one.startsWith('jump')));
  assert.equal(page.log.find(one => one.startsWith('jump')), 'jump plexus');
  page.end();
});

// One lesion through three visits; `more` is what the timeline says of it, `last` of the last visit.
function told(sizes, more = {}, last = {}) {
  const visits = ['2024-01-01', '2024-02-01', '2024-03-01'].map((date, number) => ({
    StudyInstanceUID: 'ABC'[number],
    date,
    new_lesions: [],
    equivocal_lesions: [],
  }));
  Object.assign(visits[2], last);
  const nobody = [null, null, null];
  const one = { id: 1, name: 'L1', tracking_uid: '2.25.1', role: 'non_target', within: nobody, absorbed_by: nobody };
  const course = { baseline: 'A', visits, lesions: [{ ...one, not_covered: [false, false, false], sizes, ...more }] };
  if (more.beside) course.lesions.push(more.beside);
  const [seen] = withCourse([lesion(1, 'L1')], course, 'C');
  return changeOf(seen);
}

const of = (longest_diameter_mm, relation = '') => ({ longest_diameter_mm, relation, ambiguous: false });
const L5 = { id: 5, name: 'L5', tracking_uid: '2.25.5', sizes: [of(4), of(4), null] };
const words = [
  ['a size at the visit before', told([of(10), of(10), of(15)]), '+5.0 (+50 %)'],
  ['a visit without a date', told([of(10), of(10), of(15)], {}, { date: null }), 'no date'],
  ['what the server calls new', told([null, null, of(8)], {}, { new_lesions: ['2.25.1'] }), 'new'],
  ['what it does not surely call new', told([null, null, of(8)], {}, { equivocal_lesions: ['2.25.1'] }), 'perhaps new'],
  ['what it does not call new', told([null, null, of(8)]), 'not seen before'],
  ['new since the baseline, and seen before', told([null, of(8), of(10)], {}, { new_lesions: ['2.25.1'] }), '+2.0 (+25 %)'],
  ['outside the images of the visit before', told([of(8), null, of(8)], { not_covered: [false, true, false] }), 'not covered before'],
  ['not found there', told([of(8), null, of(8)]), 'seen again'],
  ['apart from what is no lesion', told([of(8), null, of(8)], { within: [null, 'plexus', null] }), 'was part of plexus'],
  ['apart from a lesion', told([of(8), null, of(8)], { absorbed_by: [null, 'L2', null] }), 'was part of L2'],
  ['a piece of another', told([null, null, of(8, 'split: it lies where L2 was')]), 'split off'],
  ['with another since now', told([of(8), of(8), of(12)], { beside: { ...L5, absorbed_by: [null, null, 'L1'] } }), 'holds L5'],
  ['with another since long', told([of(8), of(12), of(12)], { beside: { ...L5, absorbed_by: [null, 'L1', 'L1'] } }), '±0.0 (±0 %)'],
  ['without another since now', told([of(8), of(12), of(8)], { beside: { ...L5, absorbed_by: [null, 'L1', null] } }), 'held L5 before'],
];
for (const [what, said, text] of words) test(`its change: ${what}`, () => assert.equal(said, text));

test('why a lesion of later is no target', () => {
  const later = more => {
    const course = structuredClone(timeline);
    Object.assign(course.lesions[2], { sizes: [null, size], within: [null, null], role: 'non_target' }, more);
    return withCourse([lesion(3, 'L3')], course, 'B')[0].later;
  };
  assert.equal(later({}), 'It was not there at the baseline');
  assert.equal(later({ not_covered: [true, false] }), 'The images of the baseline do not show its place');
  assert.equal(later({ absorbed_by: ['L2', null] }), 'It was part of L2 at the baseline');
  assert.equal(later({ sizes: [size, size] }), null);
});
