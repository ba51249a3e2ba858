// The toolbar's button: starts a segmentation; grey while no MR is shown, and with the percent while one runs.
import { h, useStore } from './react.js';
import { createStore } from './store.js';

const NOTHING = createStore({ job: null, busy: false });

export function evaluateMr(servicesManager, viewportId) {
  const { displaySetService, viewportGridService } = servicesManager.services;
  const find = uid => uid && displaySetService.getDisplaySetByUID(uid);
  // An overlay or a report is shown on the series that it refers to.
  const isMr = displaySet =>
    displaySet?.Modality === 'MR' || find(displaySet?.referencedDisplaySetInstanceUID)?.Modality === 'MR';
  const disabled = !(viewportGridService.getDisplaySetsUIDsForViewport(viewportId) ?? []).map(find).some(isMr);
  return { disabled, disabledText: disabled ? 'MetIA segments MR; none is shown' : '' };
}

export function button({ id, disabled, disabledText }, session) {
  const { job, busy } = useStore(session?.store ?? NOTHING);
  return h(
    'button',
    {
      type: 'button',
      className: 'metia-button',
      'data-cy': id,
      disabled: disabled || busy || !session,
      title: disabledText || 'Find brain metastases in this study (MetIA)',
      onClick: () => session.run(),
    },
    busy && job ? `MetIA ${job.percent} %` : 'MetIA'
  );
}
