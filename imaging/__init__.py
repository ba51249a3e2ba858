"""From DICOM instances to one checked volume: reading, geometry checks, choosing the series of a study."""
