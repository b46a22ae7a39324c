"""Which addresses are the public internet."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

#: https://www.iana.org/assignments/iana-ipv4-special-registry, and what clouds keep their secrets at. Not Python's ``is_global``, whose
#: answer changed between its versions.
_NOT_PUBLIC_4 = {
    IPv4Network("0.0.0.0/8"): "this network",
    IPv4Network("10.0.0.0/8"): "private",
    IPv4Network("100.64.0.0/10"): "shared by carriers",
    IPv4Network("127.0.0.0/8"): "loopback",
    IPv4Network("168.63.129.16/32"): "a cloud's metadata",
    IPv4Network("169.254.0.0/16"): "link-local, where clouds keep metadata",
    IPv4Network("172.16.0.0/12"): "private",
    IPv4Network("192.0.0.0/24"): "reserved",
    IPv4Network("192.0.2.0/24"): "for documentation",
    IPv4Network("192.88.99.0/24"): "a relay into IPv6",
    IPv4Network("192.168.0.0/16"): "private",
    IPv4Network("198.18.0.0/15"): "for benchmarks",
    IPv4Network("198.51.100.0/24"): "for documentation",
    IPv4Network("203.0.113.0/24"): "for documentation",
    IPv4Network("224.0.0.0/4"): "multicast",
    IPv4Network("240.0.0.0/4"): "reserved",
}
_PUBLIC_6 = IPv6Network("2000::/3")
_NOT_PUBLIC_6 = {
    IPv6Network("2001::/23"): "a tunnel or reserved",
    IPv6Network("2001:db8::/32"): "for documentation",
    IPv6Network("2002::/16"): "a tunnel to IPv4",
    IPv6Network("3fff::/20"): "for documentation",
}
#: What a network without IPv4 makes of a public IPv4 address, RFC 6052.
_TRANSLATED = IPv6Network("64:ff9b::/96")


def why_not_public(address: str) -> str | None:
    """What keeps an address from being called; ``None`` if nothing does. ``address`` is as a resolver writes it."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return "no address"
    return _why_not_4(parsed) if isinstance(parsed, IPv4Address) else _why_not_6(parsed)


def _why_not_4(address: IPv4Address) -> str | None:
    return next((reason for network, reason in _NOT_PUBLIC_4.items() if address in network), None)


def _why_not_6(address: IPv6Address) -> str | None:
    if address.scope_id is not None:
        return "of one interface"
    if address in _TRANSLATED:
        return _why_not_4(IPv4Address(int(address) & 0xFFFFFFFF))
    if address not in _PUBLIC_6:
        return "not of the public IPv6 internet"
    return next((reason for network, reason in _NOT_PUBLIC_6.items() if address in network), None)
