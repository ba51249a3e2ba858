// What the panel draws of a list of lesions, and of a problem.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lesion } from './stubs.mjs';

// Components are drawn as nested lists; a memory of one component is all that is needed here.
let kept = [];
globalThis.window.React = {
  createElement: (type, properties, ...children) =>
    typeof type === 'function' ? type(properties) : { ...properties, type, children },
  useState: initial => [initial, () => {}],
  useMemo(make, of) {
    if (!kept.length || of.some((one, k) => one !== kept[0][k])) kept = [of, make()];
    return kept[1];
  },
};
const { lesionTable } = await import('./metia/lesions.js');
const { problemBox } = await import('./metia/run.js');

const all = (drawn, found = () => true) =>
  [drawn].flat(9).flatMap(one => (one && typeof one === 'object' ? [one, ...all(one.children)] : [])).filter(found);
const text = drawn =>
  [drawn].flat(9).map(one => (one && typeof one === 'object' ? text(one.children) : one || '')).join(' ');

test('an empty list says what that means, as everywhere', () => {
  const none_counts = 'No lesion was found at this visit. That is what the network found.';
  const timeline = { visits: [{ StudyInstanceUID: 'A', none_counts }] };
  assert.equal(text(lesionTable({ state: { study: 'A', timeline, lesions: [] } })), none_counts);
});

test('who cannot be a target says why', () => {
  const state = { lesions: [{ ...lesion(1, 'L1'), holds: [], whyNoTarget: 'Not measurable at the baseline' }] };
  const [box] = all(lesionTable({ state, session: {} }), one => one.type === 'input');
  assert.deepEqual([box.disabled, box.title], [true, 'Not measurable at the baseline']);
});

const CANDIDATES = [
  { SeriesInstanceUID: '1', SeriesDescription: 'T2 TSE', Modality: 'MR', excluded: 'T2-weighted' },
  { SeriesInstanceUID: '2', SeriesDescription: 'Topogram', Modality: 'CT', excluded: 'modality CT, not MR' },
];
const problem = { type: 'urn:metia:problem:series-selection', message: 'Name the SeriesInstanceUID.' };

test('a study without a series to segment says what to do, and why the MR series were not taken', () => {
  const said = text(problemBox({ problem: { ...problem, candidates: CANDIDATES }, session: {} }));
  assert.match(said, /choose "the series shown" above, and press Run/);
  assert.match(said, /T2 TSE: T2-weighted/);
  assert.doesNotMatch(said, /SeriesInstanceUID|Topogram/);
});

test('one with several offers them', () => {
  const able = { SeriesInstanceUID: '3', SeriesDescription: 'MPRAGE', Modality: 'MR', excluded: null };
  const drawn = problemBox({ problem: { ...problem, candidates: [able, ...CANDIDATES] }, session: {} });
  assert.match(text(drawn), /Segment MPRAGE/);
});
