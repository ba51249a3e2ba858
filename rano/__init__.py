"""From a label map to lesions and their RANO-BM measurements: pure functions on arrays and dataclasses."""
