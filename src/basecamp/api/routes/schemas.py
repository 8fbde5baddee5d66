"""Routes that editors ask for: the JSON Schema of a Dataset Spec."""

from __future__ import annotations

from functools import cache
from hashlib import sha256

from fastapi import APIRouter, Request, Response

from dataspec.spec.json_schema import schema_text

router = APIRouter(prefix="/schemas", tags=["schemas"])

CACHING = "public, max-age=86400"
"""It changes with the server's version alone; a day later an editor asks again, by its ETag."""


@router.get("/dataset.json", response_class=Response)
def get_dataset_schema(request: Request) -> Response:
    """Give the JSON Schema of a Dataset Spec; it holds nothing of this server, so anybody may read it."""
    body, tag = _schema()
    headers = {"Cache-Control": CACHING, "ETag": tag}
    if tag in request.headers.get("If-None-Match", ""):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/schema+json", headers=headers)


@cache
def _schema() -> tuple[bytes, str]:
    body = schema_text().encode()
    return body, f'"{sha256(body).hexdigest()[:16]}"'
