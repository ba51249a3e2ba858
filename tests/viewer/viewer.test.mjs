// What is asked of OHIF when an overlay is wanted: what it may replace, and that nothing is laid twice.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { wait } from './stubs.mjs';
import { createViewer } from './metia/viewer.js';

// Two viewports beside each other, and two studies with a segmented series each.
function ohif(grid) {
  const log = [];
  const laid = new Set();
  const sets = ['A', 'B'].flatMap(study =>
    ['mr', 'flair', 'seg'].map(kind => ({
      displaySetInstanceUID: `${kind}-${study}`,
      SeriesInstanceUID: `${kind}-${study}`,
      StudyInstanceUID: study,
      Modality: kind === 'seg' ? 'SEG' : 'MR',
      instance: {},
    }))
  );
  const place = { active: 'left' };
  const services = {
    displaySetService: {
      getActiveDisplaySets: () => sets,
      getDisplaySetByUID: uid => sets.find(one => one.displaySetInstanceUID === uid),
    },
    viewportGridService: {
      getActiveViewportId: () => place.active,
      getDisplaySetsUIDsForViewport: viewportId => [grid[viewportId]],
      getState: () => ({ viewports: new Map(Object.entries(grid)) }),
      setDisplaySetsForViewport({ viewportId, displaySetInstanceUIDs: [uid] }) {
        log.push(`${uid} into ${viewportId}`);
        grid[viewportId] = uid;
      },
    },
    cornerstoneViewportService: {
      getCornerstoneViewport: () => ({ getCurrentImageId: () => 'x', hasImageURI: () => true }),
    },
    segmentationService: {
      getSegmentationRepresentations: (viewportId, { segmentationId }) =>
        laid.has(`${viewportId} ${segmentationId}`) ? [{}] : [],
    },
  };
  const commandsManager = {
    run(command, { viewportId, displaySetInstanceUID: uid }) {
      log.push(`${uid} over ${grid[viewportId]} in ${viewportId}`);
      setTimeout(() => laid.add(`${viewportId} ${uid}`), 200);
    },
  };
  const viewer = createViewer({ servicesManager: { services }, commandsManager, extensionManager: {} });
  const overlay = (study, replace) => viewer.overlay(study, `mr-${study}`, `seg-${study}`, { look: false, replace });
  return { log, grid, place, overlay };
}

test('the segmented series gets its overlay', async () => {
  const { log, overlay } = ohif({ left: 'mr-A', right: 'mr-B' });
  assert.equal((await overlay('A', false)).SeriesInstanceUID, 'seg-A');
  await overlay('A', true);
  assert.deepEqual(log, ['seg-A over mr-A in left']);
});

test('another image of the study gives way only if that is asked', async () => {
  const { log, overlay } = ohif({ left: 'flair-A', right: 'mr-B' });
  assert.equal(await overlay('A', false), null);
  assert.deepEqual(log, []);
  await overlay('A', true);
  assert.deepEqual(log, ['mr-A into left', 'seg-A over mr-A in left']);
});

test('an image of another study never does', async () => {
  const { log, overlay } = ohif({ left: 'mr-A', right: 'mr-B' });
  assert.equal(await overlay('B', true), null);
  assert.deepEqual(log, []);
});

test('it goes where it was asked for, whatever is active by then, and not over what has come there since', async () => {
  const { log, grid, place, overlay } = ohif({ left: 'mr-A', right: 'mr-B' });
  const drawn = overlay('A', true);
  place.active = 'right';
  await drawn;
  assert.deepEqual(log, ['seg-A over mr-A in left']);
  const late = overlay('B', true);
  grid.right = 'flair-A';
  assert.equal(await late, null);
  assert.equal(log.length, 1);
});

test('asked for twice, it is laid once', async () => {
  const { log, overlay } = ohif({ left: 'mr-A', right: 'mr-B' });
  const first = overlay('A', false);
  await wait(50);
  await Promise.all([first, overlay('A', true)]);
  assert.deepEqual(log, ['seg-A over mr-A in left']);
});
