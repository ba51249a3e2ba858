"""Connections to Orthanc, and of this server's parts to each other: direct, whatever proxy leads out of the house."""

import os

import requests


def direct_session() -> requests.Session:
    """Give a session that asks no proxy, for what is asked here is the house's own: passwords, patients, images.

    An environment that names a proxy, as pip and npm need it in many hospitals, often forgets to except 127.0.0.1.
    """
    session = requests.Session()
    session.trust_env = False
    session.verify = authorities() or True
    return session


def authorities() -> str | None:
    """Give the file with the authorities that are trusted, where the environment names the house's own."""
    return os.environ.get("REQUESTS_CA_BUNDLE") or None
