"""Files that others publish: found in a folder, or downloaded to it, whole and checked."""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from scadv_tf.data.resumed_download import Interrupted, Refused, Unreachable, download
from scadv_tf.errors import InputError
from scadv_tf.files import write_whole

logger = logging.getLogger(__name__)

# A line for each file that was downloaded, as pooch keeps them: its name, and its digest.
CHECKSUMS = "scadv_checksums.txt"


@dataclass(frozen=True)
class PublicFile:
    """A file that is published at an address.

    Attributes
    ----------
    name : its name there, and in our folder.
    address : where it is.
    digest : such as 'sha256:…' or 'md5:…'; '' where it is not known before the first download.
    """

    name: str
    address: str
    digest: str = ""


def cache_folder() -> Path:
    """Where files are kept if no folder is given."""
    import pooch

    return Path(pooch.os_cache("scadv_tf"))


def fetch(files: tuple[PublicFile, ...], folder: Path) -> dict[str, Path]:
    """The files in a folder, of which those that are missing are downloaded.

    The digest of what is downloaded is kept in the folder, and holds from then on: a file that is
    damaged later, or comes changed when it is downloaded again, is told. One process at a time.

    Parameters
    ----------
    folder : that exists; files of these names in it are taken as they are.

    Returns
    -------
    Name -> path.

    Raises
    ------
    InputError : a file cannot be downloaded, or has another digest than it should.
    """
    known = _digests(files, folder)
    missing = [file for file in files if not (folder / file.name).exists()]
    for file in files:
        if file not in missing:
            _check(folder / file.name, known[file.name])
    for number, file in enumerate(missing):
        _download(file, folder, known[file.name], missing[number:])
    return {file.name: folder / file.name for file in files}


def _digests(files: tuple[PublicFile, ...], folder: Path) -> dict[str, str]:
    """Name -> digest that its content must have, '' if it is not known."""
    import pooch

    known = pooch.create(folder, base_url="", registry={file.name: file.digest for file in files})
    kept = folder / CHECKSUMS
    if kept.exists():
        try:
            known.load_registry(kept)
            for digest in filter(None, known.registry.values()):
                hashlib.new(_algorithm(digest))
        except (OSError, ValueError) as error:  # of text that is none, too
            raise InputError(
                what=f"{kept} cannot be read",
                expected="a line a file: its name, and sha256: with its digest",
                received=str(error),
                advice="correct it, or remove it: then the files in the folder are not checked",
            ) from error
    return known.registry


def _check(path: Path, digest: str) -> None:
    received = _digest(path, digest) if digest else ""
    if received == digest:
        return
    raise InputError(
        what=f"{path} is not the file that was published, or downloaded before",
        expected=digest,
        received=received,
        advice=f"remove it, and it is downloaded again; if it is right so, remove its line from "
        f"{path.with_name(CHECKSUMS)}",
    )


def _digest(path: Path, like: str = "sha256:") -> str:
    """The digest of a file, by the same algorithm as another."""
    import pooch

    algorithm = _algorithm(like)
    return f"{algorithm}:{pooch.file_hash(str(path), alg=algorithm)}"


def _algorithm(digest: str) -> str:
    """That of a digest; where none is named, pooch takes it for SHA-256."""
    return digest.rpartition(":")[0] or "sha256"


def _download(file: PublicFile, folder: Path, digest: str, missing: list[PublicFile]) -> None:
    """Downloads a file; `missing` are it and those that are to come, for messages."""
    import pooch

    pooch.get_logger().setLevel(logging.WARNING)
    logger.info("downloading %s to %s", file.address, folder)

    def by_parts(address: str, path: str, _: object) -> None:
        part = folder / f".part-{file.name}"
        download(address, part)
        os.replace(part, path)

    try:
        pooch.retrieve(file.address, digest or None, file.name, folder, downloader=by_parts)
    except Unreachable as error:
        raise _unreachable(file, folder, error, missing) from error
    except Refused as error:
        raise InputError(
            what=f"{file.name} could not be downloaded",
            expected="the file at its address",
            received=str(error),
            advice="it may have moved: look for it where it is published, put it by this name in "
            f"a folder, and give --data_dir=FOLDER (or put it in {folder})",
        ) from error
    except Interrupted as error:
        raise InputError(
            what=f"{file.name} could not be downloaded to its end",
            expected="a connection that lasts, to a server that is not busy",
            received=str(error),
            advice="the same command goes on where this one stopped; try it later, or download the "
            f"file otherwise to {folder}",
        ) from error
    except ValueError as error:  # of pooch, which has removed it
        raise InputError(
            what=f"{file.name} came with another content than it should have",
            expected=digest,
            received=str(error),
            advice="the same command downloads it again; if that does not help, the file was "
            f"changed where it is published: see its line in {folder / CHECKSUMS}",
        ) from error
    if not digest:
        _learn(file.name, folder)


def _learn(name: str, folder: Path) -> None:
    """Keeps the digest of a file that was downloaded for the first time."""
    kept = folder / CHECKSUMS
    lines = kept.read_text("utf-8") if kept.exists() else ""
    write_whole(kept, f"{lines}{name} {_digest(folder / name)}\n".encode())


def _unreachable(
    file: PublicFile, folder: Path, error: Unreachable, missing: list[PublicFile]
) -> InputError:
    host = urlsplit(file.address).netloc
    wanted = "".join(f"\n    {one.name}: {one.address}" for one in missing)
    return InputError(
        what=f"{host} cannot be reached from here, to download {file.name}",
        expected=f"a connection to the internet, or these files in {folder}:{wanted}",
        received=str(error),
        advice="download them on a machine with a connection, put them by these names in a folder, "
        "and give --data_dir=FOLDER",
    )
