"""Data sets that are downloaded once, and turned into one .h5ad for each modality."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from scadv_tf.data.downloads import PublicFile, cache_folder, fetch
from scadv_tf.data.hdf5_files import open_hdf5
from scadv_tf.errors import InputError
from scadv_tf.files import at_home, unfinished, whole_file
from scadv_tf.folders import in_turn, scratch_folder

logger = logging.getLogger(__name__)

# (published files by name, path of the .h5ad, folder for temporary files) -> cells written
Convert = Callable[[Mapping[str, Path], Path, Path], int]


def _nothing() -> None:
    """Nothing else is needed."""


@dataclass(frozen=True)
class PublicData:
    """A published data set.

    Attributes
    ----------
    name : of the data set, ``--dataset``.
    files : what is published.
    genome : of the ATAC peaks.
    convert : modality -> how its .h5ad is made of the files.
    cells : modality -> the cells that the document counts.
    notice : licence and citation, for the user.
    check : raises what would hinder `convert`, before anything is downloaded.
    version : of what `convert` makes; to be raised when that changes.
    """

    name: str
    files: tuple[PublicFile, ...]
    genome: str
    convert: Mapping[str, Convert]
    cells: Mapping[str, int]
    notice: str
    check: Callable[[], None] = _nothing
    version: int = 1

    def ready(self, data_dir: str) -> dict[str, Path]:
        """Modality -> its .h5ad, made of the published files if it is not there yet.

        Of several processes that ask for it, one downloads and converts, and the others wait.

        Parameters
        ----------
        data_dir : folder of the files; '' for the user's cache.

        Raises
        ------
        InputError : the files cannot be had, are not what they should be, or the folder is none.
        """
        folder = at_home(data_dir) if data_dir else cache_folder()
        logger.info("%s: %s", self.name, self.notice)
        found = {each: folder / f"{self.name}.v{self.version}.{each}.h5ad" for each in self.convert}
        if not all(map(_is_whole, found.values())):
            self.check()
            _make_folder(folder)
            logger.info("  its cells are made in %s, by one process at a time", folder)
            with in_turn(folder / f".{self.name}.lock"):
                missing = {each: path for each, path in found.items() if not _is_whole(path)}
                if missing:  # another process may just have made them
                    self._make(missing, fetch(self.files, folder))
        return found

    def _make(self, missing: dict[str, Path], files: dict[str, Path]) -> None:
        for modality, path in missing.items():
            _remove_unfinished(path)
            logger.info("  converting the %s cells to %s …", modality.upper(), path.name)
            with whole_file(path) as part, scratch_folder(path.parent) as scratch:
                cells = self.convert[modality](files, part, scratch)
            expected = self.cells[modality]
            tell = logger.info if cells == expected else logger.warning
            tell("  %s cells; the document counts %s", f"{cells:,}", f"{expected:,}")


def _is_whole(path: Path) -> bool:
    """Whether a file was made, and is none that a power cut or a broken copy has left."""
    if not path.exists():
        return False
    try:
        with open_hdf5(path):
            return True
    except OSError as error:
        if error.errno is not None:
            return True  # in use, or not to be read by this user: told when it is read
    logger.warning("%s is damaged: it is made again", path)
    return False


def _remove_unfinished(path: Path) -> None:
    """Removes what killed processes wrote of a file; none writes it now."""
    for part in unfinished(path.parent):
        if part.name.endswith(f"-{path.name}"):
            part.unlink(missing_ok=True)


def _make_folder(folder: Path) -> None:
    """Makes the folder, with those around it, and fails if nothing can be put there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            what="the files of the data set cannot be put there",
            expected="--data_dir=FOLDER that may be written to, or that can be made",
            received=f"{folder} ({error.strerror})",
            advice="give another folder, with links to the files that are there already; or leave "
            "--data_dir out to have all files in the user's cache",
        ) from error
