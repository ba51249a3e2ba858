// What the list of a study's jobs, newest first, says.
import { Problem } from './api.js';

const FINAL = ['done', 'failed', 'cancelled'];

export const isOpen = job => !FINAL.includes(job.state);

export const underWay = jobs => jobs.find(job => isOpen(job) && job.purpose === 'segment');

// The newest segmentation that is done, and how its series was written last: names may have changed since.
export function latest(jobs) {
  const done = jobs.filter(job => job.state === 'done');
  const segmented = done.find(job => job.purpose === 'segment');
  return segmented && { segmented, result: done.find(job => job.SeriesInstanceUID === segmented.SeriesInstanceUID) };
}

// The series that a job wrote and that the archive still has.
export const written = (job, kind) => job.results.find(one => one.kind === kind && !one.retired)?.SeriesInstanceUID;

// Why a job failed; null where it did not. It can be tried again.
export const failure = job =>
  job?.state === 'failed' ? new Problem({ title: 'The job failed', ...job.problem, failed: job.id }) : null;
