"""What an archive has is read as it is, and nothing is said of the values that no standard knows.

pydicom quotes the values it stumbles over, a name or a date of birth among them, on stderr and so in whatever log that
ends in.
"""

import logging
import warnings

import pydicom.config


def be_lenient() -> None:
    """Have pydicom take every value as it is, and quote none; for the process as a whole, once, before it reads."""
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    warnings.filterwarnings("ignore", module=r"pydicom\b")  # it says everything twice: here, and by its logger
    logging.getLogger("pydicom").setLevel(logging.ERROR)
