"""Translate errors of an S3 server to errors with a cause and a next step."""

from __future__ import annotations

import re
from typing import Final

from dataspec.errors import StoreUnreachable, UnreadableObject
from dataspec.store.base import StoreDown

MISSING_BUCKET: Final = "NoSuchBucket"

_REFUSED: Final = "The store refuses these credentials."
_CODES: Final = {
    "AccessDenied": (_REFUSED, "They may not do this to '{key}': give them the right to (docs/server.md)."),
    "InvalidAccessKeyId": (_REFUSED, "It does not know this access key. Check AWS_ACCESS_KEY_ID."),
    "SignatureDoesNotMatch": (
        _REFUSED,
        "The secret does not fit the access key. Check AWS_SECRET_ACCESS_KEY and AWS_REGION.",
    ),
    "ExpiredToken": (_REFUSED, "The session has expired. Renew AWS_SESSION_TOKEN and its keys."),
    "InvalidToken": (_REFUSED, "The session is not valid. Renew AWS_SESSION_TOKEN and its keys."),
    "RequestTimeTooSkewed": (_REFUSED, "The clocks of this machine and of the store differ. Set this one's."),
    "AuthorizationHeaderMalformed": (_REFUSED, "The bucket is in another region. Check AWS_REGION."),
    "PermanentRedirect": ("The store is elsewhere.", "The bucket is in another region. Check AWS_REGION."),
    MISSING_BUCKET: (
        "The store's bucket does not exist.",
        "Create it, or correct the store's address. Check AWS_ENDPOINT_URL as well.",
    ),
}
"""The title and the advice for each code of S3's error documents."""

_OF_ONE_OBJECT: Final = re.compile(
    r"AccessDenied|InvalidObjectState|InvalidObjectName|InvalidRequest|KMS.*|KeyTooLongError"
)
"""Codes of a GET that concern the one object: permissions, storage class, encryption."""

_METADATA_SERVICE: Final = "http://169.254."
"""The address where obstore looks for credentials last."""


def code_of(error: Exception) -> str | None:
    """Return the code of the error document in a response."""
    found = re.search(r"<Code>([\w.]{1,100})</Code>", str(error))
    return found[1] if found else None


def unreachable(url: str, key: str, error: Exception) -> StoreUnreachable:
    """Return the error for a failed request, with advice and without secrets.

    Args:
        url: The store's address.
        key: The requested key or prefix.
        error: The error of obstore.
    """
    if _METADATA_SERVICE in str(error):
        advice = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this machine a role."
        return StoreUnreachable("There are no credentials for the store.", detail=f"{url}: {advice}")
    code = code_of(error) or ("AccessDenied" if _is_refusal(error) else None)
    if code in _CODES:
        title, advice = _CODES[code]
        return StoreUnreachable(title, detail=f"{url}: {advice.format(key=key)}")
    return StoreDown("The store does not answer.", detail=f"{url}: {_reason(error)}")


def unreadable(url: str, key: str, error: Exception) -> StoreUnreachable:
    """Return the error for a failed GET: of the one object if the code says so, else of the store."""
    told = unreachable(url, key, error)
    code = code_of(error) or ("AccessDenied" if _is_refusal(error) else "")
    if not _OF_ONE_OBJECT.fullmatch(code):
        return told
    return UnreadableObject(
        told.title, f"it can't be read: the store answers {code}", detail=told.detail or url
    )


def _is_refusal(error: Exception) -> bool:
    return re.search(r"status code: 40[13]\b", str(error)) is not None


def _reason(error: Exception) -> str:
    """Return the first line of an error, without the server's document and without credentials."""
    line = next(iter(str(error).splitlines()), "") or type(error).__name__
    line = re.sub(r"://[^/@\s]+@", "://", line)
    return line.partition("<?xml")[0].strip(" :")[:300]
