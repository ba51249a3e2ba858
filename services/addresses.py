"""Addresses in one form: of what listens here, for URLs and for nginx; IPv6 is in brackets there."""

from settings import Settings


def reachable(host: str) -> str:
    """Return the host to reach from this machine what listens on ``host``."""
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104


def with_port(host: str, port: int) -> str:
    """Return ``host:port``, the host in brackets where it has colons of its own."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def api_url(settings: Settings) -> str:
    """Return the address to reach the API at from this machine."""
    return f"http://{with_port(reachable(settings.api_host), settings.api_port)}"
