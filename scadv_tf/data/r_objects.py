"""Objects of R in .rds files: read as data, nothing in them is run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from scadv_tf.data.readable import readable
from scadv_tf.errors import InputError

if TYPE_CHECKING:
    from rdata.parser import RObject


def check_reader() -> None:
    """Fails if objects of R cannot be read here.

    Raises
    ------
    InputError : the package rdata, which is optional, is missing.
    """
    try:
        import rdata  # noqa: F401
    except ImportError as error:
        raise InputError(
            what="an object of R is to be read, and the package that reads it is missing",
            expected="the package rdata",
            received=str(error),
            advice="pip install rdata, or install scadv_tf with its extra [rds]",
        ) from error


def seurat_cells(path: Path) -> pd.DataFrame:
    """The table of cells of a Seurat object, its slot ``meta.data``, indexed by their names.

    The whole file is held while it is read, in some three times its size without compression; of
    the object nothing else is converted.

    Raises
    ------
    InputError : the package rdata is missing, or it is no such file.
    """
    check_reader()
    import rdata

    with readable(path, ".rds"):
        whole = rdata.parser.parse_file(path, extension=".rds")
        return rdata.conversion.convert(_slot(whole.object, "meta.data"))


def _slot(parsed: RObject, name: str) -> Any:
    """A slot of an S4 object: its attributes are pairs, each with the rest of them."""
    pairs = parsed.attributes
    while pairs is not None and pairs.tag is not None:
        tag = pairs.tag.referenced_object or pairs.tag
        content, rest = pairs.value
        if tag.value.value == name.encode():
            return content
        pairs = rest
    raise ValueError(f"it has no slot {name}, as Seurat objects have")
