"""From a model on disk to a network in memory, running no code but ours."""
