// MetIA's REST interface. Whatever goes wrong is a Problem that a person can read.
export class Problem extends Error {
  constructor({ type = '', status = 0, title, detail, what_to_do: advice = '', ...more }) {
    super(detail || title);
    const { candidates = [], job = null, failed = null } = more; // `job`: where the one that is in the way is
    Object.assign(this, { type, status, title, detail, advice, candidates, job, failed });
  }
}

// Who changes something, as entered on the follow-up page: in UTF-8, of which fetch takes byte by byte only.
function by() {
  const user = stored('metia-user');
  return user ? { 'X-User': String.fromCharCode(...new TextEncoder().encode(user)) } : {};
}

// A browser may keep nothing, and say so with an exception.
function stored(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

async function call(method, path, body, headers = {}) {
  const json = body === undefined ? {} : { 'Content-Type': 'application/json' };
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers: { Accept: 'application/json', ...json, ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Problem({ title: 'MetIA server does not answer', detail: 'No connection. Is it running?' });
  }
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    throw new Problem({ title: `The server answered ${answer.status}`, ...said, status: answer.status });
  }
  return said;
}

const uid = encodeURIComponent;

export const models = () => call('GET', '/models');
export const segment = request => call('POST', '/segment', request);
export const job = id => call('GET', `/jobs/${uid(id)}`);
// Those that tell how the study stands: a list of all would end before its segmentation, so often may names change.
export const jobs = study =>
  call('GET', `/jobs?StudyInstanceUID=${uid(study)}&which=current`).then(said => said.jobs);
export const at = address => call('GET', address);
export const retry = id => call('POST', `/jobs/${uid(id)}/retry`);
export const cancel = id => call('DELETE', `/jobs/${uid(id)}`);
export const lesions = study => call('GET', `/studies/${uid(study)}/lesions`);
export const timeline = patient => call('GET', `/patients/${patient}/timeline`);
export const changes = patient => call('GET', `/patients/${patient}/changes`).then(said => said.changes);
// Gives the lesion as it is then.
export const change = (lesion, values) =>
  call('PATCH', `/lesions/${lesion.id}`, values, { 'If-Match': `"${lesion.version}"`, ...by() }).then(
    said => said.lesion
  );
// What a reader says of a lesion at a visit, null: nothing. Gives what is known of the visit then.
export const judge = (study, version, lesion, said) =>
  call('POST', `/visits/${uid(study)}/assessment`, { judgements: { [lesion]: said } }, {
    'If-Match': `"${version}"`,
    ...by(),
  });
export const undo = change => call('POST', `/changes/${change.id}/undo`, undefined, by());
