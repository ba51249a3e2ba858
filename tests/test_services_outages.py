"""An outage is told of once, and everything else as it is."""

import logging
import sqlite3

import pytest
from sqlalchemy.exc import OperationalError

from services.outages import OutageFilter, in_one_line, is_outage


class ConnectionError(Exception):
    pass


AWAY = ConnectionError("Error 111 connecting to 127.0.0.1:6379. Connection refused.\nmore")


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def logger(clock: list[float]) -> logging.Logger:
    made = logging.Logger("asker")
    made.addFilter(OutageFilter(lambda: clock[0]))
    made.parent = logging.getLogger()  # where caplog listens
    return made


def ask(logger: logging.Logger, error: Exception, words: str = "Error reading schedule.") -> None:
    """Ask for something, and complain as Huey does."""
    try:
        raise error
    except Exception:
        logger.exception(words)


def test_an_outage_is_one_line(logger: logging.Logger, clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    for second in range(100):
        clock[0] = float(second)
        ask(logger, AWAY)
    (record,) = caplog.records
    expected = "Error reading schedule: ConnectionError: Error 111 connecting to 127.0.0.1:6379. Connection refused."
    assert record.getMessage() == expected
    assert record.exc_info is None
    assert "Traceback" not in caplog.text


def test_it_is_told_again_when_it_lasts_and_when_it_comes_back(
    logger: logging.Logger, clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    for second in (*range(0, 1300, 5), 1400, 1401):
        clock[0] = float(second)
        ask(logger, AWAY)
    assert len(caplog.records) == 1 + 2 + 1


def test_another_complaint_is_another_line(logger: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        ask(logger, AWAY)
        ask(logger, AWAY, "Error reading from queue")
        ask(logger, TimeoutError())
    assert len(caplog.records) == 3
    assert "Error reading schedule: TimeoutError\n" in caplog.text


def test_what_is_no_outage_keeps_its_traceback_and_is_told_again_when_it_lasts(
    logger: logging.Logger, clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    for second in range(0, 700, 5):
        clock[0] = float(second)
        ask(logger, KeyError("job"))
        logger.warning("%d words", second)
    assert caplog.text.count("Traceback") == 2
    assert caplog.text.count(" words") == 140, "what is no error passes"


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(2, "No such file or directory", "/var/metia/model.pt"),
        PermissionError(13, "Permission denied"),
        sqlite3.OperationalError("no such column: patients.unfollowed_at"),
        OperationalError("INSERT", {}, sqlite3.OperationalError("table jobs has no column named content")),
    ],
)
def test_what_no_waiting_mends_is_no_outage(error: Exception) -> None:
    assert not is_outage(error)


def test_the_errors_of_every_kind_of_queue_are_known() -> None:
    errors: list[Exception] = [sqlite3.OperationalError("disk I/O error"), OSError(), ConnectionRefusedError()]
    errors.append(OperationalError("SELECT", {}, Exception("away")))
    for name, kinds in (("redis", ("ConnectionError", "TimeoutError")), ("psycopg", ("OperationalError",))):
        try:
            module = __import__(name)
        except ImportError:
            continue
        errors += [getattr(module, kind)("away") for kind in kinds]
    assert all(map(is_outage, errors))
    assert not is_outage(None)
    assert not is_outage(ValueError())


def test_one_line_is_one_line() -> None:
    assert in_one_line(OSError(5, "Input/output error")) == "OSError: [Errno 5] Input/output error"
    assert in_one_line(RuntimeError("\nfirst\nsecond")) == "RuntimeError: first"
    assert in_one_line(RuntimeError()) == "RuntimeError"
