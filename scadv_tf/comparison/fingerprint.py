"""All that a row depends on, as one hash: a finished row is taken up while it is the same."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path

import scadv_tf
from scadv_tf.comparison.systems import SYSTEMS
from scadv_tf.config import RunConfig
from scadv_tf.data.fingerprint import fingerprint
from scadv_tf.data.pairing import AtacTruth, PairedData
from scadv_tf.results import versions

SOURCES = (".py", ".R")


def fingerprint_of(system: str, config: RunConfig, data_digest: str) -> str:
    """Of all that a row depends on: the system, its settings, the cells, all versions, the code.

    Parameters
    ----------
    config : the system's own, from `settings_of`.
    data_digest : from `digest_of`.
    """
    code = code_digest(Path(scadv_tf.__file__).parent)
    software = versions() | {"system": SYSTEMS[system].installed_version, "code": code}
    parts = [system, config.to_dict(), data_digest, software]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@functools.cache  # of the code as it was when the comparison began
def code_digest(package: Path) -> str:
    """A hash of a package's source files: the same for every installation of the same source."""
    digest = hashlib.sha256()
    files = [path for path in package.rglob("*") if path.suffix in SOURCES]
    for name in sorted(path.relative_to(package).as_posix() for path in files):
        content = hashlib.sha256((package / name).read_bytes()).hexdigest()
        digest.update(f"{name} {content}\n".encode())
    return digest.hexdigest()


def digest_of(data: PairedData, truth: AtacTruth | None) -> str:
    """A hash of the cells, their counts and their labels, each in its order."""
    known = [] if truth is None else [truth.labels.tolist(), sorted(truth.level.items())]
    return hashlib.sha256(json.dumps([fingerprint(data), known]).encode()).hexdigest()
