// What the panel says of a visit as a whole.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { verdict } from './metia/verdict.js';

globalThis.window = { React: { createElement: (_type, _properties, ...children) => children } };

test('the change of the sum is the one that the response goes by', () => {
  const visit = {
    StudyInstanceUID: 'B',
    role: 'follow-up',
    overall: { response: 'SD', reason: '' },
    sum_of_diameters: { total: 48.01, from_baseline_percent: -29.98, from_nadir_percent: 19.99 },
    notes: [],
  };
  const words = verdict({ state: { timeline: { visits: [visit] }, study: 'B', patient: 1 } }).flat(9);
  const sum = "Sum of the targets' diameters 48.0 mm: −29.98 % from the baseline, +19.99 % from the smallest";
  assert.ok(words.includes(sum), words.join(' | '));
});
