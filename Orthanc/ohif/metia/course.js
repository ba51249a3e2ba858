// What the timeline says of the lesions of one study: what they are, and how they changed since the visit before. Why
// one is not compared, or can be no target, the server says.
export function visitOf(timeline, study) {
  return timeline?.visits.find(visit => visit.StudyInstanceUID === study) ?? null;
}

// The lesions of the study, largest first, each with its course; those that somebody refused come last. What one that
// was refused holds are lesions that it has merged with here: where there are any, it is shown all the same.
export function withCourse(lesions, timeline, study) {
  const now = timeline ? timeline.visits.findIndex(visit => visit.StudyInstanceUID === study) : -1;
  const told = lesions.map(lesion => {
    const tracked = timeline?.lesions.find(one => one.id === (lesion.part_of ?? lesion.id));
    const here = tracked?.sizes[now];
    const holds = tracked?.holds[now] ?? [];
    return {
      ...lesion,
      role: tracked?.role ?? null,
      whyNoTarget: tracked?.why_no_target ?? '',
      holds,
      shown: !lesion.not_a_lesion || holds.length > 0,
      change: here?.change ?? null,
      doubtful: Boolean(here?.ambiguous),
    };
  });
  return told.sort((a, b) => a.not_a_lesion - b.not_a_lesion || b.volume_mm3 - a.volume_mm3);
}

// What "undo" means: the newest change of one of these lesions that the server says it may mean.
export function lastChange(changes, lesions) {
  const listed = new Set(lesions.flatMap(lesion => [lesion.id, lesion.part_of]));
  return (
    changes.find(change => change.to_undo && change.subject === 'lesion' && listed.has(change.subject_id)) ?? null
  );
}
