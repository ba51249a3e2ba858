// OHIF's own React, which app-config.js keeps; the components are written as calls of h(type, properties, ...children).
export const h = (...element) => window.React.createElement(...element);
export const useState = initial => window.React.useState(initial);
export const useEffect = (action, of) => window.React.useEffect(action, of);
export const useRef = initial => window.React.useRef(initial);
export const useMemo = (make, of) => window.React.useMemo(make, of);
export const useStore = store => window.React.useSyncExternalStore(store.subscribe, store.get);
