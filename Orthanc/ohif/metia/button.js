// The toolbar's button: starts a segmentation; grey while no MR is shown, and with the percent while one runs.
import { h, useStore } from './react.js';
import { createStore } from './store.js';

const NOTHING = createStore({ job: null, busy: false });

const MR_OR_MADE_OF_IT = ['MR', 'SEG', 'RTSTRUCT', 'SR'];

export function evaluateMr(servicesManager, viewportId) {
  const { displaySetService, viewportGridService } = servicesManager.services;
  const shown = (viewportGridService.getDisplaySetsUIDsForViewport(viewportId) ?? []).map(uid =>
    displaySetService.getDisplaySetByUID(uid)
  );
  const disabled = !shown.some(displaySet => MR_OR_MADE_OF_IT.includes(displaySet?.Modality));
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
