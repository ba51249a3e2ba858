"""Synthetic post-contrast T1 heads with known metastases: the training data of the shipped model, and the demo's.

``anatomy`` holds the template, ``fields`` the random numbers, ``head`` makes a lesion-free enhanced head,
``lesions`` paints metastases into it, ``acquisition`` does what a scanner does to it, ``generator`` joins them.
"""
