// What the panel says of a visit as a whole.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { verdict } from './metia/verdict.js';

globalThis.window = { React: { createElement: (_type, _properties, ...children) => children } };

function said(sum, role = 'follow-up') {
  const overall = { response: 'PR', reason: 'r', confirmation: 'c', sentence: 'The reason, and whether it lasted.' };
  const visit = { StudyInstanceUID: 'B', role, overall, deciding_sum: sum, notes: [] };
  return verdict({ state: { timeline: { visits: [visit] }, study: 'B', patient: 1 } }).flat(9);
}

const diameters = { of: 'longest diameters', unit: 'mm', total: 48.01 };
const volumes = { of: 'volumes', unit: 'mm3', total: 8378.4, from_baseline_percent: 95.31, from_nadir_percent: 95.31 };
const sums = [
  [
    'with its change cut off as the response goes by it',
    { ...diameters, from_baseline_percent: -29.98, from_nadir_percent: 19.99 },
    "Sum of the targets' longest diameters 48.0 mm: −29.98 % from the baseline, +19.99 % from the nadir",
  ],
  [
    'of volumes where these decide',
    volumes,
    "Sum of the targets' volumes 8.38 cm³: +95.31 % from the baseline, +95.31 % from the nadir",
  ],
  [
    'back after all had gone',
    { ...diameters, from_baseline_percent: 20.02, from_nadir_percent: null },
    "Sum of the targets' longest diameters 48.0 mm: +20.02 % from the baseline",
  ],
  [
    'without anything to compare with',
    { ...diameters, from_baseline_percent: null, from_nadir_percent: null },
    "Sum of the targets' longest diameters 48.0 mm",
  ],
];
for (const [what, sum, words] of sums) {
  test(`the sum: ${what}`, () => assert.ok(said(sum).includes(words), said(sum).join(' | ')));
}

test('a small volume is told to the mm3', () => {
  assert.ok(said({ ...volumes, total: 14.1 }, 'baseline').includes("Sum of the targets' volumes 0.014 cm³"));
});

test('at the baseline the sum has not changed', () => {
  assert.ok(said(volumes, 'baseline').includes("Sum of the targets' volumes 8.38 cm³"));
});

test('a sum that nobody can tell is not shown', () => {
  for (const none of [null, { ...diameters, total: null }]) assert.ok(!said(none).join().includes('Sum'));
});

test('why is said in one sentence, as everywhere', () => {
  assert.ok(said(null).includes('The reason, and whether it lasted.'));
});
