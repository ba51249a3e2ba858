"""What the API and the worker log: job ids, never a patient.

Libraries that talk to the archive tell of what they copy and search for; pydicom is hushed by ``imaging.leniency``.
"""

import logging

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_QUIET = ("highdicom", "dicomweb_client")


def start_logging(level: str) -> None:
    """Log from this level on, to stderr; for the process as a whole, once."""
    logging.basicConfig(level=level, format=FORMAT)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
