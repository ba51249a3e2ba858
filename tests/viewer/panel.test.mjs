// What the panel draws of a list of lesions, and of a problem.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lesion } from './stubs.mjs';

// Components are drawn as nested lists; a memory of one component is all that is needed here.
let kept = [];
const effects = []; // what is to be done once it is drawn
globalThis.window.React = {
  createElement: (type, properties, ...children) =>
    typeof type === 'function' ? type(properties) : { ...properties, type, children },
  useRef: current => ({ current }),
  useEffect: action => effects.push(action),
  useState: initial => [initial, () => {}],
  useMemo(make, of) {
    if (!kept.length || of.some((one, k) => one !== kept[0][k])) kept = [of, make()];
    return kept[1];
  },
};
const { lesionTable } = await import('./metia/lesions.js');
const { problemBox, runBox } = await import('./metia/run.js');

const all = (drawn, found = () => true) =>
  [drawn].flat(9).flatMap(one => (one && typeof one === 'object' ? [one, ...all(one.children)] : [])).filter(found);
const text = drawn =>
  [drawn].flat(9).map(one => (one && typeof one === 'object' ? text(one.children) : one || '')).join(' ');

test('an empty list says what that means, as everywhere', () => {
  const none_counts = 'No lesion was found at this visit. That is what the network found.';
  const timeline = { visits: [{ StudyInstanceUID: 'A', none_counts }] };
  assert.equal(text(lesionTable({ state: { study: 'A', timeline, lesions: [] } })), none_counts);
});

const shown = (id, name, more = {}) => ({
  ...lesion(id, name),
  holds: [],
  whyNoTarget: '',
  judging: { name, said: null, can: [] },
  ...more,
});

test('who cannot be a target says why', () => {
  const state = { lesions: [shown(1, 'L1', { whyNoTarget: 'Not measurable at the baseline' })] };
  const [box] = all(lesionTable({ state, session: {} }), one => one.type === 'input');
  assert.deepEqual([box.disabled, box.title], [true, 'Not measurable at the baseline']);
});

test('nor can a part be taken back where the whole is refused', () => {
  const state = { lesions: [shown(1, 'L1', { not_a_lesion: true, whyNotBack: 'Part of L2: choose there' })] };
  const [back] = all(lesionTable({ state, session: {} }), one => /is a lesion$/.test(one['aria-label']));
  assert.deepEqual([back.disabled, back.title], [true, 'Part of L2: choose there']);
});

const NEW = shown(1, 'L1', { role: 'new', judging: { name: 'L1', said: 'equivocal', can: ['new', 'equivocal'] } });
const OLD = shown(2, 'L2', { role: 'target', judging: { name: 'L2', said: 'new', can: [] } });
const TARGET = shown(3, 'L3', { role: 'target' });

// The field in which the chosen lesion is judged.
const field = (lesions, selected) =>
  all(lesionTable({ state: { lesions, selected }, session: {} }), one => one.className === 'metia-judging')[0];
const choices = drawn => all(drawn, one => one.type === 'option').map(one => text(one.children));

test('a lesion is judged by the words that have an effect; what has none can only be taken back', () => {
  const [ofNew, ofOld, ofTarget, ofNone] = [1, 2, 3, null].map(chosen => field([NEW, OLD, TARGET], chosen));
  assert.match(text(ofNew), /^Judgement of new lesion L1 /);
  assert.deepEqual(choices(ofNew), ['by the rule', 'new beyond doubt', 'equivocal']);
  assert.match(text(ofOld), /^Judgement of target L2 /);
  assert.deepEqual(choices(ofOld), ['by the rule', 'new beyond doubt, without effect']);
  const [value, disabled] = ['value', 'disabled'].map(one => drawn => all(drawn, ({ type }) => type === 'select')[0][one]);
  assert.deepEqual([ofNew, ofOld, ofTarget, ofNone].map(value), ['equivocal', 'new', '', '']);
  assert.deepEqual([ofNew, ofOld, ofTarget, ofNone].map(disabled), [false, false, true, true]);
  assert.equal(field([TARGET], 3), undefined, 'where there is none to be judged');
});

test('rows by name go by the numbers in it, and the keys go through them as they stand', () => {
  const lesions = [10, 2, 1, 11].map(number => shown(number, `GTV_${number}`, { volume_mm3: number }));
  let told;
  const draw = () => {
    kept = [];
    effects.length = 0;
    const drawn = lesionTable({ state: { lesions }, session: { set: ({ places }) => (told = places) } });
    effects[0]();
    return drawn;
  };
  draw();
  assert.deepEqual(told, [11, 10, 2, 1], 'by volume');
  const { useState } = window.React;
  window.React.useState = () => useState({ key: 'name' });
  const rows = all(draw(), one => one['data-lesion']).map(one => one['data-lesion']);
  window.React.useState = useState;
  assert.deepEqual(rows, ['GTV_1', 'GTV_2', 'GTV_10', 'GTV_11']);
  assert.deepEqual(told, [1, 2, 10, 11]);
});

test('a row that is chosen comes into view, unless somebody points at it', () => {
  const scrolled = hovered => {
    effects.length = 0;
    const place = { matches: () => hovered, scrollIntoView: ({ block }) => asked.push(block) };
    const asked = [];
    window.React.useRef = () => ({ current: place });
    lesionTable({ state: { lesions: [shown(1, 'L1')], selected: 1 }, session: { set: () => {} } });
    effects.forEach(one => one());
    return asked;
  };
  assert.deepEqual([scrolled(false), scrolled(true)], [['nearest'], []]);
});

test('who was judged by a reader says so in its row', () => {
  const rows = all(lesionTable({ state: { lesions: [NEW, OLD, TARGET] }, session: {} }), one => one['data-lesion']);
  const marks = rows.map(row => all(row, one => /reader/.test(one.title)).map(one => [text(one.children), one.title]));
  assert.deepEqual(marks, [
    [['reader: equivocal', 'By a reader: equivocal']],
    [['no effect: new beyond doubt', 'By a reader: new beyond doubt, without effect']],
    [],
  ]);
});

test('a key that moves through the judgements opens their list, and enters none on the way', () => {
  const [select] = all(field([NEW], 1), one => one.type === 'select');
  const done = [];
  const press = key =>
    select.onKeyDown({
      key,
      preventDefault: () => done.push(`${key} alone does nothing`),
      currentTarget: { showPicker: () => done.push('opened') },
    });
  ['ArrowDown', 'Tab'].forEach(press);
  assert.deepEqual(done, ['ArrowDown alone does nothing', 'opened']);
});

test('the series that is named is that of the result, until another is being looked at', () => {
  const chosen = name => ({ SeriesDescription: name, reasons: [] });
  const of = name => ({ state: 'cancelled', selection: { chosen: chosen(name), candidates: [] } });
  const named = state =>
    text(all(runBox({ state: { models: [], ...state }, session: {} }), one => one.type === 'summary'));
  const [mine, result] = [of('MPRAGE'), of('SPACE')];
  assert.equal(named({ job: mine, result }), 'Series: SPACE');
  assert.equal(named({ job: mine, result, busy: true }), 'Series: MPRAGE');
  assert.equal(named({ job: mine, result: null }), 'Series: MPRAGE');
  assert.equal(named({ job: null, result }), 'Series: SPACE');
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
