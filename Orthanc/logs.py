"""What the API and the worker log: job ids, never a patient.

The libraries that read DICOM quote the values they stumble over, a name or a date of birth among them.
"""

import logging
import warnings

import pydicom.config

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_QUIET = {"pydicom": logging.ERROR, "highdicom": logging.WARNING, "dicomweb_client": logging.WARNING}


def start(level: str) -> None:
    """Log from this level on, to stderr; for the process as a whole, once."""
    logging.basicConfig(level=level, format=FORMAT)
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(least)
    warnings.filterwarnings("ignore", module=r"pydicom\b")  # pydicom says everything twice
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE  # what an archive has is taken as it is
