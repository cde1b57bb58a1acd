"""The egress rule: which addresses may be reached, however they are written."""

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core.egress import egress_rule

DEFAULT, STRICT = egress_rule(), egress_rule(private=False)
HOST = "any.example"
v4 = st.ip_addresses(v=4).map(lambda it: IPv4Address(str(it)))


def inside(address: IPv4Address) -> list[IPv6Address]:
    """The IPv6 addresses that lead to an IPv4 address: mapped, translated, NAT64 (two), 6to4, Teredo."""
    last = int(address)
    prefixes = ("::ffff:0:0", "::ffff:0:0:0", "64:ff9b::", "64:ff9b:1::")
    six_to_four = (0x2002 << 112) | (last << 80)
    teredo = (0x20010000 << 96) | (last ^ 0xFFFFFFFF)
    return [
        *(IPv6Address(int(IPv6Address(prefix)) | last) for prefix in prefixes),
        IPv6Address(six_to_four),
        IPv6Address(teredo | (int(IPv4Address("8.8.8.8")) << 64)),
    ]


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "0.1.2.3", "::", "::2", "169.254.169.254", "fe80::1", "fe80::1%lo", "febf::1",
        "224.0.0.1", "239.255.255.255", "ff02::1", "255.255.255.255", "fd00:ec2::254", "100.100.100.200",
        "::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::", "::a9fe:a9fe",
    ],
)  # fmt: skip
def test_what_nobody_means_is_denied(address: str) -> None:
    assert not DEFAULT.permits(HOST, address)
    assert not STRICT.permits(HOST, address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.255.255.254", "::1", "10.0.0.1", "172.31.0.1", "192.168.1.1", "100.64.0.1",
        "fd12::1", "fec0::1", "::ffff:127.0.0.1", "64:ff9b::a00:1", "198.18.0.1", "240.0.0.1",
    ],
)  # fmt: skip
def test_private_addresses_are_denied_on_request(address: str) -> None:
    assert DEFAULT.permits(HOST, address)
    assert not STRICT.permits(HOST, address)


@pytest.mark.parametrize("address", ["8.8.8.8", "172.32.0.1", "128.0.0.1", "2a00::1", "64:ff9b::808:808"])
def test_public_addresses_may_be_reached(address: str) -> None:
    assert DEFAULT.permits(HOST, address)
    assert STRICT.permits(HOST, address)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "127.0.0.01",
        "127.0.0.1.",
        "[::1]",
        "1.1.1.1/32",
    ],
)
def test_other_forms_of_addresses_are_denied(text: str) -> None:
    """A system may read them as any address."""
    assert not DEFAULT.permits(HOST, text)
    assert not egress_rule(["0.0.0.0/0", "::/0"]).permits(HOST, text)


@given(v4)
def test_no_ipv6_form_of_an_address_leads_past_the_rule(address: IPv4Address) -> None:
    for rule in (DEFAULT, STRICT):
        for form in inside(address):
            assert rule.permits(HOST, str(address)) or not rule.permits(HOST, str(form))


@given(v4, st.integers(0, 32))
def test_what_is_allowed_wins(address: IPv4Address, length: int) -> None:
    network = str(ip_network((int(address), length), strict=False))
    for rule in (egress_rule([network], [network], private=False), egress_rule([network], ["0.0.0.0/0"])):
        assert rule.permits(HOST, str(address))
        assert rule.permits(HOST, f"::ffff:{address}")
    assert not egress_rule(deny=[network]).permits(HOST, str(address))


@given(v4, v4)
def test_nothing_else_is_allowed(address: IPv4Address, other: IPv4Address) -> None:
    rule = egress_rule([str(address)], ["0.0.0.0/0", "::/0"])
    assert rule.permits(HOST, str(other)) == (address == other)
    assert not any(rule.permits(HOST, str(form)) for form in inside(other)[1:])


def test_a_host_is_allowed_by_its_name_alone() -> None:
    rule = egress_rule(["Valve.Example."], ["0.0.0.0/0", "::/0"], private=False)
    for name in ("valve.example", "VALVE.example", "valve.example."):
        assert rule.permits(name, "169.254.169.254")
    for name in ("", "example", "a.valve.example", "xvalve.example", "10.0.0.1"):
        assert not rule.permits(name, "10.0.0.1")


@pytest.mark.parametrize(
    "text",
    ["", "-a", "a..b", "a b", "http://a", "a:80", "*", "*.a.example", "1.2.3", "10.1.2.3/8", "::g", "[::1]"],
)
def test_what_is_neither_host_nor_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="should name hosts and networks"):
        egress_rule([text])
    with pytest.raises(ValueError, match="should name networks"):
        egress_rule(deny=[text])


def test_a_host_is_not_denied_by_its_name() -> None:
    """Its address could be asked in its place."""
    with pytest.raises(ValueError, match=r"should name networks.*'valve\.example'"):
        egress_rule(deny=["valve.example"])
