// Numbers and states as a person reads them.
const STAGES = {
  queued: 'Waiting',
  fetching: 'Fetching the images',
  reading: 'Reading the images',
  segmenting: 'Looking for lesions',
  measuring: 'Measuring',
  writing: 'Writing the results',
  done: 'Done',
  failed: 'Failed',
  cancelled: 'Cancelled',
};
const RESPONSES = {
  CR: 'Complete response',
  PR: 'Partial response',
  SD: 'Stable disease',
  PD: 'Progressive disease',
  NE: 'Not evaluable',
};

export const stage = job =>
  job.state === 'queued' && job.queue_position > 1 ? `Waiting, number ${job.queue_position} in line` : STAGES[job.state];

export const response = name => (RESPONSES[name] ? `${RESPONSES[name]} (${name})` : name);

export const size = lesion =>
  `${lesion.longest_diameter_mm.toFixed(1)} × ${lesion.perpendicular_diameter_mm.toFixed(1)}`;

// As results/numbers.py has it.
export const cm3 = mm3 => (mm3 / 1000).toFixed(mm3 > 0 && mm3 < 100 ? 3 : 2);

export function signed(value, digits = 1) {
  const text = Math.abs(value).toFixed(digits);
  return Number(text) === 0 ? `±${text}` : `${value > 0 ? '+' : '−'}${text}`;
}

// How a lesion has changed since the visit before, or why there is nothing to compare it with.
export function changeOf({ change, doubtful, holds, not_a_lesion: refused }) {
  const doubt = doubtful ? '? ' : ''; // first: the cell is narrow, and what stands last in it may be cut off
  if (refused && holds.length) return `holds ${holds.join(', ')}`;
  if (!change || change.mm === null) return `${doubt}${change?.why ?? ''}`;
  return `${doubt}${signed(change.mm)} (${signed(change.percent, 2)} %)`;
}

const ROLES = { target: 'target ', non_target: 'non-target ', new: 'new lesion ' };

// A lesion by its name, and what it counts as.
export const called = (name, role) => `${ROLES[role] ?? ''}${name}`;

// As the follow-up page has them.
export const JUDGEMENTS = {
  new: 'new beyond doubt',
  equivocal: 'equivocal',
  progression: 'unequivocal progression',
  'no progression': 'no progression',
};

const DECISIONS = {
  name: name => `renamed "${name}"`,
  not_a_lesion: refused => (refused ? 'called no lesion' : 'called a lesion again'),
  target: target => ({ true: 'made a target', false: 'taken from the targets' })[target] ?? 'left to the rule for targets',
  merged_into: into => (into === null ? 'separated again' : 'merged with another'),
  split_from: from => (from === null ? 'joined again' : 'split off'),
};

// What somebody decided of a lesion, under the name that it has or had: 'L3 was called no lesion'.
export function decision({ subject, before, after, subject_id: id }, lesions) {
  if (subject === 'visit') return judgements(before.judgements, after.judgements, lesions);
  const what = Object.keys(after).flatMap(field => DECISIONS[field]?.(after[field]) ?? []);
  const lesion = lesions.find(one => one.id === id || one.part_of === id);
  return `${before.name ?? lesion?.name ?? 'a lesion'} was ${what.join(', ')}`;
}

// What a reader said of lesions, by tracking UID: 'L3 was judged equivocal'.
function judgements(before, after, lesions) {
  const changed = Object.keys({ ...before, ...after }).filter(uid => before[uid] !== after[uid]);
  const told = changed.map(uid => {
    const name = lesions.find(one => one.tracking_uid === uid)?.name ?? 'a lesion';
    return `${name} was ${uid in after ? `judged ${JUDGEMENTS[after[uid]]}` : 'left to the rule again'}`;
  });
  return told.join(', ');
}

export const who = ({ by, at }) => `${by}, ${new Date(at).toLocaleString()}`;
