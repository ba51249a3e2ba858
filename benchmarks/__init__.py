"""Timings and accuracies, measured side by side: ``python -m benchmarks``."""
