// What the timeline says of the lesions of a study, in the panel.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withCourse } from './metia/course.js';
import { changeOf } from './metia/words.js';
import { lesion, open, serve, until, job, visit } from './stubs.mjs';

const size = { longest_diameter_mm: 10 };
const known = (id, name, more = {}) => ({
  id,
  name,
  tracking_uid: `2.25.${id}`,
  role: 'target',
  sizes: [size, size],
  not_covered: [false, false],
  within: [null, null],
  absorbed_by: [null, null],
  holds: [[], []],
  ...more,
});
const timeline = {
  baseline: 'A',
  visits: [visit('A'), visit('B')],
  lesions: [
    known(1, 'plexus', { role: 'not_a_lesion', holds: [[], ['L3']] }),
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
  assert.deepEqual([one.shown, one.holds, changeOf(one)], [true, [], '']);
});

test('the viewer goes to the largest lesion that is shown', async () => {
  serve({
    'GET /jobs?StudyInstanceUID=B&which=current': { jobs: [job('b', 'B', 'done')] },
    'GET /studies/B/lesions': { patient: 1, lesions: [...refused].reverse() },
    'GET /patients/1/timeline': timeline,
  });
  const page = open();
  page.enter('B');
  await until(() => page.log.some(one => one.startsWith('jump')));
  assert.equal(page.log.find(one => one.startsWith('jump')), 'jump plexus');
  page.end();
});

// How the change that the timeline has of a lesion is written; `more` is what else it has of its size.
function told(change, more = {}) {
  const course = structuredClone(timeline);
  course.lesions[2].sizes[1] = { ...size, ambiguous: false, change, ...more };
  return changeOf(withCourse([lesion(3, 'L3')], course, 'B')[0]);
}

const grown = { mm: 8, percent: 19.99, why: '' };
const none = { mm: null, percent: null };
const words = [
  ['of a size', told(grown), '+8.0 (+19.99 %)'],
  ['of a size, in doubt', told(grown, { ambiguous: true }), '? +8.0 (+19.99 %)'],
  ['none at all', told({ mm: 0, percent: 0, why: '' }), '±0.0 (±0.00 %)'],
  ['nothing to compare with', told({ ...none, why: 'seen again' }), 'seen again'],
  ['nothing to compare with, in doubt', told({ ...none, why: 'new' }, { ambiguous: true }), '? new'],
];
for (const [what, said, text] of words) test(`its change: ${what}`, () => assert.equal(said, text));

test('why it is no target the server says', () => {
  const course = structuredClone(timeline);
  course.lesions[2].why_no_target = 'Not there';
  const [told] = withCourse([lesion(3, 'L3')], course, 'B');
  assert.equal(told.whyNoTarget, 'Not there');
  assert.equal(withCourse([lesion(1, 'L1')], null, 'A')[0].whyNoTarget, '');
});

test('what would do nothing on a part is to be chosen on the whole', () => {
  const part = lesion(4, 'L4', { part_of: 3, not_a_lesion: true });
  const why = (whole, own) => {
    const course = { ...timeline, lesions: [known(3, 'L3', { not_a_lesion: whole }), known(4, 'L4', { not_a_lesion: own })] };
    const [told] = withCourse([{ ...part, not_a_lesion: whole || own }], course, 'B');
    return [told.whyNoTarget, told.whyNotBack];
  };
  const there = 'Part of L3: choose there';
  assert.deepEqual(why(true, false), [there, there]);
  assert.deepEqual(why(true, true), [there, '']);
  assert.deepEqual(why(false, true), [there, '']);
  assert.deepEqual(why(false, false), [there, '']);
  assert.equal(withCourse(refused, timeline, 'B')[0].whyNotBack, '');
});

test('what a reader says, and can say, is that of the visit, and of a part that of the whole', () => {
  const course = structuredClone(timeline);
  const assessment = { judgements: { '2.25.3': 'equivocal' }, version: 4 };
  course.visits[1] = visit('B', { assessment, judgeable: { '2.25.3': ['new', 'equivocal'] } });
  const parts = [lesion(3, 'L3'), lesion(4, 'L4', { part_of: 3 })];
  for (const { judging } of withCourse(parts, course, 'B')) {
    assert.deepEqual(judging, { uid: '2.25.3', name: 'L3', version: 4, said: 'equivocal', can: ['new', 'equivocal'] });
  }
  const [{ judging }] = withCourse([lesion(1, 'plexus')], course, 'B');
  assert.deepEqual([judging.said, judging.can], [null, []]);
});
