// OHIF's configuration: the archive as this origin gives it, and MetIA's button, panel and keys.
// OHIF itself is the prebuilt one; everything of ours comes in through this file.
window.config = {
  routerBasename: '/ohif',
  showStudyList: true,
  extensions: ['/ohif/extension/index.js'],
  modes: [],
  maxNumberOfWebWorkers: 3,
  showWarningMessageForCrossOrigin: false,
  showCPUFallbackMessage: true,
  showLoadingIndicator: true,
  strictZSpacingForVolumeViewport: true,
  investigationalUseDialog: { option: 'never' },
  whiteLabeling: {
    // OHIF hands its React over here and nowhere else; no component is returned, so its own logo stays.
    createLogoComponentFn: React => {
      window.React ??= React;
      return null;
    },
  },
  customizationService: {
    global: {
      'ohif.tours': { $set: [] },
      // A report may measure segments, and not points. OHIF 3.13.2 looks for the image of its first point all the same,
      // in one series after the other; it is content once such a measurement has an empty point and counts as loaded.
      onBeforeSRAddMeasurement: {
        $set: ({ measurement }) => {
          if (measurement.coords.length) return measurement;
          measurement.loaded = true;
          return { ...measurement, coords: [{}] };
        },
      },
      'ohif.hotkeyBindings': {
        $push: [
          { commandName: 'metiaNextLesion', label: 'MetIA: next lesion', keys: ['j'] },
          { commandName: 'metiaPreviousLesion', label: 'MetIA: previous lesion', keys: ['k'] },
        ],
      },
    },
    mode: {
      '*': {
        toolbarButtons: {
          $push: [{ id: 'MetIA', uiType: 'metia.button', props: { label: 'MetIA', evaluate: 'evaluate.metia.mr' } }],
        },
        // The list that is pushed last replaces OHIF's: it is OHIF's own, with our button at the end.
        toolbarSections: {
          $push: [
            {
              primary: [
                'MeasurementTools',
                'Zoom',
                'Pan',
                'TrackballRotate',
                'WindowLevel',
                'Capture',
                'Layout',
                'Crosshairs',
                'MoreTools',
                'MetIA',
              ],
            },
          ],
        },
        rightPanels: { $unshift: ['metia.panelModule.lesions'] },
      },
    },
  },
  defaultDataSourceName: 'dicomweb',
  dataSources: [
    {
      namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
      sourceName: 'dicomweb',
      configuration: {
        friendlyName: 'Orthanc',
        name: 'orthanc',
        qidoRoot: '/dicom-web',
        wadoRoot: '/dicom-web',
        wadoUriRoot: '/dicom-web',
        qidoSupportsIncludeField: true,
        supportsFuzzyMatching: false,
        supportsWildcard: true,
        imageRendering: 'wadors',
        thumbnailRendering: 'wadors',
        enableStudyLazyLoad: true,
        dicomUploadEnabled: true,
        omitQuotationForMultipartRequest: true,
        singlepart: 'pdf,video',
        bulkDataURI: { enabled: true, relativeResolution: 'studies' },
      },
    },
  ],
};
