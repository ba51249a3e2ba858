// What the list of a study's jobs says.
import { Problem } from './api.js';

const FINAL = ['done', 'failed', 'cancelled'];

export const isOpen = job => !FINAL.includes(job.state);

const descending = (a, b) => (a < b) - (a > b);

// The newest is the one that ended last, as on the server, whose list goes by when they were asked for: a job that is
// tried again keeps its place there. What has not ended goes before all that has.
export const newestFirst = jobs =>
  [...jobs].sort(
    (a, b) =>
      isOpen(b) - isOpen(a) || descending(a.finished ?? '', b.finished ?? '') || descending(a.version ?? 0, b.version ?? 0)
  );

// These are asked of a list that is newest first.
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
