// What is done elsewhere, on other pages or by others, shows in a panel that has its result already.
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { job, lesion, open, problem, serve, until, visit, wait } from './stubs.mjs';

let page;
afterEach(() => {
  page.end();
  document.hidden = false;
});

const JOBS = 'GET /jobs?StudyInstanceUID=A&which=current';
const LESIONS = 'GET /studies/A/lesions';
const TIMELINE = 'GET /patients/1/timeline';
const known = (...lesions) => ({ patient: 1, lesions });
const names = () => page.state().lesions.map(one => one.name);

async function shown(more = {}) {
  const answers = { [JOBS]: { jobs: [job('a', 'A', 'done')] }, [LESIONS]: known(lesion(1, 'L1')), ...more };
  const server = serve(answers);
  page = open();
  page.enter('A');
  await until(() => page.log.includes('jump L1'));
  await wait(2000);
  return { answers, server };
}

test('what others change is there within a while', async () => {
  const { answers } = await shown();
  answers[LESIONS] = known(lesion(1, 'theirs', { version: 2 }));
  answers[TIMELINE] = { visits: [visit('A', { overall: { response: 'SD' } })], lesions: [] };
  await wait(16000);
  assert.deepEqual(names(), ['theirs']);
  assert.equal(page.state().timeline.visits[0].overall.response, 'SD');
  assert.deepEqual(page.log, ['overlay seg-a', 'jump L1'], 'nobody is led anywhere');
});

for (const event of ['focus', 'visibilitychange']) {
  test(`and at once when somebody comes back (${event})`, async () => {
    const { answers } = await shown();
    answers[LESIONS] = known(lesion(1, 'theirs'));
    window.dispatchEvent(new Event(event));
    await wait(500);
    assert.deepEqual(names(), ['theirs']);
  });
}

test('where nothing has changed nothing is touched', async () => {
  const { server } = await shown();
  const [before, asked] = [page.state(), server.requests.length];
  await wait(16000);
  assert.ok(server.requests.length > asked);
  assert.ok(server.requests.length < asked + 9, 'nor asked all the time');
  assert.equal(page.state(), before);
});

test('nobody is asked for a page that is hidden, or a study that was left', async () => {
  const { server } = await shown();
  const asked = server.requests.length;
  document.hidden = true;
  window.dispatchEvent(new Event('visibilitychange'));
  await wait(16000);
  assert.equal(server.requests.length, asked);
  document.hidden = false;
  page.end();
  window.dispatchEvent(new Event('visibilitychange'));
  await wait(16000);
  assert.equal(server.requests.length, asked);
});

test('what others segment again takes the place of the overlay, and nobody is led away', async () => {
  const { answers } = await shown({ 'GET /jobs/b': job('b', 'A', 'done') });
  page.log.length = 0;
  answers[JOBS] = { jobs: [job('b', 'A', 'done'), job('a', 'A', 'done')] };
  answers[LESIONS] = known(lesion(1, 'L1'), lesion(2, 'L2'));
  await wait(17000);
  assert.deepEqual([page.state().result.id, names()], ['b', ['L1', 'L2']]);
  assert.deepEqual(page.log, ['overlay seg-b', 'forget seg-a']);
  page.log.length = 0;
  answers[JOBS] = { jobs: [job('c', 'A', 'segmenting'), job('b', 'A', 'done')] };
  answers['GET /jobs/c'] = job('c', 'A', 'done');
  await wait(18000);
  assert.equal(page.state().result.id, 'c');
  assert.deepEqual(page.log, ['overlay seg-c', 'forget seg-b']);
});

test('the keys go from lesion to lesion as the rows stand', async () => {
  await shown({ [LESIONS]: known(lesion(1, 'L1'), lesion(2, 'L2'), lesion(3, 'L3')) });
  page.session.set({ places: [1, 3, 2] });
  page.session.step(1);
  await until(() => page.log.includes('jump L3'));
  assert.ok(!page.log.includes('jump L2'));
});

test('what was run here is no more the job once others have a result', async () => {
  const { answers } = await shown({ 'POST /segment': job('a', 'A', 'cancelled') });
  await page.session.run();
  assert.equal(page.state().job.state, 'cancelled');
  answers[JOBS] = { jobs: [job('b', 'A', 'done')] };
  await until(() => page.state().result.id === 'b');
  assert.equal(page.state().job, null);
});

test('a look that fails is not the last', async () => {
  const { answers } = await shown();
  answers[JOBS] = problem(500);
  await wait(16000);
  answers[JOBS] = { jobs: [job('a', 'A', 'done')] };
  answers[LESIONS] = known(lesion(1, 'theirs'));
  await wait(16000);
  assert.deepEqual(names(), ['theirs']);
});

test('nor is the first', async () => {
  const answers = { 'GET /models': problem(500), [JOBS]: { jobs: [job('a', 'A', 'done')] } };
  serve(answers);
  page = open();
  page.enter('A');
  await until(() => page.state().lesions.length);
});
