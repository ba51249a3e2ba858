// A job is followed until it ends, whatever the connection does; failures are told, and what others start is seen.
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { job, lesion, open, problem, serve, until, wait } from './stubs.mjs';

let page;
afterEach(() => page.end());

const JOBS = 'GET /jobs?StudyInstanceUID=A&which=current';

async function enter() {
  page = open();
  page.enter('A');
  await until(() => page.state().models.length);
}

for (const lost of [null, problem(502), problem(503), problem(504)]) {
  test(`a poll that fails (${lost?.status ?? 'no connection'}) ends nothing`, async () => {
    const answers = { 'POST /segment': job('a', 'A', 'queued'), 'GET /jobs/a': lost };
    const server = serve(answers);
    await enter();
    const ended = page.session.run();
    await until(() => page.state().lost);
    assert.equal(page.state().busy, true);
    assert.equal(page.state().problem, null);
    assert.equal(server.count('GET /jobs/a'), 1);
    answers['GET /jobs/a'] = job('a', 'A', 'done');
    await ended;
    const { busy, lost: still, result } = page.state();
    assert.deepEqual([busy, still, result.id], [false, false, 'a']);
  });
}

for (const event of ['online', 'visibilitychange']) {
  test(`${event} has it ask at once`, async () => {
    const answers = { 'POST /segment': job('a', 'A', 'queued'), 'GET /jobs/a': null };
    const server = serve(answers);
    await enter();
    page.session.run();
    await until(() => page.state().lost);
    window.dispatchEvent(new Event(event));
    await wait(50);
    assert.equal(server.count('GET /jobs/a'), 2);
  });
}

test('another error ends it, and is told', async () => {
  serve({ 'POST /segment': job('a', 'A', 'queued'), 'GET /jobs/a': problem(404) });
  await enter();
  await page.session.run();
  assert.equal(page.state().problem.status, 404);
  assert.equal(page.state().busy, false);
});

test('a study whose newest job failed says why, and tries it again', async () => {
  const failed = job('a', 'A', 'failed', { problem: { title: 'No regular volume', detail: 'A gap.' } });
  const server = serve({
    [JOBS]: { jobs: [failed] },
    'POST /jobs/a/retry': job('a', 'A', 'queued'),
    'GET /jobs/a': job('a', 'A', 'done'),
  });
  await enter();
  await until(() => page.state().problem);
  const { title, message, failed: which } = page.state().problem;
  assert.deepEqual([title, message, which], ['No regular volume', 'A gap.', 'a']);
  assert.deepEqual(page.opened, ['A'], 'nobody sees it in a panel that is closed');
  await page.session.retry(which);
  assert.equal(server.count('POST /jobs/a/retry'), 1);
  assert.equal(page.state().problem, null);
  assert.equal(page.state().result.id, 'a');
});

test('a job that fails again is told again', async () => {
  const failed = job('a', 'A', 'failed', { problem: { title: 'No room' } });
  serve({ [JOBS]: { jobs: [failed] }, 'POST /jobs/a/retry': job('a', 'A', 'queued'), 'GET /jobs/a': failed });
  await enter();
  await until(() => page.state().problem);
  await page.session.retry('a');
  assert.equal(page.state().problem.title, 'No room');
});

test('the result that ended last is shown, though another was asked for later', async () => {
  const again = job('a', 'A', 'done', { finished: '2026-01-02T12:00:00.000+00:00', version: 2 });
  const theirs = job('b', 'A', 'done', { finished: '2026-01-02T11:00:00.000+00:00', version: 1 });
  const answers = { [JOBS]: { jobs: [theirs, again] } };
  serve(answers);
  await enter();
  await until(() => page.state().result);
  assert.equal(page.state().result.id, 'a');
  answers[JOBS] = { jobs: [job('c', 'A', 'done', { finished: again.finished, version: 3 }), theirs, again] };
  await until(() => page.state().result.id === 'c');
});

test('a failure is over once there is a newer result', async () => {
  const failed = job('a', 'A', 'failed', { finished: '2026-01-02T11:00:00.000+00:00', problem: { title: 'A gap' } });
  const answers = { [JOBS]: { jobs: [failed] } };
  serve(answers);
  await enter();
  await until(() => page.state().problem);
  answers[JOBS] = { jobs: [job('b', 'A', 'done', { finished: '2026-01-02T12:00:00.000+00:00' }), failed] };
  await until(() => page.state().result?.id === 'b');
  assert.equal(page.state().problem, null);
  answers[JOBS].jobs.reverse();
  answers[JOBS].jobs[0] = { ...failed, finished: '2026-01-02T13:00:00.000+00:00' };
  await until(() => page.state().problem);
  assert.equal(page.state().result.id, 'b');
});

test('a relabelling that fails is told', async () => {
  const answers = { [JOBS]: { jobs: [job('a', 'A', 'done')] } };
  answers['PATCH /lesions/1'] = () => {
    const failed = job('r', 'A', 'failed', { purpose: 'relabel', problem: { title: 'The archive refused the results' } });
    answers[JOBS] = { jobs: [failed, job('a', 'A', 'done')] };
    return { lesion: lesion(1, 'X') };
  };
  serve(answers);
  await enter();
  await until(() => page.state().lesions.length);
  await page.session.change(page.state().lesions[0], { name: 'X' });
  await until(() => page.state().problem);
  assert.deepEqual([page.state().problem.title, page.state().problem.failed], ['The archive refused the results', 'r']);
  assert.equal(page.state().result.id, 'a');
});

test('the series shown is segmented where one is', async () => {
  const server = serve({ 'POST /segment': job('a', 'A', 'done') });
  const asked = () => server.requests.filter(one => one.asked === 'POST /segment').map(one => one.body.SeriesInstanceUID);
  for (const mr of [null, '1.2.3']) {
    page?.end();
    page = open({ mr });
    page.enter('A');
    await until(() => page.state().models.length);
    page.session.set({ ownSeries: true });
    await page.session.run();
    assert.deepEqual(asked(), mr ? [mr] : [], 'the server chooses none in its place');
    assert.equal(page.state().problem?.title, mr ? undefined : 'No MR series is shown');
  }
});

test('a job that is in the way is followed, and named', async () => {
  serve({
    'POST /segment': problem(409, { job: '/jobs/x' }),
    'GET /jobs/x': job('x', 'A', 'done'),
  });
  await enter();
  await page.session.run();
  assert.equal(page.state().result.id, 'x');
  assert.equal(page.state().problem.status, 409);
});

test('one of another study is not', async () => {
  const server = serve({ 'POST /segment': problem(409, { job: '/jobs/x' }), 'GET /jobs/x': job('x', 'B', 'queued') });
  await enter();
  await page.session.run();
  const { busy, job: shown, problem: said } = page.state();
  assert.deepEqual([busy, shown, said.status], [false, null, 409]);
  assert.equal(server.count('GET /jobs/x'), 1);
});

test('a job that somebody else starts appears by itself', async () => {
  const answers = { 'GET /jobs/x': job('x', 'A', 'done') };
  const server = serve(answers);
  await enter();
  await wait(2000);
  assert.equal(server.count(JOBS), 1, 'nobody is asked all the time');
  answers[JOBS] = { jobs: [job('x', 'A', 'queued')] };
  await until(() => page.state().busy);
  await until(() => page.state().result?.id === 'x');
});

test('looking for jobs does not take away what was said', async () => {
  const failed = job('a', 'A', 'failed', { problem: { title: 'No room' } });
  const server = serve({ [JOBS]: { jobs: [failed] }, 'POST /segment': problem(409, { candidates: [{}] }) });
  await enter();
  await until(() => page.state().problem);
  await page.session.run();
  await until(() => server.count(JOBS) > 1);
  await wait(500);
  assert.equal(page.state().problem.status, 409);
});
