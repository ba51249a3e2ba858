"""Settings: defaults, precedence, one clear sentence per wrong value, and no secret in sight."""

import dataclasses
import re
from pathlib import Path

import pytest

import rano.history
from settings import ROOT, TARGET_RULES, SettingsError, load_settings, sqlite_path


def settings_from(**environ: str):
    return load_settings(environ, env_file=None)


def test_defaults_stay_on_this_machine_and_under_var():
    settings = settings_from()
    assert settings.orthanc_url == "http://127.0.0.1:8042"
    assert (settings.api_host, settings.api_port) == ("127.0.0.1", 5000)
    assert settings.database_url == f"sqlite:///{(ROOT / 'var/metia.db').as_posix()}"
    assert settings.queue_url == f"sqlite:///{(ROOT / 'var/queue.db').as_posix()}"
    assert settings.cors_origins == ()
    assert settings.job_retry_delays == (5, 15, 45)
    assert settings.rano_target_rule == "any_lesion"


def test_the_environment_wins_over_the_file(tmp_path):
    env_file = tmp_path / ".env"
    env_file.write_text("API_PORT=6001\nORTHANC_PASSWORD='a${HOME}b'\nLOG_LEVEL=debug\n")
    settings = load_settings({"API_PORT": "6002"}, env_file)
    assert settings.api_port == 6002
    assert settings.log_level == "DEBUG"
    assert settings.orthanc_password == "a${HOME}b", "a generated password is taken letter by letter"


def test_a_key_that_is_none_is_named_and_its_value_is_not(tmp_path, caplog):
    env_file = tmp_path / ".env"
    env_file.write_text("TRUSTED_HOST=hunter2\nAPI_PORT=6001\nAUTOSEGMENT=hunter2\n")
    load_settings({"SOMETHING_ELSE": "1"}, env_file)
    assert caplog.messages == [
        f"{env_file}: no settings, and without effect: AUTOSEGMENT, TRUSTED_HOST (.env.example has all)"
    ]
    load_settings({}, ROOT / ".env.example")
    assert len(caplog.messages) == 1


def test_a_missing_file_is_no_error(tmp_path):
    assert load_settings({}, tmp_path / ".env").api_port == 5000


def test_an_empty_value_means_the_default():
    assert settings_from(API_PORT="", ORTHANC_URL=" ").api_port == 5000


def test_relative_paths_count_from_the_checkout(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    settings = settings_from(DATABASE_URL="sqlite:///var/other.db", MODEL_PATH="models/unetr", VAR_DIR="elsewhere")
    assert sqlite_path(settings.database_url) == ROOT / "var/other.db"
    assert settings.model_path == ROOT / "models/unetr"
    assert sqlite_path(settings.queue_url) == ROOT / "elsewhere/queue.db"


def test_absolute_paths_stay(tmp_path):
    settings = settings_from(DATABASE_URL=f"sqlite:///{tmp_path.as_posix()}/a.db")
    assert sqlite_path(settings.database_url) == tmp_path / "a.db"


def test_sqlite_path_of_other_urls():
    assert sqlite_path("postgresql://host/name") is None
    assert sqlite_path("sqlite:///:memory:") is None


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("API_PORT", "70000", "1 to 65535"),
        ("API_PORT", "50.5", "whole number"),
        ("API_PORT", "http", "whole number"),
        ("API_HOST", "http://metia", "without port"),
        ("FRONT_HOST", "[::1]:8080", "without port"),
        ("FRONT_HOST", "metia; deny all", "a name or an IP address"),
        ("API_THREADS", "1", "2 to 256"),
        ("API_WAIT_MAX", "nan", "1 to 3600"),
        ("UPLOAD_MAX_MB", "0", "whole number from 1"),
        ("UPLOAD_MAX_MB", "2G", "whole number"),
        ("ORTHANC_URL", "127.0.0.1:8042", "address like http"),
        ("ORTHANC_URL", "http://host:99999", "address like http"),
        ("ORTHANC_URL", "ftp://host", "address like http"),
        ("ORTHANC_TIMEOUT", "0", "0.1 to 3600"),
        ("JOB_RETRY_DELAYS", "5;15", "5,15,45"),
        ("JOB_RETRY_DELAYS", "-1", "5,15,45"),
        ("CORS_ORIGINS", "*", "\\* is not accepted"),
        ("CORS_ORIGINS", "http://a/path", "origins like"),
        ("TRUSTED_HOSTS", "*", "names like"),
        ("TRUSTED_HOSTS", "metia:5000", "without port"),
        ("TRUSTED_HOSTS", "http://metia", "names like"),
        ("LOG_LEVEL", "LOUD", "DEBUG, INFO"),
        ("ENGINE", "tensorrt", "auto, torch-cpu, openvino-cpu, torch-cuda"),
        ("RANO_TARGET_RULE", "largest", "any_lesion, sum, volume"),
        ("DATABASE_URL", "mysql://host/name", "sqlite, postgresql"),
        ("DATABASE_URL", "var/metia.db", "sqlite, postgresql"),
        ("DATABASE_URL", "sqlite://metia.db", "names no file"),
        ("DATABASE_URL", "sqlite:///:memory:", "need a file"),
        ("QUEUE_URL", "amqp://host", "sqlite, redis"),
    ],
)
def test_a_wrong_value_names_key_and_expectation(key, value, words):
    with pytest.raises(SettingsError, match=words) as caught:
        settings_from(**{key: value})
    assert key in str(caught.value)


def test_every_target_rule_can_be_set():
    assert TARGET_RULES == rano.history.TARGET_RULES
    assert [settings_from(RANO_TARGET_RULE=rule).rano_target_rule for rule in TARGET_RULES] == [*TARGET_RULES]


def test_no_secret_in_repr_or_errors():
    settings = settings_from(
        ORTHANC_PASSWORD="hunter2",
        DATABASE_URL="postgresql://u:hunter2@host/n",
        QUEUE_URL="redis://:hunter2@host/0",
    )
    assert "hunter2" not in repr(settings)
    for key in ("ORTHANC_URL", "DATABASE_URL", "QUEUE_URL"):
        with pytest.raises(SettingsError) as caught:
            settings_from(**{key: "http://u:hunter2@host:99999/n"})
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("key", ["DATABASE_URL", "QUEUE_URL"])
@pytest.mark.parametrize(
    "rest",
    [
        "metia:hunter2@hunter2@host:5432/metia",
        "metia:hunter2/hunter2@host/metia",
        "metia:2/hunter2@host/metia",
        "metia:hunter2#hunter2@host/metia",
        "metia:2#hunter2@host/metia",
        "metia:2?hunter2@host/metia",
        "metia:hunter2%zz@host/metia",
        "metia:hunter2 hunter2@host/metia",
        ":hunter2",
        "metia:hunter2@host:54x2/metia",
        "metia:hunter2@host:5432hunter2/metia",
        "host/metia?password=hunter2@hunter2",
    ],
)
def test_a_password_that_ends_the_address_early_is_told_of_and_not_told(key, rest):
    with pytest.raises(SettingsError, match=f"{key} is not usable.* @ / # .* written as %40 %2F %23 ") as caught:
        settings_from(**{key: f"postgresql://{rest}"})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("value", ["metia:hunter2@host/n", "hunter2://host/n", "redis:/:hunter2@host/0"])
def test_an_address_without_a_scheme_is_not_told_either(value):
    with pytest.raises(SettingsError, match="QUEUE_URL does not start with one of sqlite, redis") as caught:
        settings_from(QUEUE_URL=value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://host",
        "rediss://:p%40%2F%23@host:6379/0?socket_timeout=5",
        "redis://[fd00::12]:6379/0",
        "postgresql://u:p:w!$&=,;+~@db.hospital.example/metia?sslmode=require&options=-c%20search_path%3Dmetia",
        "postgresql://u@one:5432,two:5433,[::1]/metia",
        "postgresql:///metia?host=/run/postgresql",
        "postgresql://%2Frun%2Fpostgresql/metia",
    ],
)
def test_what_servers_are_called(url):
    assert settings_from(QUEUE_URL=url).queue_url == url


def test_settings_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings_from().api_port = 1


def test_every_key_is_in_the_example_and_nothing_else():
    keys = set(re.findall(r"^#? ?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert keys == {field.name.upper() for field in dataclasses.fields(settings_from())}


def test_the_example_is_usable_as_it_is():
    assert load_settings({}, ROOT / ".env.example") == dataclasses.replace(settings_from(), orthanc_username="metia")


def test_origins_are_split():
    settings = settings_from(CORS_ORIGINS="http://localhost:3000, https://viewer.example/")
    assert settings.cors_origins == ("http://localhost:3000", "https://viewer.example")


def test_names_are_split():
    assert settings_from(TRUSTED_HOSTS="metia, Metia.Hospital.example,").trusted_hosts == (
        "metia",
        "metia.hospital.example",
    )


def test_no_further_try():
    assert settings_from(JOB_RETRY_DELAYS="none").job_retry_delays == ()


def test_root_is_the_checkout():
    assert Path(ROOT / "rano" / "lesion.py").is_file()
