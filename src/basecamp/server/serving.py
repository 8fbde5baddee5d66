"""Start and end the server: settings, checks, the socket, signals."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import os
import signal
import socket
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import NoReturn

import uvicorn
from fastapi import FastAPI

from basecamp.airflow.connect import NotAirflow, connect, late_gateway
from basecamp.airflow.gateway import AirflowGateway
from basecamp.airflow.transport import AirflowRefused, AirflowTransport
from basecamp.api.app import create_app
from basecamp.api.middleware import LOOPBACK_HOSTS
from basecamp.monitoring.metrics import Metrics
from basecamp.server.connections import (
    ConnectionLimits,
    LimitedConnection,
    end_late_connections,
    log_accept_errors,
)
from basecamp.server.logs import configure_logging
from basecamp.server.settings import Settings
from basecamp.server.sign_in import credentials_of
from basecamp.server.store_proof import prove_conditional_writes
from basecamp.server.tls import HANDSHAKE_SECONDS, Tls
from basecamp.server.wiring import build_services
from basecamp.services import Services
from basecamp.shared.clock import SystemClock
from basecamp.shared.public_address import PublicAddress
from basecamp.web.routes import router
from dataspec.errors import AirflowUnreachable, DliError, InvalidSettings
from dataspec.store import Store, open_store
from dataspec.store.bucket import StoreTimeouts
from dataspec.tracing import flush

log = logging.getLogger(__name__)

LAST_REQUESTS_SECONDS = 5
"""How long requests may take to end once the server is ending."""

LAST_MESSAGES_SECONDS = 3
"""How long messages may take then: a message that is not marked as sent is sent again."""

COLLECTION_THRESHOLDS = (10_000, 20, 20)
"""New objects until the youngest generation is collected, then collections of one until that of the next."""

TICKS_PER_SECOND = 10
"""uvicorn's."""

STORE_TIMEOUTS = StoreTimeouts(connect=2, request=5, retry=4, call=8)
"""Shorter than those of a command: a call that hangs ends soon after the store answers again."""


@dataclass(frozen=True, slots=True)
class Serving:
    """A server that is ready to be run."""

    app: FastAPI
    clock: SystemClock
    limits: ConnectionLimits
    listener: socket.socket
    services: Services
    metrics: Metrics
    trusted_proxies: tuple[str, ...] = ()
    """Addresses and networks of the proxies whose ``X-Forwarded-For`` is believed."""
    tls: Tls | None = None

    @classmethod
    def prepare(cls, settings: Settings, host: str, port: int, *, tls: Tls | None = None) -> Serving:
        """Check that the server can work with its settings.

        Raises:
            InvalidSettings: When it can't, in one line.
            StoreUnreachable: When the store does not answer.
        """
        configure_logging(settings.log_level, settings.log_format)
        store = open_store(settings.store_url, timeouts=STORE_TIMEOUTS)
        prove_conditional_writes(store)
        metrics = Metrics()
        gateway = _gateway(settings, metrics)
        return cls.on(store, gateway, settings, listen(host, port), metrics=metrics, tls=tls)

    @classmethod
    def on(
        cls,
        store: Store,
        gateway: AirflowGateway,
        settings: Settings,
        listener: socket.socket,
        *,
        metrics: Metrics,
        limits: ConnectionLimits | None = None,
        tls: Tls | None = None,
    ) -> Serving:
        """Put the server together.

        Args:
            store: The store with the specs.
            gateway: The Airflow that runs them.
            settings: The settings.
            listener: The socket to listen on.
            metrics: The metrics.
            limits: The limits of connections; by default those that fit the process's limit of files.
            tls: The certificate; plain HTTP without one.
        """
        clock = SystemClock()
        public_url = settings.notifications.public_url
        services = build_services(
            store,
            gateway,
            clock,
            airflow_public_url=settings.airflow_public_url,
            sync_interval_seconds=settings.sync_interval_seconds,
            notifications=settings.notifications,
            dialects=settings.dialects,
            connections=settings.connections,
            sign_in=settings.sign_in,
            oidc=settings.oidc,
        )
        app = create_app(
            services,
            credentials=credentials_of(settings.sign_in, services),
            metrics=metrics,
            hosts=LOOPBACK_HOSTS | {listener.getsockname()[0]},
            public=PublicAddress.parse(public_url) if public_url else None,
            pages=router,
            request_seconds=settings.request_seconds,
            on_start=threading.Thread(target=_warm_up, args=(services,), name="warm-up", daemon=True).start,
        )
        return cls(
            app,
            clock,
            limits or ConnectionLimits.of_process(),
            listener,
            services,
            metrics,
            trusted_proxies=settings.trusted_proxies,
            tls=tls,
        )

    def run(self) -> NoReturn:
        """Answer requests until a signal comes; then end the process, within seconds."""
        limits = self.limits
        config = uvicorn.Config(
            self.app,
            http=partial(LimitedConnection, limits, deque()),  # type: ignore[arg-type]
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(self.trusted_proxies),
            forwarded_allow_ips=list(self.trusted_proxies),
            timeout_keep_alive=math.ceil(limits.idle),
            timeout_graceful_shutdown=LAST_REQUESTS_SECONDS,
        )
        server = _Server(config, self.clock, self.tls)
        self.metrics.watch_connections(lambda: len(server.server_state.connections), limits.connections)
        ended_by = server.run_until_signal(self.listener)
        for loop in self.services.loops:
            loop.end()
        self.services.reconciler.end()
        self.services.delivery.end(LAST_MESSAGES_SECONDS)
        flush()
        log.info("Basecamp has ended.")
        logging.shutdown()
        # A thread that still waits for Airflow must not keep the process.
        os._exit(0 if ended_by == signal.SIGTERM else 128 + ended_by)


class _Server(uvicorn.Server):
    """A server whose end interrupts every wait on the clock, and that limits the time of a TLS handshake."""

    def __init__(self, config: uvicorn.Config, clock: SystemClock, tls: Tls | None) -> None:
        super().__init__(config)
        self._clock = clock
        self._tls = tls
        self._ended_by = signal.SIGTERM

    def run_until_signal(self, listener: socket.socket) -> int:
        """Serve, and return the signal that ended it."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(
                number, signal.SIG_IGN
            )  # uvicorn sets its own, and raises the signal again at the end
        self.run(sockets=[listener])
        return self._ended_by

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and log the address."""
        asyncio.get_running_loop().set_exception_handler(log_accept_errors)
        if self._tls is None:
            await super().startup(sockets)
        else:
            await super().startup(sockets=[])
            self.servers = [await self._listen_with(self._tls, listener) for listener in sockets or ()]
        scheme = "http" if self._tls is None else "https"
        for listener in sockets or ():
            host, port = listener.getsockname()[:2]
            log.info("Basecamp listens on %s://%s:%d", scheme, f"[{host}]" if ":" in host else host, port)

    async def _listen_with(self, tls: Tls, listener: socket.socket) -> asyncio.Server:
        """Listen with TLS; uvicorn itself takes no time limit for the handshake."""
        return await asyncio.get_running_loop().create_server(
            lambda: self.config.http_protocol_class(  # type: ignore[call-arg]
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state
            ),
            sock=listener,
            ssl=tls.context,
            backlog=self.config.backlog,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
        )

    async def on_tick(self, counter: int) -> bool:
        """End late connections, and look for a renewed certificate, once a second."""
        if counter % TICKS_PER_SECOND == 0:
            end_late_connections(self.server_state)
            if self._tls is not None:
                self._tls.renew()
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end."""
        self._ended_by = signal.Signals(sig)
        self._clock.end()
        super().handle_exit(sig, frame)


def _warm_up(services: Services) -> None:
    """Start the background loops, and read the datasets once: later failures then show the last answer."""
    for loop in services.loops:
        loop.start()
    with suppress(DliError):
        services.workflows.page(limit=1)  # with many datasets the first list is slow
    _spare_lasting_objects()


def _spare_lasting_objects() -> None:
    """Leave what is loaded now, and is there as long as the process, out of each garbage collection.

    Each full collection would look at every object of every spec: a fifth of the server's processor time under load.
    Objects that are left out are still freed with their last reference.
    """
    gc.collect(generation=1)  # a full collection would hold up the first requests
    gc.freeze()
    gc.set_threshold(*COLLECTION_THRESHOLDS)


def _gateway(settings: Settings, metrics: Metrics) -> AirflowGateway:
    """Connect to Airflow; accept one that does not answer yet, but not one that refuses the credentials."""
    transport = AirflowTransport(
        settings.airflow_url,
        settings.airflow_credentials,
        timeout_seconds=settings.airflow_timeout_seconds,
        observe=metrics.airflow_request,
    )
    try:
        gateway = connect(transport)
        version = gateway.health().version
    except (NotAirflow, AirflowRefused) as error:
        raise InvalidSettings(error.title, detail=error.detail) from error
    except AirflowUnreachable as error:
        log.warning(
            "%s %s Basecamp starts all the same.", error.title, (error.detail or "").replace("\n", " ")
        )
        return late_gateway(transport)
    log.info("Airflow %s answers at %s", version, settings.airflow_url)
    return gateway


def listen(host: str, port: int) -> socket.socket:
    """Open the socket of the server.

    Raises:
        InvalidSettings: When the port is in use, or not allowed.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio sends each piece of an answer at once; else a body waits 40 ms for an ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise InvalidSettings(
            f"Can't listen on {host}, port {port}: {error.strerror}. Choose another with --port."
        ) from error
    return listener
