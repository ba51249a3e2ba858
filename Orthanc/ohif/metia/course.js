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
    const later = baseline >= 0 && Boolean(tracked) && !tracked.sizes[baseline];
    const holds = now < 0 || !tracked ? [] : heldBy(tracked.name, timeline, now);
    return {
      ...lesion,
      role: tracked?.role ?? null,
      later,
      holds,
      shown: !lesion.not_a_lesion || holds.length > 0,
      ...(now < 0 || !tracked ? {} : course(tracked.sizes, now)),
    };
  });
  return told.sort((a, b) => a.not_a_lesion - b.not_a_lesion || b.volume_mm3 - a.volume_mm3);
}

const heldBy = (name, { lesions }, now) => lesions.filter(one => one.within?.[now] === name).map(one => one.name);

function course(sizes, now) {
  const [here, before] = [sizes[now], sizes[now - 1]];
  const seen = sizes.slice(0, now).some(Boolean);
  const change = here && before ? here.longest_diameter_mm - before.longest_diameter_mm : null;
  return {
    change,
    percent: change === null ? null : (100 * change) / before.longest_diameter_mm,
    course: now === 0 ? 'first visit' : seen ? 'persisting' : 'new',
    doubtful: Boolean(here?.ambiguous),
  };
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
