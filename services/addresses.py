"""Addresses in one form: of what listens here, for URLs and for nginx; IPv6 is in brackets there."""

import ipaddress

from settings import Settings


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine reach what listens on ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def reachable(host: str) -> str:
    """Return the host to reach from this machine what listens on ``host``."""
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104


def with_port(host: str, port: int) -> str:
    """Return ``host:port``, the host in brackets where it has colons of its own."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def api_url(settings: Settings) -> str:
    """Return the address to reach the API at from this machine."""
    return f"http://{with_port(reachable(settings.api_host), settings.api_port)}"
