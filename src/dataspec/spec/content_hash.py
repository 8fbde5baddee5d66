"""The hash that names one version of a dataset: of its YAML and its SQL together."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LENGTH = 16


def spec_hash(yaml: bytes, files: Mapping[str, str]) -> str:
    """Return the hash of a version.

    Args:
        yaml: The YAML's bytes.
        files: Its SQL files, by the path that the YAML names them with.
    """
    digest = hashlib.sha256(yaml)
    for path, text in sorted(files.items()):
        digest.update(b"\x00" + path.encode() + b"\x00" + text.encode())
    return digest.hexdigest()[:LENGTH]
