// What the timeline says of the lesions of one study: what they are, and how they changed since the visit before.
export function visitOf(timeline, study) {
  return timeline?.visits.find(visit => visit.StudyInstanceUID === study) ?? null;
}

// The lesions of the study, largest first, each with its course; those that somebody refused come last. What one that
// was refused holds are lesions that it has merged with here: where there are any, it is shown all the same.
export function withCourse(lesions, timeline, study) {
  const now = timeline ? timeline.visits.findIndex(visit => visit.StudyInstanceUID === study) : -1;
  const baseline = timeline ? timeline.visits.findIndex(visit => visit.StudyInstanceUID === timeline.baseline) : -1;
  const told = lesions.map(lesion => {
    const tracked = timeline?.lesions.find(one => one.id === (lesion.part_of ?? lesion.id));
    const holds = now < 0 || !tracked ? [] : heldBy(tracked.name, timeline, now);
    return {
      ...lesion,
      role: tracked?.role ?? null,
      later: tracked && baseline >= 0 ? whyLater(tracked, baseline) : null,
      holds,
      shown: !lesion.not_a_lesion || holds.length > 0,
      ...(now < 0 || !tracked ? {} : course(tracked, timeline, now)),
    };
  });
  return told.sort((a, b) => a.not_a_lesion - b.not_a_lesion || b.volume_mm3 - a.volume_mm3);
}

// What a lesion had merged into at a visit, be it a lesion or none.
const partOf = ({ within, absorbed_by: by }, visit) => within?.[visit] ?? by?.[visit] ?? null;

const heldBy = (name, { lesions }, visit) =>
  lesions.filter(one => partOf(one, visit) === name).map(one => one.name);

// Why a lesion has no size at the baseline; null where it has one.
function whyLater(tracked, baseline) {
  if (tracked.sizes[baseline]) return null;
  const whole = partOf(tracked, baseline);
  if (whole) return `It was part of ${whole} at the baseline`;
  if (tracked.not_covered?.[baseline]) return 'The images of the baseline do not show its place';
  return 'It was not there at the baseline';
}

// A change is given only between two sizes of the same thing; else `course` says in words why there is none.
function course(tracked, timeline, now) {
  const [here, before] = [tracked.sizes[now], tracked.sizes[now - 1]];
  const doubtful = Boolean(here?.ambiguous);
  const why = whyNoChange(tracked, timeline, now);
  if (why !== null) return { change: null, percent: null, course: why, doubtful };
  const change = here.longest_diameter_mm - before.longest_diameter_mm;
  return { change, percent: (100 * change) / before.longest_diameter_mm, course: '', doubtful };
}

// Visits without a date come last: what lies before one in time nobody knows. What is new, the server says.
function whyNoChange(tracked, timeline, now) {
  const [visit, here, before] = [timeline.visits[now], tracked.sizes[now], tracked.sizes[now - 1]];
  if (!visit.date) return 'no date';
  if (!here) return '';
  if (now === 0) return 'first visit';
  if (before) return whyUnlike(tracked.name, timeline, now);
  const whole = partOf(tracked, now - 1);
  if (whole) return `was part of ${whole}`;
  const seen = tracked.sizes.slice(0, now).some(Boolean);
  if (!seen && visit.new_lesions.includes(tracked.tracking_uid)) return 'new';
  if (!seen && visit.equivocal_lesions.includes(tracked.tracking_uid)) return 'perhaps new';
  if (tracked.not_covered?.[now - 1]) return 'not covered before';
  if (seen) return 'seen again';
  return here.relation?.startsWith('split') ? 'split off' : 'not seen before';
}

// A lesion is not compared with itself and others together.
function whyUnlike(name, timeline, now) {
  const [held, holds] = [now - 1, now].map(visit => heldBy(name, timeline, visit));
  if (holds.some(one => !held.includes(one))) return `holds ${holds.join(', ')}`;
  const lost = held.filter(one => !holds.includes(one));
  return lost.length ? `held ${lost.join(', ')} before` : null;
}

// The newest change of one of these lesions that was neither taken back nor takes one back: what "undo" means.
export function lastChange(changes, lesions) {
  const undone = new Set(changes.map(change => change.undoes));
  const listed = new Set(lesions.flatMap(lesion => [lesion.id, lesion.part_of]));
  return (
    changes.find(
      change =>
        change.subject === 'lesion' &&
        listed.has(change.subject_id) &&
        change.undoes === null &&
        !undone.has(change.id)
    ) ?? null
  );
}
