"""An address that was read strictly: what two programs could read in two ways is refused."""

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import urlsplit

from app.engine.outbound.errors import CallRefused

PORTS = {"http": 80, "https": 443}
LONGEST_URL = 2000
_PLAIN = re.compile(r"[!-~]+")
_NAME = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
#: What resolvers take for a number, and so for an address: 2130706433, 0x7f000001, 127.1, 0177.0.0.1
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    scheme: str
    host: str
    """Lower case; of IPv6 without brackets."""
    port: int
    url: str
    is_literal: bool
    """The host is an address."""

    @property
    def authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port


def read_target(url: str) -> Target:
    """Raises :class:`CallRefused`, whose words do not repeat the address: it may hold a secret."""
    if len(url) > LONGEST_URL or not _PLAIN.fullmatch(url) or "\\" in url:
        raise CallRefused(f"The URL is longer than {LONGEST_URL} characters, or has blanks, backslashes or other than ASCII characters.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise CallRefused("The URL cannot be read: its port or its brackets are wrong.") from error
    if parts.scheme not in PORTS:
        raise CallRefused("Only http and https URLs are called.")
    if "@" in parts.netloc or "%" in parts.netloc:
        raise CallRefused("A URL that is called has no user, no password, no zone and no escapes in its host.")
    host, is_literal = _read_host(parts.netloc)
    return Target(scheme=parts.scheme, host=host, port=PORTS[parts.scheme] if port is None else port, url=url, is_literal=is_literal)


def _read_host(netloc: str) -> tuple[str, bool]:
    if netloc.startswith("["):
        literal = netloc[1:].partition("]")[0]
        try:
            return str(IPv6Address(literal)), True
        except AddressValueError as error:
            raise CallRefused("The URL's host is in brackets and no IPv6 address.") from error
    host = netloc.partition(":")[0].lower()
    if not _NAME.fullmatch(host):
        raise CallRefused("The URL's host is no host name.")
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        try:
            return str(IPv4Address(host)), True
        except AddressValueError as error:
            raise CallRefused("The URL's host is an IPv4 address in an unusual form: write four decimal numbers.") from error
    return host, False
