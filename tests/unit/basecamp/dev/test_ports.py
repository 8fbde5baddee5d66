import os
import socket

import pytest

from basecamp.dev.processes.ports import LOOPBACK, claim, listener_on
from dataspec.errors import Refused


@pytest.mark.rule("28.2")
def test_port_0_is_a_free_one_that_can_be_listened_on() -> None:
    port = claim(0, option="--port")

    with socket.socket() as server:
        server.bind((LOOPBACK, port))
        assert server.getsockname()[1] == port > 0


@pytest.mark.rule("28.5")
def test_a_taken_port_is_refused_naming_who_holds_it_and_what_to_do() -> None:
    with socket.create_server((LOOPBACK, 0)) as server, pytest.raises(Refused) as refused:
        claim(server.getsockname()[1], option="--airflow-port")

    assert f"(pid {os.getpid()})" in refused.value.title
    assert "--airflow-port N" in (refused.value.detail or "")


def test_a_port_that_is_taken_on_all_addresses_is_taken_on_loopback() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server, pytest.raises(Refused):
        claim(server.getsockname()[1], option="--port")


def test_the_same_port_is_not_given_to_two_servers() -> None:
    port = claim(0, option="--port")

    with pytest.raises(Refused, match="twice"):
        claim(port, option="--airflow-port", other=port)


def test_nobody_holds_a_free_port() -> None:
    assert listener_on(claim(0, option="--port")) is None
