"""A real S3 server for tests: Ceph on loopback, or any that `BASECAMP_TEST_S3_URL` names."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

import obstore
import pytest
from obstore.exceptions import InvalidPathError
from obstore.store import S3Store

from dataspec.store import Store, open_store
from dataspec.store.bucket import BucketStore, StoreTimeouts
from dataspec.store.raw_listing import raw_pages

PROGRAMS = ("ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
NEEDS = (
    "a real S3 server for tests needs Ceph: sudo apt install --no-install-recommends "
    "radosgw ceph-mon ceph-osd ceph-common (or BASECAMP_TEST_S3_URL names another server)"
)
BUCKET = "dli-tests"
ACCESS_KEY = "TESTSACCESSKEY"
SECRET_KEY = "tests-secret-that-no-error-may-show"
LIMITED_USER = "limited"
"""A second user of Ceph's, whose rights are those of a bucket's policy alone."""
LIMITED_KEYS = ("LIMITEDACCESSKEY", "limited-secret-that-no-error-may-show")
REGION = "us-east-1"
READY_SECONDS = 300
SETTINGS = (
    "AWS_ENDPOINT_URL",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_VIRTUAL_HOSTED_STYLE_REQUEST",
)
"""What leads a store to its server; all else that is set holds for the whole process."""

STARTS = 3

CEPH_CONF = """\
[global]
fsid = {fsid}
mon_host = [v1:127.0.0.1:{mon_port}]
mon_initial_members = a
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_ipv6 = false
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
auth_allow_insecure_global_id_reclaim = true
osd_pool_default_size = 1
osd_pool_default_min_size = 1
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
osd_pool_default_pg_num = 8
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
osd_crush_update_on_start = false
osd_class_update_on_start = false
osd_class_dir = {classes}
osd_objectstore = memstore
memstore_device_bytes = 1073741824
run_dir = {folder}
admin_socket =
pid_file =
log_file = {folder}/$name.log
mon_data = {folder}/mon
osd_data = {folder}/osd
[mon.a]
mon_addr = 127.0.0.1:{mon_port}
[client.rgw]
rgw_frontends = beast endpoint=127.0.0.1:{port}
rgw_enable_usage_log = false
rgw_enable_gc_threads = false
rgw_enable_lc_threads = false
rgw_enable_quota_threads = false
rgw_rados_pool_pg_num_min = 8
rgw_thread_pool_size = 64
"""
"""One monitor, one storage process that keeps all in memory, one gateway; nothing is kept on disk.

A storage process that updates its place by itself sometimes ends at its start ("wrong fsid"),
where it is quicker than the monitor's first message.
"""


@dataclass(frozen=True, slots=True)
class S3:
    """A place in a bucket of a running S3 server, and how programs reach it."""

    url: str
    environ: Mapping[str, str]
    """The `AWS_…` variables for a program that is to use it."""

    @property
    def endpoint(self) -> str:
        """The address of the server itself."""
        return self.environ.get("AWS_ENDPOINT_URL", "")

    @property
    def options(self) -> dict[str, str]:
        """The same as obstore's settings, for a store in this process."""
        return {
            name.removeprefix("AWS_").lower(): value
            for name, value in self.environ.items()
            if name in SETTINGS
        }

    def store(self) -> Store:
        """Open the place as a store."""
        return open_store(self.url, options=self.options)

    def limited(self, limits: StoreTimeouts) -> BucketStore:
        """Open the place as a store with other timeouts."""
        parts = urlsplit(self.url)
        options = self.options | dict(parse_qsl(parts.query))
        return BucketStore(parts.netloc, parts.path.strip("/"), options, limits=limits)

    def below(self, prefix: str) -> S3:
        """Return a place below this one."""
        parts = urlsplit(self.url)
        path = f"{parts.path.rstrip('/')}/{prefix}"
        return replace(self, url=urlunsplit(parts._replace(path=path)))

    def through(self, endpoint: str) -> S3:
        """Return the same place, reached by way of another address, such as a proxy's."""
        return replace(self, environ={**self.environ, "AWS_ENDPOINT_URL": endpoint})

    def secretly(self, **environ: str) -> S3:
        """Return the same place with other variables."""
        return replace(self, environ={**self.environ, **environ})

    def in_bucket(self, bucket: str) -> S3:
        """Return the same place in another bucket."""
        return replace(self, url=urlunsplit(urlsplit(self.url)._replace(netloc=bucket)))

    @contextmanager
    def fresh(self) -> Iterator[S3]:
        """Give a place that is empty, and is emptied at the end."""
        place = self.below(f"test-{uuid.uuid4().hex}")
        try:
            yield place
        finally:
            place.empty()

    def empty(self) -> None:
        """Remove every object of the place."""
        client = self.client()
        try:
            keys = [info["path"] for page in obstore.list(client) for info in page]
        except InvalidPathError:
            prefix = urlsplit(self.url).path.strip("/") + "/"
            pages = raw_pages(self._bucket_at, prefix, page_keys=1000, timeout=120)
            for raw in [raw for page in pages for raw in page]:
                self.send("DELETE", raw.key.removeprefix(prefix))
            return
        if keys:
            obstore.delete(client, keys)

    def send(self, method: Literal["PUT", "DELETE"], key: str, body: bytes | None = None) -> None:
        """Send a request for an object under whatever key, as other programs may: none is refused here."""
        prefix = urlsplit(self.url).path.strip("/")
        bucket = obstore.sign(self._bucket_at(None), "GET", "", timedelta(minutes=5)).partition("?")[0]
        object_at = f"{bucket.rstrip('/')}/{quote(f'{prefix}/{key}')}?dli="
        signed = obstore.sign(self._bucket_at(object_at), method, "", timedelta(minutes=5))
        request = urllib.request.Request(signed, data=body, method=method)
        with urllib.request.urlopen(request, timeout=120) as answer:
            answer.read()

    @contextmanager
    def limited_by(self, policy: Mapping[str, Any]) -> Iterator[S3]:
        """Give the place as a user sees it who has the rights of a policy alone."""
        user = {"Principal": {"AWS": [f"arn:aws:iam:::user/{LIMITED_USER}"]}}
        statements = [statement | user for statement in policy["Statement"]]
        self._send_policy("PUT", json.dumps({**policy, "Statement": statements}).encode())
        access, secret = LIMITED_KEYS
        try:
            yield self.secretly(AWS_ACCESS_KEY_ID=access, AWS_SECRET_ACCESS_KEY=secret)
        finally:
            self._send_policy("DELETE")

    def _send_policy(self, method: Literal["PUT", "DELETE"], body: bytes | None = None) -> None:
        bucket = obstore.sign(self._bucket_at(None), "GET", "", timedelta(minutes=5)).partition("?")[0]
        policy_at = self._bucket_at(f"{bucket.rstrip('/')}?policy=&dli=")
        signed = obstore.sign(policy_at, method, "", timedelta(minutes=5))
        request = urllib.request.Request(signed, data=body, method=method)
        with urllib.request.urlopen(request, timeout=120) as answer:
            answer.read()

    def _bucket_at(self, address: str | None) -> S3Store:
        """Return a client of the whole bucket, at an address with a query of its own where one is given."""
        if address is None:
            return replace(self, url=urlunsplit(urlsplit(self.url)._replace(path=""))).client()
        options = {name: value for name, value in self.options.items() if name != "endpoint_url"}
        settings = options | {"endpoint": address, "virtual_hosted_style_request": "true"}
        http = address.startswith("http://")
        return S3Store(urlsplit(self.url).netloc, client_options={"allow_http": http}, **settings)  # type: ignore[arg-type]

    def client(self) -> S3Store:
        """Return obstore's own client for the place, with none of our store's rules."""
        parts = urlsplit(self.url)
        http = self.endpoint.startswith("http://")
        settings = self.options | {"endpoint": self.endpoint} if self.endpoint else self.options
        settings.pop("endpoint_url", None)
        prefix = parts.path.strip("/") or None
        return S3Store(parts.netloc, prefix=prefix, client_options={"allow_http": http}, **settings)  # type: ignore[arg-type]


@contextmanager
def s3_server(folder: Path) -> Iterator[S3]:
    """Give a place on a real S3 server; on one of this machine's own unless the environment names one.

    Skips where neither is possible, which CI does not allow.
    """
    if named := os.environ.get("BASECAMP_TEST_S3_URL"):
        known = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        with S3(named, known).fresh() as place:
            yield place
        return
    if missing := [program for program in PROGRAMS if shutil.which(program) is None]:
        pytest.skip(f"{', '.join(missing)} not found; {NEEDS}" if sys.platform == "linux" else NEEDS)
    with ceph(folder) as place:
        yield place


@contextmanager
def ceph(folder: Path) -> Iterator[S3]:
    """Start Ceph with a bucket in it; end it, with all that it kept, at the end."""
    for attempt in range(STARTS):
        with ExitStack() as stack:
            cluster = stack.enter_context(Ceph.started(folder / f"ceph-{attempt}"))
            try:
                place = cluster.ready()
            except (PortTaken, subprocess.CalledProcessError, subprocess.TimeoutExpired):
                if attempt == STARTS - 1:
                    raise
                continue  # with other ports
            yield place
            return


class PortTaken(Exception):
    """A part of the server ended at its start, as it does when another program was quicker at its port."""


class Ceph:
    """The processes of a small Ceph: a monitor, a storage process and an S3 gateway."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._fsid = str(uuid.uuid4())
        self._mon_port = free_port()

    @classmethod
    @contextmanager
    def started(cls, folder: Path) -> Iterator[Ceph]:
        """Give one whose processes end with the block."""
        for name in ("mon", "osd"):
            (folder / name).mkdir(parents=True)
        cluster = cls(folder)
        try:
            yield cluster
        finally:
            cluster.end()
            shutil.rmtree(folder, ignore_errors=True)

    def ready(self) -> S3:
        """Start the parts, one after the other, and make the bucket."""
        classes = next(Path("/usr/lib").glob("**/rados-classes"), Path("/usr/lib/rados-classes"))
        conf = CEPH_CONF.format(
            fsid=self._fsid, mon_port=self._mon_port, port=self.port, classes=classes, folder=self.folder
        )
        (self.folder / "ceph.conf").write_text(conf)
        self._start_monitor()
        self._start_storage()
        return self._start_gateway()

    def _start_monitor(self) -> None:
        monmap = str(self.folder / "monmap")
        address = f"[v1:127.0.0.1:{self._mon_port}]"
        self._run("monmaptool", "--create", "--fsid", self._fsid, "--addv", "a", address, monmap, conf=False)
        self._run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap)
        self._launch("ceph-mon", "-i", "a")

    def _start_storage(self) -> None:
        name = str(uuid.uuid4())
        self._run("ceph", "osd", "new", name)
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", name)
        self._launch("ceph-osd", "-i", "0")
        self._run("ceph", "osd", "crush", "add", "osd.0", "1.0", "root=default", "host=here")
        self._wait(lambda: b"1 up" in self._run("ceph", "osd", "stat"))

    def _start_gateway(self) -> S3:
        keys = ("--access-key", ACCESS_KEY, "--secret", SECRET_KEY)
        name = ("-n", "client.rgw")
        self._run("radosgw-admin", *name, "user", "create", "--uid=tests", "--display-name=tests", *keys)
        access, secret = LIMITED_KEYS
        limited = (f"--uid={LIMITED_USER}", f"--display-name={LIMITED_USER}")
        keys = ("--access-key", access, "--secret", secret)
        self._run("radosgw-admin", *name, "user", "create", *limited, *keys)
        self._launch("radosgw", *name)
        environ = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": REGION,
        }
        place = S3(f"s3://{BUCKET}?unquoted_etags=true", environ)
        self._wait(lambda: make_bucket(place))
        return place

    def _run(self, program: str, *arguments: str, conf: bool = True) -> bytes:
        configured = ["-c", str(self.folder / "ceph.conf")] if conf else []
        command = [program, *configured, *arguments]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=READY_SECONDS, check=True
        )
        return done.stdout + done.stderr

    def _launch(self, program: str, *arguments: str) -> None:
        # setpriv: none of them outlives a session of tests that was killed.
        command = ["setpriv", "--pdeathsig", "KILL", program, "-c", str(self.folder / "ceph.conf"), "-f"]
        with (self.folder / f"{program}.out").open("wb") as output:
            self._processes.append(
                subprocess.Popen(
                    [*command, *arguments], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
                )
            )

    def _wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not condition():
            if any(process.poll() is not None for process in self._processes):
                raise PortTaken(self._output())
            assert time.monotonic() < deadline, self._output()
            time.sleep(0.1)

    def _output(self) -> str:
        return "\n".join(path.read_text(errors="replace")[-2000:] for path in self.folder.glob("*.out"))

    def end(self) -> None:
        """End what was started; nothing is lost by force, since all of it is in memory."""
        for process in reversed(self._processes):
            process.kill()
        for process in self._processes:
            process.wait()


def make_bucket(place: S3) -> bool:
    """Make a place's bucket; tell whether the server did so."""
    signed = obstore.sign(place.client(), "PUT", "", timedelta(minutes=5))
    try:
        with urllib.request.urlopen(urllib.request.Request(signed, method="PUT"), timeout=120) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def free_port() -> int:
    """Return a port that nobody listens on, below those that the system gives to connections: it stays free."""
    while True:
        port = 10_000 + secrets.randbelow(20_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
