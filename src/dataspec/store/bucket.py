"""A bucket as a store: S3 and what speaks its protocol, through obstore."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    NotModifiedError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import S3Store

from dataspec.errors import StoreUnreachable
from dataspec.store.base import MISSING, ObjectInfo, PreconditionFailed, StoredObject

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

CONNECT_TIMEOUT = "5s"
REQUEST_TIMEOUT = "20s"
RETRY_TIMEOUT = timedelta(seconds=30)
MAX_RETRIES = 3
READERS = 32


class BucketStore:
    """A store in a bucket, below a prefix.

    Args:
        bucket: The bucket's name.
        prefix: Where in the bucket the store begins; empty for its root.
        options: S3 settings over those of the environment, by obstore's names, such as
            ``endpoint``; ``unquoted_etags`` for servers that take ``If-Match`` only without
            the quotes of the ETag.
    """

    def __init__(self, bucket: str, prefix: str, options: Mapping[str, str]) -> None:
        config: dict[str, Any] = dict(options)
        self._unquoted = str(config.pop("unquoted_etags", "")).lower() == "true"
        endpoint = config.get("endpoint") or os.environ.get("AWS_ENDPOINT_URL", "")
        insecure = str(endpoint).startswith("http://")
        self.url = "/".join(part for part in (f"s3://{bucket}", prefix) if part)
        self._store = S3Store(
            bucket,
            prefix=prefix or None,
            client_options={
                "connect_timeout": CONNECT_TIMEOUT,
                "timeout": REQUEST_TIMEOUT,
                "allow_http": insecure,
            },
            retry_config={"max_retries": MAX_RETRIES, "retry_timeout": RETRY_TIMEOUT},
            **config,
        )

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        with self._answering(prefix):
            pages = list(obstore.list(self._store, prefix=prefix or None, chunk_size=1000))
        found = (
            ObjectInfo(m["path"], m["e_tag"] or "", m["size"], m["last_modified"]) for p in pages for m in p
        )
        yield from sorted((info for info in found if info.key.startswith(prefix)), key=lambda info: info.key)

    def get(self, key: str, *, known: StoredObject | None = None) -> StoredObject | None:
        options: Any = {"if_none_match": self._shown(known.etag)} if known else None
        with self._answering(key):
            try:
                answer = obstore.get(self._store, key, options=options)
                return StoredObject(key, answer.meta["e_tag"] or "", bytes(answer.bytes()))
            except NotModifiedError:
                return known
            except FileNotFoundError:
                return None

    def get_many(self, keys: Iterable[str]) -> dict[str, StoredObject]:
        with ThreadPoolExecutor(READERS) as readers:
            found = readers.map(self.get, keys)
            return {stored.key: stored for stored in found if stored is not None}

    def put(self, key: str, body: bytes, *, expected: str) -> str:
        mode: Any = "create" if expected == MISSING else {"e_tag": self._shown(expected)}
        with self._answering(key):
            try:
                answer = obstore.put(self._store, key, body, mode=mode, use_multipart=False)
            except (AlreadyExistsError, PreconditionError, FileExistsError):
                raise PreconditionFailed(key) from None
            except FileNotFoundError:
                if expected == MISSING:
                    raise  # it is the bucket that does not exist
                raise PreconditionFailed(key) from None
        return answer["e_tag"] or ""

    def delete(self, key: str, *, expected: str) -> None:
        # S3 has no conditional delete that every server honours: the window between the two calls remains.
        stored = self.get(key)
        if stored is None or stored.etag != expected:
            raise PreconditionFailed(key)
        with self._answering(key):
            obstore.delete(self._store, key)

    def _shown(self, etag: str) -> str:
        return etag.strip('"') if self._unquoted else etag

    @contextmanager
    def _answering(self, key: str) -> Iterator[None]:
        try:
            yield
        except (PermissionDeniedError, UnauthenticatedError) as error:
            detail = f"{self.url}: access to '{key}' was refused. Check the credentials and their rights."
            raise StoreUnreachable("The store refuses these credentials.", detail=detail) from error
        except (BaseError, OSError) as error:
            reason = str(error).splitlines()[0][:300]
            raise StoreUnreachable("The store does not answer.", detail=f"{self.url}: {reason}") from error
