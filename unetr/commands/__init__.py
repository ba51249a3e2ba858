"""The sub-commands of ``python -m unetr``, one module each."""
