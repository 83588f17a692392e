"""Models that label and embed the cells of an AnnData or a file: of an export, or just trained."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scadv_tf import signals
from scadv_tf.api.arguments import folder_of, plain
from scadv_tf.api.cells import target_of, uns_of_settings
from scadv_tf.client.batches import check_modality
from scadv_tf.client.exported import ExportedModel
from scadv_tf.data.anndata_cells import without_counts
from scadv_tf.data.answers import CellAnswers, write_into
from scadv_tf.data.cell_files import open_cells
from scadv_tf.data.stored_cells import Called, Choices
from scadv_tf.labelling import AnnotateConfig, answer_all, summary_and_batches
from scadv_tf.libraries import quiet_libraries, quiet_start
from scadv_tf.naming import query_called
from scadv_tf.settings import Checked, option_of

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from mudata import MuData

    from scadv_tf.data.pairing import Intervals
    from scadv_tf.models.scadv import ScAdv
    from scadv_tf.results import Results
    from scadv_tf.serving.manifest import Background
    from scadv_tf.serving.served_model import Served


@dataclass(frozen=True)
class _Asked(Checked):
    """How new cells are read."""

    layer: str = option_of(AnnotateConfig, "layer")
    batch_key: str = option_of(AnnotateConfig, "batch_key")
    batch_size: int = option_of(AnnotateConfig, "batch_size")


class AnnotationModel:
    """A model that labels cells of either modality.

    Attributes
    ----------
    exported : the export, for counts without a table of genes, see `ExportedModel`.
    types : names of the K types; empty if none was taught.
    genes : names of the genes that the model looks at [G].
    """

    def __init__(self, exported: ExportedModel):
        self._exported = exported

    @property
    def exported(self) -> ExportedModel:
        """The export, for counts without a table of genes."""
        return self._exported

    @property
    def types(self) -> tuple[str, ...]:
        """Names of the K types; empty if none was taught."""
        return self.exported.types

    @property
    def genes(self) -> np.ndarray:
        """Names of the genes that the model looks at [G], text."""
        return self.exported.genes

    def annotate(
        self,
        cells: AnnData | MuData | str | Path,
        modality: str,
        *,
        layer: str = "",
        batch_key: str = "",
        batch_size: int = AnnotateConfig.batch_size,
        copy: bool = False,
    ) -> AnnData:
        """Labels and embeds cells, each by itself, as ``scadv annotate`` does.

        Writes ``obs['scadv_label']``, …, ``obsm['X_scadv']`` and ``uns['scadv']``; of a model that
        knows no types, the latter two.

        Parameters
        ----------
        cells : with raw counts; ATAC as peaks or gene activity. An AnnData, in memory or backed, a
            MuData with such a modality, or the path of a file or 10x folder.
        modality : 'rna' or 'atac'.
        layer : where the counts are: 'raw', or a layer; by default X.
        batch_key : column of obs with the cells' donor, lane or technology, of a model that was
            trained with such a column; a name that it does not know is not corrected for.
        batch_size : cells to look at at a time.
        copy : whether to write into a copy, and leave the cells as they are.

        Returns
        -------
        The AnnData that was given, or its copy; of a path, one with the table of cells, but without
        counts.

        Raises
        ------
        InputError : the cells are unfit; then nothing is written.
        """
        check_modality(modality)
        given = {"layer": layer, "batch_key": batch_key, "batch_size": batch_size}
        asked = _Asked(**{name: plain(v) for name, v in given.items() if v is not None})
        with signals.interruptible():
            model = self.exported
        called = Called("the file of cells", "cells", "layer")
        target = target_of(cells, model.measure.features_of(modality), copy)
        choices = Choices(measure=model.measure)
        with (
            query_called(model.measure.name),
            open_cells(cells, modality, asked.layer, called=called, choices=choices) as source,
            signals.interruptible(),
        ):
            named = modality, asked.batch_key, "batch_key"
            summary, batches = summary_and_batches(source, model, *named)
            model.load()
            parts: list[CellAnswers] = []
            how = batches, asked.batch_size, lambda _, answers: parts.append(answers)
            answer_all(source, model, summary, *how)
            if target is None:
                target = without_counts(source.table(), source.names(0, source.cells))
            told = {"modality": modality, "diagnosis": summary.diagnosis().to_uns()}
            told = model.identity | told
        write_into(target, *parts)
        target.uns["scadv"] = told
        return target

    def __getstate__(self) -> dict[str, object]:
        """For copies and other processes, which load TensorFlow's part from the folder anew."""
        return {"_exported": ExportedModel(self._exported.folder)}

    def __repr__(self) -> str:
        return f"{type(self).__name__} of {len(self.genes):,} genes and {len(self.types)} types"


class IntegratedModel(AnnotationModel):
    """What `scadv_tf.integrate` returns: the trained model, and the cells with its answers.

    Attributes
    ----------
    rna, atac : the AnnData with the answers.
    network : the Keras model.
    history : a row an epoch: losses, and what else was watched.
    metrics : scores, as in metrics.json; None where ATAC labels are not known.
    warnings : what to know before trusting the answers, sentences.
    settings : of the run, name -> value.
    """

    def __init__(
        self,
        results: Results,
        served: Served,
        background: Background,
        intervals: Intervals | None,
        cells: dict[str, AnnData],
    ):
        self.rna, self.atac = cells["rna"], cells["atac"]
        self.network: ScAdv = served.model
        self.history: pd.DataFrame = results.history
        self.metrics, self.warnings = results.metrics, results.warnings
        self.settings = uns_of_settings(results.config)
        self._export = served, background, intervals

    @property
    def types(self) -> tuple[str, ...]:
        """Names of the K types; empty if none was taught."""
        return self._export[0].types

    @property
    def genes(self) -> np.ndarray:
        """Names of the genes that the model looks at [G], text."""
        return self._export[0].preprocessor.genes

    @cached_property
    def exported(self) -> ExportedModel:
        """The model as an export, by which it labels new cells as an export of it would."""
        with tempfile.TemporaryDirectory(prefix="scadv-") as folder:
            model = ExportedModel(self.export(folder))
            model.load()
            _ = model.identity  # which is read from there too
            return model

    def __getstate__(self) -> dict[str, object]:
        """As for the others: what was exported is exported anew."""
        return {name: held for name, held in vars(self).items() if name != "exported"}

    @signals.interruptible()
    def export(self, folder: str | Path) -> Path:
        """Writes the next version of a folder, as a training does; see `scadv_tf.load`.

        Returns
        -------
        The folder of the new version.

        Raises
        ------
        InputError : nothing can be written there.
        """
        from scadv_tf.result_folder import check_writable
        from scadv_tf.serving.export import export

        served, background, intervals = self._export
        folder = folder_of(folder)
        check_writable(folder)
        with quiet_start(), quiet_libraries():
            return export(served, folder, background, intervals)


def load(folder: str | Path) -> AnnotationModel:
    """The model of an export, which labels new cells.

    A SavedModel is a program: load only what you trust.

    Parameters
    ----------
    folder : of one version, or of versions, of which the newest is taken, e.g. savedmodels/pbmc.

    Raises
    ------
    InputError : there is no export, or it is damaged.
    """
    return AnnotationModel(ExportedModel(folder_of(folder)))
