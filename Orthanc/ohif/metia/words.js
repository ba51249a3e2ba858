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

export const cm3 = lesion => (lesion.volume_mm3 / 1000).toFixed(2);

export function signed(value, digits = 1) {
  const text = Math.abs(value).toFixed(digits);
  return Number(text) === 0 ? `±${text}` : `${value > 0 ? '+' : '−'}${text}`;
}
