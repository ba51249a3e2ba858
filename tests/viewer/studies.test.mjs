// Several studies open side by side: each is shown once, and nothing about one reaches the panel of another.
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { job, open, problem, serve, until, wait } from './stubs.mjs';

let page;
afterEach(() => page.end());

const jobsOf = study => `GET /jobs?StudyInstanceUID=${study}&which=current`;
const segmented = { [jobsOf('A')]: { jobs: [job('a', 'A', 'done')] }, [jobsOf('B')]: { jobs: [job('b', 'B', 'done')] } };

async function visit(study) {
  page.enter(study);
  await until(() => page.state().result && page.state().lesions[0]?.name === `L of ${study}`);
  await wait(700);
}

test('a study is shown once; coming back changes the panel only', async () => {
  serve(segmented);
  page = open();
  await visit('A');
  await visit('B');
  assert.deepEqual(page.log, ['overlay seg-a', 'jump L of A', 'overlay seg-b', 'jump L of B']);
  await visit('A');
  await visit('B');
  assert.equal(page.log.length, 4);
  assert.equal(page.state().result.id, 'b');
});

test('a study that comes back has its lesions at once', async () => {
  const server = serve(segmented);
  page = open();
  await visit('A');
  await visit('B');
  const before = server.requests.length;
  page.enter('A');
  assert.deepEqual(page.state().lesions.map(one => one.name), ['L of A']);
  await until(() => server.requests.length > before + 4);
});

test('what was segmented meanwhile is shown, what was only written again is not', async () => {
  const answers = { ...segmented };
  serve(answers);
  page = open();
  await visit('A');
  await visit('B');
  page.log.length = 0;
  answers[jobsOf('A')] = { jobs: [job('a2', 'A', 'done', { purpose: 'relabel' }), job('a', 'A', 'done')] };
  await visit('A');
  assert.equal(page.state().result.id, 'a2');
  assert.deepEqual(page.log, []);
  await visit('B');
  answers[jobsOf('A')] = { jobs: [job('a3', 'A', 'done'), job('a', 'A', 'done')] };
  await visit('A');
  assert.deepEqual(page.log, ['overlay seg-a3', 'jump L of A', 'forget seg-a']);
});

test('another image of the study stays until a lesion is pressed', async () => {
  serve(segmented);
  page = open({ other: true });
  await visit('B');
  assert.deepEqual(page.log, ['overlay seg-b', 'jump L of B'], 'what the viewer opens with is nobody\'s choice');
  page.log.length = 0;
  await visit('A');
  assert.ok(!page.log.some(one => /overlay|jump/.test(one)), page.log);
  await page.session.select(page.state().lesions[0]);
  assert.deepEqual(page.log.slice(-2), ['overlay seg-a', 'jump L of A']);
  await visit('B');
  page.log.length = 0;
  await visit('A');
  assert.deepEqual(page.log, []);
});

for (const [what, answer] of [
  ['a job', job('a', 'A', 'queued')],
  ['a refusal', problem(409, { candidates: [{ SeriesInstanceUID: '1' }] })],
  ['no answer', null],
]) {
  test(`what comes too late: ${what}`, async () => {
    const server = serve({ 'POST /segment': () => wait(500).then(() => answer) });
    page = open();
    page.enter('A');
    await until(() => page.state().models.length);
    const ended = page.session.run();
    page.enter('B');
    await ended;
    await wait(700);
    const { study, busy, job: shown, problem: said } = page.state();
    assert.deepEqual({ study, busy, shown, said }, { study: 'B', busy: false, shown: null, said: null });
    assert.equal(server.count('GET /jobs/a'), 0);
    assert.deepEqual(page.log, []);
  });
}

test('a job of the study that was left does not end that of the one that is open', async () => {
  const running = study => job(study.toLowerCase(), study, 'segmenting');
  serve({
    [jobsOf('B')]: { jobs: [running('B')] },
    'POST /segment': running('A'),
    'GET /jobs/a': () => wait(300).then(() => job('a', 'A', 'done')),
    'GET /jobs/b': running('B'),
  });
  page = open();
  page.enter('A');
  await until(() => page.state().models.length);
  const ended = page.session.run();
  await wait(450);
  page.enter('B');
  await ended;
  await wait(700);
  assert.deepEqual([page.state().busy, page.state().job.id, page.state().result], [true, 'b', null]);
  assert.deepEqual(page.log, []);
});
