"""The egress rule: to which addresses the broker may connect, whoever names them.

Clients name hosts: of @contexts, of receivers of notifications, of context sources. So the rule is about the
address of a connection, not about the text that led to it.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

NO_ANSWER = "no answer, or it may not be asked"
"""All that clients learn of a host that could not be reached, or may not be: the log knows more.

One text for both, and for every way to fail, so that the broker is of little use to scan a network with.
"""

_NUMERIC = re.compile(r"[0-9.]+")  # an address, or what some resolvers take for one
_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*\.?")


def _networks(text: str) -> tuple[Network, ...]:
    return tuple(map(ip_network, text.split()))


_NEVER = _networks("""
    0.0.0.0/8 ::/128
    169.254.0.0/16 fe80::/10
    224.0.0.0/4 ff00::/8 255.255.255.255/32
    fd00:ec2::254/128 fd20:ce::254/128 100.100.100.200/32 168.63.129.16/32
""")  # unspecified; link-local; multicast and broadcast; what clouds tell their machines, outside link-local
_PRIVATE = _networks("""
    127.0.0.0/8 ::1/128
    10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 fc00::/7 fec0::/10
    192.0.0.0/24 198.18.0.0/15 240.0.0.0/4 64:ff9b:1::/48
""")  # loopback; private, shared and site-local; reserved for protocols, tests, the future and local NAT64
_LAST_32 = _networks("::/96 ::ffff:0:0:0/96 64:ff9b::/96 64:ff9b:1::/48")  # these end in an IPv4 address
_LOOPBACK = IPv6Address("::1")  # within ::/96, but no IPv4 address


@dataclass(frozen=True, slots=True)
class EgressRule:
    """What may be reached: whatever is allowed, or else not denied. `hosts` are allowed by their names."""

    denied: tuple[Network, ...]
    allowed: tuple[Network, ...]
    hosts: frozenset[str]

    def permits(self, host: str, address: str) -> bool:
        """Whether a connection to `address` may be opened when `host` is asked for.

        False for an address in any other form than the usual one, since the system might read it otherwise.
        """
        if _name(host) in self.hosts:
            return True
        try:
            meant = list(_meant(ip_address(address)))
        except ValueError:
            return False
        return all(_is_in(it, self.allowed) or not _is_in(it, self.denied) for it in meant)


def egress_rule(allow: Sequence[str] = (), deny: Sequence[str] = (), *, private: bool = True) -> EgressRule:
    """The rule that allows these hosts and networks, and denies these networks beside what is always denied.

    `private`: whether loopback and private addresses may be reached. ValueError if a text is no network, or
    in `allow` neither that nor a host.
    """
    hosts = frozenset(_name(text) for text in allow if _is_host(text))
    allowed = tuple(_network(text, "hosts and networks") for text in allow if not _is_host(text))
    denied = (*_NEVER, *(() if private else _PRIVATE), *(_network(text, "networks") for text in deny))
    return EgressRule(denied, allowed, hosts)


def _meant(address: Address) -> Iterator[Address]:
    """Yields the addresses that a connection to this one may end at: itself, and IPv4 addresses inside it."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:  # another spelling of an IPv4 address, to the system as well
            yield address.ipv4_mapped
            return
        yield from filter(None, (address.sixtofour, *(address.teredo or ())))
        if address != _LOOPBACK and _is_in(address, _LAST_32):
            yield IPv4Address(int(address) & 0xFFFFFFFF)
    yield address


def _is_in(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


def _is_host(text: str) -> bool:
    return _HOST.fullmatch(text) is not None and _NUMERIC.fullmatch(text) is None


def _network(text: str, expected: str) -> Network:
    """The network that a text names. ValueError if it is none; `expected`: what might have been there."""
    try:
        return ip_network(text)
    except ValueError as error:
        raise ValueError(f"should name {expected}, such as 10.1.0.0/16, but {error}") from None


def _name(host: str) -> str:
    return host.rstrip(".").lower()
