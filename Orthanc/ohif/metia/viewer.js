// All that is asked of OHIF: what is shown, a series that is new in the archive, an overlay, a place to look at.
const PATIENCE_MS = 30000;
const LOOK_MS = 40;
const SETTLE_MS = 700; // until another image has taken the place of the one before
const PANEL = 'metia.panelModule.lesions';

export function createViewer({ servicesManager, commandsManager, extensionManager }) {
  const { displaySetService, viewportGridService, cornerstoneViewportService, segmentationService, panelService } =
    servicesManager.services;

  const active = () => viewportGridService.getActiveViewportId();
  const bySeries = series => displaySetService.getActiveDisplaySets().find(one => one.SeriesInstanceUID === series);
  const shownIn = viewportId =>
    (viewportGridService.getDisplaySetsUIDsForViewport(viewportId) ?? [])
      .map(uid => displaySetService.getDisplaySetByUID(uid))
      .filter(Boolean);
  const overlaid = (viewportId, segmentationId) =>
    segmentationService.getSegmentationRepresentations(viewportId, { segmentationId }).length > 0;
  const viewports = () => [...viewportGridService.getState().viewports.keys()];
  const layers = new Map(); // that are on their way into a viewport

  async function until(found, what) {
    const end = Date.now() + PATIENCE_MS;
    for (let value = found(); ; value = found()) {
      if (value) return value;
      if (Date.now() > end) throw new Error(`${what} did not appear in the viewer; open the study again.`);
      await new Promise(resolve => setTimeout(resolve, LOOK_MS));
    }
  }

  // OHIF keeps what it once heard of a study, under a name that its own clearing does not use: both are cleared.
  async function bring(study, series) {
    const missing = series.filter(uid => !bySeries(uid));
    if (!missing.length) return;
    const [source] = extensionManager.getActiveDataSource();
    for (const name of [study, `${source.getConfig().name}:${study}`]) source.deleteStudyMetadataPromise(name);
    await source.retrieve.series.metadata({ StudyInstanceUID: study, filters: { seriesInstanceUID: missing } });
  }

  // Where the first segment, the largest lesion, is: a point of its middle plane.
  function middle(seg) {
    const item = (groups, name) => [groups[name] ?? []].flat()[0] ?? {};
    const planes = [seg.instance?.PerFrameFunctionalGroupsSequence ?? []]
      .flat()
      .filter(groups => Number(item(groups, 'SegmentIdentificationSequence').ReferencedSegmentNumber) === 1)
      .map(groups => item(groups, 'PlanePositionSequence').ImagePositionPatient);
    return planes[planes.length >> 1]?.map(Number);
  }

  function lookAt(point, viewportId = active()) {
    const viewport = cornerstoneViewportService.getCornerstoneViewport(viewportId);
    if (point && viewport?.getImageData?.()) viewport.jumpToWorld?.(point);
  }

  // With each layer that comes or goes OHIF sets the images of a viewport up anew, and shows the first of them.
  const place = viewportId => cornerstoneViewportService.getCornerstoneViewport(viewportId)?.getCamera?.().focalPoint;

  function stay(viewportId) {
    const before = place(viewportId);
    const again = () => setTimeout(lookAt, 0, before, viewportId);
    const element = cornerstoneViewportService.getCornerstoneViewport(viewportId)?.element;
    const once = { once: true, signal: AbortSignal.timeout(PATIENCE_MS) };
    element?.addEventListener('CORNERSTONE_VIEWPORT_NEW_IMAGE_SET', again, once);
  }

  // Lay a SEG over its MR in the viewport that is active now, at its first segment if asked; gives the display set of the
  // SEG. Another image of the study gives way to the MR only if asked, one of another study never: then it gives null.
  async function overlay(study, mrSeries, segSeries, { look, replace }) {
    const viewportId = active();
    const fits = () => {
      const shown = shownIn(viewportId);
      return shown.some(one => one.SeriesInstanceUID === mrSeries) || (replace && shown[0]?.StudyInstanceUID === study);
    };
    if (!fits()) return null;
    await bring(study, [segSeries]);
    const seg = await until(() => bySeries(segSeries), 'The overlay');
    const mr = await until(() => bySeries(mrSeries), 'The segmented series');
    if (!fits()) return null;
    if (!shownIn(viewportId).includes(mr)) {
      viewportGridService.setDisplaySetsForViewport({
        viewportId,
        displaySetInstanceUIDs: [mr.displaySetInstanceUID],
      });
    }
    await until(() => shows(viewportId, mr), 'The segmented series');
    // Where an overlay is replaced somebody is at a place; in a viewport just opened OHIF is still on its way to one.
    const replaced = shownIn(viewportId).length > 1;
    const point = look ? middle(seg) : replaced ? place(viewportId) : null;
    lookAt(point, viewportId);
    await layer(viewportId, seg.displaySetInstanceUID, point);
    return seg;
  }

  // Each SEG is laid into a viewport once, however often it is asked for meanwhile; `point` is in view then.
  function layer(viewportId, displaySetInstanceUID, point) {
    const key = `${viewportId} ${displaySetInstanceUID}`;
    const lay = async () => {
      if (overlaid(viewportId, displaySetInstanceUID)) return;
      commandsManager.run('addDisplaySetAsLayer', { viewportId, displaySetInstanceUID });
      await until(() => overlaid(viewportId, displaySetInstanceUID), 'The overlay');
      await nextImage(viewportId);
      lookAt(point, viewportId);
    };
    if (!layers.has(key)) layers.set(key, lay().finally(() => layers.delete(key)));
    return layers.get(key);
  }

  // Until OHIF has drawn once more: what is asked of it before that delays the drawing.
  function nextImage(viewportId) {
    const element = cornerstoneViewportService.getCornerstoneViewport(viewportId)?.element;
    return new Promise(resolve => {
      element?.addEventListener('CORNERSTONE_IMAGE_RENDERED', resolve, { once: true });
      setTimeout(resolve, SETTLE_MS);
    });
  }

  function shows(viewportId, displaySet) {
    const viewport = cornerstoneViewportService.getCornerstoneViewport(viewportId);
    return viewport?.getCurrentImageId?.() && viewport.hasImageURI && shownIn(viewportId).includes(displaySet);
  }

  // Take an overlay that the archive has no more, and its thumbnail, away. OHIF remembers what was laid over an image and
  // lays it there again, also after its layer has gone: only what is no segmentation any more stays away.
  async function forget(series) {
    const old = bySeries(series);
    if (!old) return;
    const { displaySetInstanceUID: uid } = old;
    const showing = () => viewports().filter(id => shownIn(id).includes(old));
    showing().forEach(stay);
    const drawn = () => viewports().some(id => overlaid(id, uid));
    segmentationService.remove(uid); // OHIF then takes its layers away
    let gone = Date.now(); // since when no viewport has it: OHIF falls over one whose display set is not there
    await until(() => {
      if (drawn()) segmentationService.remove(uid); // it was on its way into one
      else if (!showing().length) return Date.now() - gone >= SETTLE_MS;
      gone = Date.now();
      return false;
    }, 'The change');
    displaySetService.deleteDisplaySet(uid);
  }

  // Tracking UID -> number of the segment.
  function segments(seg) {
    const items = [seg?.instance?.SegmentSequence ?? []].flat();
    return new Map(items.map(item => [item.TrackingUID, Number(item.SegmentNumber)]));
  }

  return {
    overlay,
    bring,
    forget,
    openPanel: () => panelService.activatePanel(PANEL, true),
    jump(lesion, seg) {
      const viewportId = active();
      lookAt(lesion.centroid_lps_mm);
      const segment = segments(seg).get(lesion.tracking_uid);
      if (segment && overlaid(viewportId, seg.displaySetInstanceUID)) {
        segmentationService.setActiveSegment(seg.displaySetInstanceUID, segment);
        segmentationService.highlightSegment(seg.displaySetInstanceUID, segment, viewportId, 0.9, 750, false);
      }
    },
    // Names of the lesions, and whether they are shown, onto the overlay, wherever it is; its colours onto the lesions.
    agree(lesions, seg) {
      const [id, numbers] = [seg?.displaySetInstanceUID, segments(seg)];
      const places = viewports().filter(viewportId => id && overlaid(viewportId, id));
      if (!places.length) return lesions;
      const named = segmentationService.getSegmentation(id)?.segments ?? {};
      return lesions.map(lesion => {
        const segment = numbers.get(lesion.tracking_uid);
        if (!segment) return lesion;
        // Only what is new, for each change has OHIF draw everything again.
        if (named[segment]?.label !== lesion.name) segmentationService.setSegmentLabel(id, segment, lesion.name);
        for (const viewportId of places) {
          const [{ segments: drawn = {} }] = segmentationService.getSegmentationRepresentations(viewportId, {
            segmentationId: id,
          });
          const { visible } = drawn[segment] ?? {};
          if (visible !== lesion.shown) {
            segmentationService.setSegmentVisibility(viewportId, id, segment, lesion.shown);
          }
        }
        return { ...lesion, colour: segmentationService.getSegmentColor(places[0], id, segment)?.slice(0, 3) };
      });
    },
    shownStudy: () => shownIn(active())[0]?.StudyInstanceUID ?? null,
    shownReport: () => shownIn(active()).find(one => one.Modality === 'SR')?.SeriesInstanceUID ?? null,
    async drawn() {
      await new Promise(resolve => setTimeout(resolve, SETTLE_MS));
      await until(() => cornerstoneViewportService.getCornerstoneViewport(active())?.getImageData?.(), 'The image');
    },
    shownMr: () => shownIn(active()).find(one => one.Modality === 'MR')?.SeriesInstanceUID ?? null,
    whenShownChanges(listener) {
      const { ACTIVE_VIEWPORT_ID_CHANGED, GRID_STATE_CHANGED, VIEWPORTS_READY } = viewportGridService.EVENTS;
      const heard = [ACTIVE_VIEWPORT_ID_CHANGED, GRID_STATE_CHANGED, VIEWPORTS_READY].map(event =>
        viewportGridService.subscribe(event, listener)
      );
      return () => heard.forEach(one => one.unsubscribe());
    },
  };
}
