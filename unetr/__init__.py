"""The network: models, inference, synthetic data, training and evaluation. Knows arrays and affines, never DICOM."""
