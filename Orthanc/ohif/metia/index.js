// The extension as OHIF loads it: a toolbar button, a panel, two commands for keys, and a session while a mode is open.
import { button, evaluateMr } from './button.js';
import { panel } from './panel.js';
import { createSession } from './session.js';
import { createViewer } from './viewer.js';

let session = null;

const stylesheet = document.createElement('link');
stylesheet.rel = 'stylesheet';
stylesheet.href = new URL('./metia.css', import.meta.url).href;
document.head.append(stylesheet);

const step = by => () => session?.step(by);

export default {
  id: 'metia',

  onModeEnter(managers) {
    session = createSession(createViewer(managers));
  },

  onModeExit() {
    session?.end();
    session = null;
  },

  getToolbarModule: ({ servicesManager }) => [
    { name: 'metia.button', defaultComponent: props => button(props, session) },
    { name: 'evaluate.metia.mr', evaluate: ({ viewportId }) => evaluateMr(servicesManager, viewportId) },
  ],

  getPanelModule: () => [
    { name: 'lesions', label: 'MetIA', iconName: 'icon-tool-click-segment', component: () => panel(session) },
  ],

  getCommandsModule: () => ({
    definitions: { metiaNextLesion: { commandFn: step(1) }, metiaPreviousLesion: { commandFn: step(-1) } },
    defaultContext: 'DEFAULT',
  }),
};
