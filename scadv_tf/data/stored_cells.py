"""What a format of files makes of a file: one modality, of which nothing need be held."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from scadv_tf.config import DataConfig
from scadv_tf.data.measures import Measure

if TYPE_CHECKING:
    import h5py

    from scadv_tf.data.genome_fit import BetterGenome
    from scadv_tf.data.stored_matrices import StoredMatrix
    from scadv_tf.data.tables import StoredText


@dataclass(frozen=True)
class Called:
    """What messages call a file, and the flags that name it and its layer."""

    what: str = "the input"
    flag: str = "--input"
    layer_flag: str = "--layer"

    @classmethod
    def of(cls, modality: str) -> Called:
        """As in a training."""
        flag = f"--{modality}"
        return cls(f"the {modality.upper()} file", flag, f"{flag}_layer")


@dataclass(frozen=True)
class Counting:
    """How a file of fragments becomes counts.

    Attributes
    ----------
    intervals : gives where they are counted: chrom, start, end [P], with names as index, as from
        `scadv_tf.data.regions.read_peaks`; None where nothing is known of that.
    barcodes : path of a list of cells; '' for those with enough fragments.
    min_fragments : how many are enough.
    given : flags that the user gave, and that no other file has a use for.
    drop_empty : whether intervals without a fragment of any cell are left out, as windows are:
        what no fragment reaches was not measured.
    genes : gives those of the genome that is stated, as from `load_genes`: fragments of another are
        told of; None where none are known.
    """

    intervals: Callable[[], pd.DataFrame] | None = None
    barcodes: str = ""
    min_fragments: int = DataConfig.min_fragments
    given: tuple[str, ...] = ()
    drop_empty: bool = False
    genes: Callable[[], pd.DataFrame] | None = None


@dataclass(frozen=True)
class Choices:
    """What the user chooses of files that leave a choice; others have no use for it.

    Attributes
    ----------
    counting : for a file of fragments.
    genome_group : which of the genomes of a 10x .h5 of several; '' where there is one.
    measure : what cells that are not RNA measure.
    """

    counting: Counting = Counting()
    genome_group: str = ""
    measure: Measure = Measure()


@dataclass(frozen=True)
class Asked:
    """What is wanted of a file.

    Attributes
    ----------
    path : the file or folder.
    modality : 'rna' or 'atac'.
    layer : '' or 'X' for X, 'raw' for .raw.X, otherwise the name of a layer.
    called : what messages call the file.
    scratch : makes a folder, which goes when the file is closed.
    choices : for files that leave a choice.
    """

    path: Path
    modality: str
    layer: str
    called: Called
    scratch: Callable[[], Path]
    choices: Choices = Choices()

    @property
    def features(self) -> str:
        """The kind of features that are wanted, see `scadv_tf.data.features.KIND_NAMES`."""
        return self.choices.measure.features_of(self.modality)

    @property
    def are_levels(self) -> bool:
        """Whether values are levels, see `scadv_tf.data.levels`."""
        return self.modality == "atac" and self.choices.measure.is_levels


@dataclass(frozen=True, eq=False)
class StoredCells:
    """One modality in an open file.

    Attributes
    ----------
    format : of the file, as messages call it.
    matrix : what was asked for [cells, features].
    names : of the cells.
    var : the table of all features, also those of other modalities; names may repeat.
    table : reads the columns of the table of cells; None where there are only names.
    obs : that table itself, where it is stored as anndata does it.
    others : the file's other matrices by the names that the user knows.
    from_10x : whether the file is 10x's own: of one matrix, and ``feature_types`` says what was
        measured.
    better_genome : that its fragments are of, where the genes are of another.
    """

    format: str
    matrix: StoredMatrix
    names: StoredText
    var: pd.DataFrame
    table: Callable[[], pd.DataFrame] | None = None
    obs: h5py.Group | None = None
    others: Callable[[], dict[str, StoredMatrix]] = dict
    from_10x: bool = False
    better_genome: BetterGenome | None = None
