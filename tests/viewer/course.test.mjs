// What the timeline says of the lesions of a study, in the panel.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withCourse } from './metia/course.js';
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
