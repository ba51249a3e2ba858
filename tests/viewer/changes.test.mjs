// What a person decides of lesions: in whose name, and what can be taken back.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lastChange } from './metia/course.js';
import { decision } from './metia/words.js';
import { job, lesion, open, problem, serve, until, visit, wait } from './stubs.mjs';

const LESIONS = [lesion(1, 'L1'), lesion(3, 'L3'), lesion(4, 'L4', { part_of: 2 })];
const change = (id, subject_id, more = {}) => ({
  id,
  subject: 'lesion',
  subject_id,
  before: { not_a_lesion: false },
  after: { not_a_lesion: true },
  by: 'ana',
  at: '2026-01-02T03:04:05.000+00:00',
  to_undo: true,
  ...more,
});

const VISIT = visit('A', { id: 5 });
const judged = (id, more = {}) => ({
  ...change(id, VISIT.id, { subject: 'visit' }),
  before: { judgements: {} },
  after: { judgements: { '2.25.3': 'equivocal' } },
  ...more,
});

const cases = [
  ['the newest of a lesion in the list', [change(9, 3), change(8, 1)], 9],
  ['what was said of a visit is not undone here', [change(9, VISIT.id, { subject: 'visit' }), change(8, 1)], 8],
  ['but what was said of a lesion at it is', [judged(9), change(8, 1)], 9],
  ['not at another visit', [judged(9, { subject_id: 6 }), change(8, 1)], 8],
  ['nor together with a dose', [judged(9, { after: { judgements: {}, corticosteroid_mg: 4 } }), judged(8)], undefined],
  ['nor what was said of a lesion of another visit', [change(9, 7), change(8, 1)], 8],
  ['a part of a lesion is one in the list', [change(9, 2)], 9],
  ['what the server says is not undone', [change(9, 3, { to_undo: false }), change(8, 1)], 8],
  ['nothing', [change(9, 7)], undefined],
];
for (const [what, changes, id] of cases) {
  test(what, () => assert.equal(lastChange(changes, LESIONS, VISIT)?.id, id));
}

const words = [
  [{}, 'L3 was called no lesion'],
  [{ before: { name: 'L3' }, after: { name: 'left frontal' } }, 'L3 was renamed "left frontal"'],
  [{ before: { target: true }, after: { target: false } }, 'L3 was taken from the targets'],
  [{ before: { target: null }, after: { target: true } }, 'L3 was made a target'],
  [{ before: { merged_into: null }, after: { merged_into: 1 } }, 'L3 was merged with another'],
  [{ before: { split_from: null, split_at: null }, after: { split_from: 1, split_at: '1.2' } }, 'L3 was split off'],
];
for (const [more, text] of words) {
  test(`in words: ${text}`, () => assert.equal(decision(change(9, 3, more), LESIONS), text));
}

const said = [
  [{}, 'L3 was judged equivocal'],
  [{ before: { judgements: { '2.25.3': 'new' } }, after: { judgements: {} } }, 'L3 was left to the rule again'],
  [
    { before: { judgements: { '2.25.1': 'new' } }, after: { judgements: { '2.25.1': 'new', '2.25.3': 'no progression' } } },
    'L3 was judged no progression',
  ],
];
for (const [more, text] of said) {
  test(`in words: ${text}`, () => assert.equal(decision(judged(9, more), LESIONS), text));
}

test('changes and undoing are made in the name of whoever is entered on the follow-up page', async () => {
  const server = serve({
    'GET /jobs?StudyInstanceUID=A&which=current': { jobs: [job('a', 'A', 'done')] },
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
    ['POST /visits/A/assessment', () => page.session.judge(page.state().lesions[0], 'new')],
  ]) {
    const request = await sent(action);
    assert.equal(request.asked, asked);
    const bytes = Uint8Array.from(request.headers.get('X-User'), one => one.charCodeAt(0));
    assert.equal(new TextDecoder().decode(bytes), 'Łukasz');
  }
  page.end();
});

test('a browser that keeps nothing can change lesions all the same', async () => {
  const { kept } = keeping();
  const page = await listing();
  const { localStorage } = globalThis;
  const blocked = { get: () => { throw new DOMException('Access is denied', 'SecurityError'); } };
  Object.defineProperty(globalThis, 'localStorage', { ...blocked, configurable: true });
  await page.session.change(page.state().lesions[0], { name: 'mine' });
  Object.defineProperty(globalThis, 'localStorage', { value: localStorage });
  page.end();
  assert.deepEqual([page.state().problem, kept[1].name], [null, 'mine']);
});

// A server that keeps two lesions; each change takes a while, and of each version there is one.
function keeping(more = {}) {
  const kept = { 1: lesion(1, 'L1'), 2: lesion(2, 'L2') };
  const answers = {
    'GET /jobs?StudyInstanceUID=A&which=current': { jobs: [job('a', 'A', 'done')] },
    'GET /studies/A/lesions': () => ({ patient: 1, lesions: Object.values(kept).map(one => ({ ...one })) }),
    ...more,
  };
  for (const id of [1, 2]) {
    answers[`PATCH /lesions/${id}`] = async ({ headers, body }) => {
      if (headers.get('If-Match') !== `"${kept[id].version}"`) return problem(409);
      kept[id] = { ...kept[id], ...body, version: kept[id].version + 1 };
      await wait(300);
      return { lesion: { ...kept[id] } };
    };
  }
  return { kept, answers, server: serve(answers) };
}

async function listing() {
  const page = open();
  page.enter('A');
  await until(() => page.state().lesions.length === 2);
  return page;
}

test('a slow answer does not overtake a later one', async () => {
  const { kept, answers } = keeping();
  const page = await listing();
  await wait(2000);
  const old = { ...kept[1] };
  const prompt = answers['GET /studies/A/lesions'];
  answers['GET /studies/A/lesions'] = () => wait(3000).then(() => ({ patient: 1, lesions: [old, kept[2]] }));
  window.dispatchEvent(new Event('focus')); // the panel asks
  await wait(100);
  answers['GET /studies/A/lesions'] = prompt;
  await page.session.change(page.state().lesions[0], { name: 'mine' });
  await wait(5000);
  assert.equal(page.state().lesions[0].name, 'mine');
  page.end();
});

test('nor that of one change the next', async () => {
  const { answers } = keeping();
  const page = await listing();
  const prompt = answers['GET /studies/A/lesions'];
  let slow = true;
  answers['GET /studies/A/lesions'] = async () => {
    const said = prompt();
    if (slow) await wait(((slow = false), 3000));
    return said;
  };
  const [first, second] = page.state().lesions;
  page.session.change(first, { not_a_lesion: true });
  await wait(500);
  page.session.change(second, { not_a_lesion: true });
  await wait(6000);
  assert.deepEqual(page.state().lesions.map(one => one.not_a_lesion), [true, true]);
  page.end();
});

test('what is pressed twice is done once', async () => {
  const { kept, server } = keeping();
  const page = await listing();
  const [first] = page.state().lesions;
  await Promise.all([1, 2].map(() => page.session.change(first, { not_a_lesion: true })));
  assert.equal(page.state().problem, null);
  assert.deepEqual([kept[1].not_a_lesion, server.count('PATCH /lesions/1')], [true, 1]);
  page.end();
});

test('several changes are made one after the other, and none against another of the same person', async () => {
  const { kept } = keeping();
  const page = await listing();
  const [first, second] = page.state().lesions;
  await Promise.all([
    page.session.change(first, { name: 'mine' }),
    page.session.change(second, { name: 'mine too' }),
    page.session.change(first, { target: true }),
  ]);
  assert.equal(page.state().problem, null);
  assert.deepEqual([kept[1].name, kept[1].target, kept[2].name], ['mine', true, 'mine too']);
  await page.session.change(first, { name: 'again' });
  assert.equal(kept[1].name, 'again', 'also on what was shown before the first');
  page.end();
});

test('but against what others have changed in between', async () => {
  const { kept } = keeping();
  const page = await listing();
  const [first] = page.state().lesions;
  const ended = page.session.change(first, { name: 'mine' });
  await ended;
  kept[1] = { ...kept[1], name: 'theirs', version: 3 };
  await page.session.change(first, { target: true });
  assert.deepEqual([page.state().problem.status, page.state().lesions[0].name], [409, 'theirs']);
  page.end();
});

test('a refusal stays told when what was waiting behind it is done', async () => {
  const { kept, answers } = keeping();
  answers['PATCH /lesions/2'] = () => wait(100).then(() => problem(422));
  const page = await listing();
  const [first, second] = page.state().lesions;
  await Promise.all([page.session.change(second, { name: 'L1' }), page.session.change(first, { name: 'mine' })]);
  assert.deepEqual([page.state().problem.status, kept[1].name], [422, 'mine']);
  page.end();
});

test('undo that is pressed twice takes one change back', async () => {
  let changes = [change(9, 1), change(8, 2)];
  const undone = [change(10, 1, { to_undo: false }), change(9, 1, { to_undo: false }), change(8, 2)];
  const { server } = keeping({
    'GET /patients/1/changes': () => ({ changes }),
    'POST /changes/9/undo': () => wait(300).then(() => (changes = undone) && {}),
  });
  const page = await listing();
  await until(() => page.state().undoable?.id === 9);
  await Promise.all([page.session.undo(), page.session.undo()]);
  assert.deepEqual([server.count('POST /changes/9/undo'), server.count('POST /changes/8/undo')], [1, 0]);
  assert.equal(page.state().undoable.id, 8);
  page.end();
});

// A server that keeps what is said of the visit, with one lesion that can be judged.
function judging() {
  const kept = { judgements: {}, version: 3 };
  const { server } = keeping({
    'GET /patients/1/timeline': () => ({
      visits: [visit('A', { assessment: structuredClone(kept), judgeable: { '2.25.1': ['new', 'equivocal'] } })],
      lesions: [{ id: 1, name: 'L1', tracking_uid: '2.25.1', role: 'new', why_no_target: '', sizes: [null], holds: [[]] }],
    }),
    'POST /visits/A/assessment': ({ headers, body }) => {
      if (headers.get('If-Match') !== `"${kept.version}"`) return problem(409);
      const all = Object.entries({ ...kept.judgements, ...body.judgements });
      kept.judgements = Object.fromEntries(all.filter(([, word]) => word));
      kept.version += 1;
      return structuredClone(kept);
    },
  });
  return { kept, server };
}

test('a judgement is made on the version that was seen, or on what the same person has made of it', async () => {
  const { kept, server } = judging();
  const page = await listing();
  const [first] = page.state().lesions;
  await Promise.all(['new', 'new', 'equivocal'].map(word => page.session.judge(first, word)));
  assert.deepEqual([page.state().problem, kept.judgements, kept.version], [null, { '2.25.1': 'equivocal' }, 5]);
  assert.equal(page.state().lesions[0].judging.said, 'equivocal');
  assert.equal(server.count('POST /visits/A/assessment'), 2, 'what is pressed twice is done once');
  await page.session.judge(page.state().lesions[0], null);
  assert.deepEqual([kept.judgements, page.state().lesions[0].judging.said], [{}, null]);
  page.end();
});

test('but not on what others have said of the visit in between, which shows', async () => {
  const { kept } = judging();
  const page = await listing();
  const [first] = page.state().lesions;
  Object.assign(kept, { judgements: { '2.25.1': 'new' }, version: 4 });
  await page.session.judge(first, 'equivocal');
  assert.deepEqual([page.state().problem.status, page.state().lesions[0].judging.said], [409, 'new']);
  page.end();
});
