// What a person decides of lesions: in whose name, and what can be taken back.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lastChange } from './metia/course.js';
import { decision } from './metia/words.js';
import { job, lesion, open, serve, until } from './stubs.mjs';

const LESIONS = [lesion(1, 'L1'), lesion(3, 'L3'), lesion(4, 'L4', { part_of: 2 })];
const change = (id, subject_id, more = {}) => ({
  id,
  subject: 'lesion',
  subject_id,
  before: { not_a_lesion: false },
  after: { not_a_lesion: true },
  by: 'ana',
  at: '2026-01-02T03:04:05.000+00:00',
  undoes: null,
  ...more,
});

const cases = [
  ['the newest of a lesion in the list', [change(9, 3), change(8, 1)], 9],
  ['what was said of a visit is not undone here', [change(9, 1, { subject: 'visit' }), change(8, 1)], 8],
  ['nor what was said of a lesion of another visit', [change(9, 7), change(8, 1)], 8],
  ['a part of a lesion is one in the list', [change(9, 2)], 9],
  ['what was undone, and undoing, is not undone', [change(9, 3, { undoes: 8 }), change(8, 3), change(7, 1)], 7],
  ['nothing', [change(9, 7)], undefined],
];
for (const [what, changes, id] of cases) {
  test(what, () => assert.equal(lastChange(changes, LESIONS)?.id, id));
}

const words = [
  [{}, '"not a lesion" of L3'],
  [{ before: { name: 'L3' }, after: { name: 'left frontal' } }, 'name "left frontal" of L3'],
  [{ before: { target: true }, after: { target: false } }, '"no target" of L3'],
  [{ before: { target: null }, after: { target: true } }, '"target" of L3'],
  [{ before: { merged_into: null }, after: { merged_into: 1 } }, 'merging of L3'],
  [{ before: { split_from: null, split_at: null }, after: { split_from: 1, split_at: '1.2' } }, 'splitting of L3'],
];
for (const [more, text] of words) {
  test(`in words: ${text}`, () => assert.equal(decision(change(9, 3, more), LESIONS), text));
}

test('changes and undoing are made in the name of whoever is entered on the follow-up page', async () => {
  const server = serve({
    'GET /jobs?StudyInstanceUID=A': { jobs: [job('a', 'A', 'done')] },
    'GET /patients/1/changes': { changes: [change(9, 1)] },
  });
  const page = open();
  page.enter('A');
  await until(() => page.state().undoable);
  const sent = async action => {
    const before = server.requests.length;
    await action();
    return server.requests.slice(before).find(one => !one.asked.startsWith('GET'));
  };
  assert.equal((await sent(() => page.session.undo())).headers.get('X-User'), null);
  localStorage.setItem('metia-user', 'Łukasz');
  for (const [asked, action] of [
    ['POST /changes/9/undo', () => page.session.undo()],
    ['PATCH /lesions/1', () => page.session.change(page.state().lesions[0], { name: 'X' })],
  ]) {
    const request = await sent(action);
    assert.equal(request.asked, asked);
    const bytes = Uint8Array.from(request.headers.get('X-User'), one => one.charCodeAt(0));
    assert.equal(new TextDecoder().decode(bytes), 'Łukasz');
  }
  page.end();
});
