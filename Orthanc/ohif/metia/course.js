// What the timeline says of the lesions of one study: what they are, and how they changed since the visit before. Why
// one is not compared, or can be no target, the server says.
export function visitOf(timeline, study) {
  return timeline?.visits.find(visit => visit.StudyInstanceUID === study) ?? null;
}

// The lesions of the study, largest first, each with its course; those that somebody refused come last. What one that
// was refused holds are lesions that it has merged with here: where there are any, it is shown all the same.
export function withCourse(lesions, timeline, study) {
  const visit = visitOf(timeline, study);
  const now = timeline ? timeline.visits.findIndex(visit => visit.StudyInstanceUID === study) : -1;
  const told = lesions.map(lesion => {
    const known = id => timeline?.lesions.find(one => one.id === id);
    const tracked = known(lesion.part_of ?? lesion.id);
    const elsewhere = lesion.part_of === null ? '' : `Part of ${tracked?.name ?? 'another lesion'}: choose there`;
    const here = tracked?.sizes[now];
    const holds = tracked?.holds[now] ?? [];
    return {
      ...lesion,
      role: tracked?.role ?? null,
      whyNoTarget: elsewhere || (tracked?.why_no_target ?? ''),
      // A part that is none with the whole only is one again with it.
      whyNotBack: lesion.not_a_lesion && !known(lesion.id)?.not_a_lesion ? elsewhere : '',
      holds,
      shown: !lesion.not_a_lesion || holds.length > 0,
      change: here?.change ?? null,
      doubtful: Boolean(here?.ambiguous),
      judging: judgingOf(tracked, visit),
    };
  });
  return told.sort((a, b) => a.not_a_lesion - b.not_a_lesion || b.volume_mm3 - a.volume_mm3);
}

// What a reader says of a lesion at a visit, and can say with effect: of a part, what is said of the whole.
function judgingOf(tracked, visit) {
  if (!tracked || !visit) return { said: null, can: [] };
  const { tracking_uid: uid, name } = tracked;
  const { judgements, version } = visit.assessment;
  return { uid, name, version, said: judgements[uid] ?? null, can: visit.judgeable[uid] ?? [] };
}

// What "undo" means: the newest change, that the server says it may mean, of one of these lesions, or of what a reader
// says of them at this visit. One that was entered together with a dose is not for the panel to take back.
export function lastChange(changes, lesions, visit) {
  const able = changes.filter(change => change.to_undo);
  const listed = new Set(lesions.flatMap(lesion => [lesion.id, lesion.part_of]));
  const judged = able.find(
    ({ subject, subject_id: id, after }) => subject === 'visit' && id === visit?.id && 'judgements' in after
  );
  const alone = judged && Object.keys(judged.after).length === 1;
  const found = able.find(one => (one === judged ? alone : one.subject === 'lesion' && listed.has(one.subject_id)));
  return found ?? null;
}
