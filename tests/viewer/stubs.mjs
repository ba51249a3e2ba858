// A server and a viewer made of plain answers, for the session of the panel; clocks run ten times as fast.
import { createSession } from './metia/session.js';

const clock = globalThis.setTimeout;
globalThis.setTimeout = (action, ms) => clock(action, ms / 10);
globalThis.window = globalThis;
globalThis.location = { search: '' };
globalThis.document = { hidden: false };
const events = new EventTarget();
for (const name of ['addEventListener', 'dispatchEvent']) globalThis[name] = events[name].bind(events);
const kept = new Map();
globalThis.localStorage = { getItem: key => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value) };

export const wait = ms => new Promise(resolve => setTimeout(resolve, ms));

export async function until(found) {
  for (let tries = 0; tries < 2000; tries += 1) {
    if (found()) return;
    await wait(20);
  }
  throw new Error(`never: ${found}`);
}

export const job = (id, study, state, more = {}) => ({
  id,
  purpose: 'segment',
  state,
  StudyInstanceUID: study,
  SeriesInstanceUID: `mr-${study}`,
  results: [{ kind: 'SEG', SeriesInstanceUID: `seg-${id}` }],
  percent: 50,
  ...more,
});

export const lesion = (id, name, more = {}) => ({
  id,
  label: id,
  name,
  tracking_uid: `2.25.${id}`,
  longest_diameter_mm: 10,
  perpendicular_diameter_mm: 5,
  volume_mm3: 100 - id,
  not_a_lesion: false,
  version: 1,
  part_of: null,
  ...more,
});

// As the timeline has one.
export const visit = (study, more = {}) => ({
  id: study.charCodeAt(0),
  StudyInstanceUID: study,
  assessment: { judgements: {}, version: 0 },
  judgeable: {},
  ...more,
});

export const problem = (status, more = {}) => ({ status, title: `Problem ${status}`, ...more });

// `answers`: 'METHOD path' -> what is answered, or a function of the request that gives it; null is a lost connection. What is not
// named has a plain answer. Studies are A and B, each with one lesion and no job.
export function serve(answers = {}) {
  const requests = [];
  const plain = (method, path) => {
    const [, study] = path.match(/^\/studies\/(\w+)\/lesions$/) ?? [];
    if (study) return { patient: 1, lesions: [lesion(1, `L of ${study}`)] };
    if (path === '/models') return { models: [{ name: 'M', version: '1' }], default: 'M' };
    if (path.startsWith('/jobs?')) return { jobs: [] };
    if (path.endsWith('/timeline')) return { visits: [], lesions: [] };
    if (path.endsWith('/changes')) return { changes: [] };
    if (method === 'PATCH') return { lesion: lesion(1, 'X', { version: 2 }) };
    return {};
  };
  globalThis.fetch = async (path, { method, headers, body }) => {
    const asked = `${method} ${path}`;
    const request = { asked, headers: new Headers(headers), body: body && JSON.parse(body) };
    requests.push(request);
    const given = asked in answers ? answers[asked] : plain(method, path);
    const said = await (typeof given === 'function' ? given(request) : given);
    if (said === null) throw new TypeError('Failed to fetch');
    const status = said.status ?? 200;
    return { ok: status < 400, status, json: async () => said };
  };
  return { requests, count: asked => requests.filter(one => one.asked === asked).length };
}

// One viewport; `log` is what was asked of the viewer. The images of a study do not hold its segmented series if `other`;
// `mr` is the MR series that is shown.
export function open({ other = false, mr = null } = {}) {
  const log = [];
  const opened = []; // the study that was shown each time that the panel came to the front
  let study = null;
  let listener;
  const viewer = {
    async overlay(of, mr, seg, { replace }) {
      if (study !== of || (other && !replace)) return null;
      log.push(`overlay ${seg}`);
      return { SeriesInstanceUID: seg };
    },
    jump: one => log.push(`jump ${one.name}`),
    bring: async (of, series) => series.forEach(one => log.push(`bring ${one}`)),
    forget: async series => void log.push(`forget ${series}`),
    agree: lesions => lesions,
    openPanel: () => void opened.push(study),
    drawn: async () => {},
    shownStudy: () => study,
    shownReport: () => null,
    shownMr: () => mr,
    whenShownChanges(heard) {
      listener = heard;
      return () => {};
    },
  };
  const session = createSession(viewer);
  const enter = which => {
    study = which;
    listener();
  };
  return { session, log, opened, enter, state: () => session.store.get(), end: () => session.end() };
}
