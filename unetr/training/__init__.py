"""Training: patches from a pool of volumes, the Lightning module, the trained weights as a MONAI bundle."""
