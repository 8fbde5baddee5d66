"""Where a spec's webhook may go: the server's own network is not the spec's to name."""

from __future__ import annotations

import ipaddress

import pytest

from basecamp.notifications.channels.webhook import is_allowed


@pytest.mark.rule("26.4")
@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fd00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "168.63.129.16",
        "192.0.0.192",
        "192.88.99.1",
        "198.18.0.1",
        "203.0.113.7",
        "240.0.0.1",
        "::127.0.0.1",
        "::8.8.8.8",
        "::ffff:0:8.8.8.8",
        "64:ff9b:1::808:808",
        "64:ff9b::a9fe:a9fe",
        "2001::1",
        "2001:db8::1",
        "3fff::1",
        "5f00::1",
        "fec0::1",
        "fd00:ec2::254",
    ],
)
def test_no_address_that_is_not_public_is_reached_in_whatever_form(address: str) -> None:
    assert not is_allowed(ipaddress.ip_address(address), ())


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::"]
)
def test_public_addresses_are_reached(address: str) -> None:
    assert is_allowed(ipaddress.ip_address(address), ())


@pytest.mark.rule("26.4")
def test_a_network_that_the_settings_name_is_reached_and_no_other() -> None:
    allowed = (ipaddress.ip_network("10.20.0.0/16"), ipaddress.ip_network("fd00:1::/32"))
    assert is_allowed(ipaddress.ip_address("10.20.3.4"), allowed)
    assert is_allowed(ipaddress.ip_address("::ffff:10.20.3.4"), allowed)
    assert is_allowed(ipaddress.ip_address("fd00:1::5"), allowed)
    assert not is_allowed(ipaddress.ip_address("10.21.0.1"), allowed)
    assert not is_allowed(ipaddress.ip_address("127.0.0.1"), allowed)
