"""The report's pictures, drawn from the AnnData that `scadv_tf.integrate` wrote into.

Each function returns the axes, ``axes.figure`` is the figure; a notebook shows it as well.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scadv_tf.config import DataConfig
from scadv_tf.data.anndata_cells import anndata_of, is_mudata, is_path, without_counts
from scadv_tf.data.answers import PREFIX, UMAP
from scadv_tf.data.labels import column_called, column_in, column_texts, labels_of, without_unknown
from scadv_tf.data.measures import Measure
from scadv_tf.data.scverse import with_shared_columns
from scadv_tf.errors import InputError
from scadv_tf.evaluation import figures
from scadv_tf.evaluation.marker_figures import marker_dots
from scadv_tf.evaluation.metrics import confusion as confusion_counts
from scadv_tf.evaluation.style import call_query
from scadv_tf.evaluation.umap_figures import umap_panels
from scadv_tf.modalities import MODALITIES
from scadv_tf.progress import in_notebook
from scadv_tf.run_figures import losses_of

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from mudata import MuData

LABEL, CONFIDENCE = f"{PREFIX}label", f"{PREFIX}confidence"
DPI = 100  # in a notebook


def umap(*cells: AnnData | MuData, color: str = "") -> list[Axes]:
    """Draws the integrated cells by type and by modality, side by side.

    Parameters
    ----------
    cells : the RNA and the ATAC cells, or one of them, or a MuData with both.
    color : a column of obs: text takes the place of the types, numbers are a third panel. By
        default types are the given ones of RNA cells and the predicted ones of ATAC cells.

    Raises
    ------
    InputError : the cells were not integrated, or have no such column.
    """
    if not cells:
        raise InputError(
            what="No cells were given.",
            expected="the RNA and the ATAC cells, or one of them, or a MuData with both",
            received="nothing",
            advice="Give what was integrated: scadv_tf.pl.umap(model.rna, model.atac).",
        )
    parts = [_with_data(adata) for adata in _each(cells)]
    coordinates = np.concatenate([adata.obsm[UMAP] for adata in parts])
    modality = np.repeat([_notes(adata)["modality"] for adata in parts], [*map(len, parts)])
    types, extra = [_types(adata) for adata in parts], None
    if color := _text("color", color):
        columns = [_given_column(adata, color) for adata in parts]
        if all(map(pd.api.types.is_numeric_dtype, columns)):
            numbers = [column.to_numpy(dtype=float, na_value=np.nan) for column in columns]
            extra = np.concatenate(numbers)
        else:
            types = [column_texts(column) for column in columns]
    types = np.concatenate(types)
    shown = types if np.any(types != "") else None
    title = f"Cells by {color}" if color else "ATAC types: predicted"
    return _axes(umap_panels(coordinates, shown, modality, title, extra, color), parts[0])


def confusion(atac: AnnData | MuData, key: str = "") -> Axes:
    """Draws which share of each known type of the ATAC cells was given each label.

    Parameters
    ----------
    key : column of obs with the known types; by default the one that scores were made with.

    Raises
    ------
    InputError : the cells were not integrated with labels, or have no such column.
    """
    adata = _with_data(_part(atac))
    settings = _notes(adata)["settings"]
    key = _text("key", key) or settings["atac_label_key"] or settings["label_key"]
    truth = without_unknown(column_texts(_given_column(adata, key)))
    if not np.any(truth != ""):
        raise InputError(
            what=f"The cells have no known type in obs['{key}'].",
            expected="types of some of the cells",
            received=f"{adata.n_obs:,} cells that were looked at, and gaps or 'unknown'",
            advice="Name another column by key=…; pl.confidence and pl.umap need no known types.",
        )
    counts = confusion_counts(truth, np.asarray(_column(adata, LABEL), dtype=str))
    return _axes(figures.confusion_matrix(counts), adata)[0]


def confidence(atac: AnnData | MuData) -> Axes:
    """Draws how sure the labels of the ATAC cells are.

    Raises
    ------
    InputError : the cells were not integrated with labels.
    """
    adata = _with_data(_part(atac))
    values = np.asarray(_column(adata, CONFIDENCE), dtype=float)
    return _axes(figures.confidence_histogram(values), adata)[0]


def shares(cells: AnnData | MuData) -> Axes:
    """Draws the share of each type among the RNA cells, and the estimated one of the ATAC cells.

    Raises
    ------
    InputError : the cells were not integrated with labels.
    """
    adata = _part(cells)
    notes = _notes(adata)
    if "type_shares" not in notes:
        raise _not_there("type_shares in uns['scadv']", "labels were taught", "label_key")
    return _axes(figures.type_shares(notes["type_shares"]), adata)[0]


def markers(cells: AnnData | MuData) -> Axes:
    """Draws the RNA types' marker genes in the ATAC cells called each type, as a dot plot.

    Raises
    ------
    InputError : the cells were not integrated with labels.
    """
    adata = _part(cells)
    found = _notes(adata).get("diagnosis", {})
    if "marker_dots" not in found:
        raise _not_there(
            "marker_dots in uns['scadv']['diagnosis']", "labels were taught", "label_key"
        )
    has = _measure(adata).of_kind.has
    return _axes(marker_dots(found["marker_dots"], has=has), adata)[0]


def losses(cells: AnnData | MuData) -> list[Axes]:
    """Draws the losses by epoch, a panel each.

    Raises
    ------
    InputError : the cells were not integrated.
    """
    adata = _part(cells)
    return _axes(figures.loss_curves(losses_of(_notes(adata)["history"])), adata)


def learning_curve(cells: AnnData | MuData) -> Axes:
    """Draws the classifier's macro F1 on the ATAC cells by epoch.

    Raises
    ------
    InputError : the cells were not integrated, or ATAC labels were not known.
    """
    adata = _part(cells)
    history = _notes(adata)["history"]
    if "macro_f1" not in history:
        raise _not_there(
            "macro_f1 in the history", "types of ATAC cells were known", "atac_label_key"
        )
    return _axes(figures.learning_curve(history["macro_f1"].to_numpy()), adata)[0]


def _each(cells: tuple[AnnData | MuData, ...]) -> Iterator[AnnData]:
    """The AnnData, of a MuData both."""
    for given in cells:
        for modality in MODALITIES if is_mudata(given) else MODALITIES[-1:]:
            yield _part(given, modality)


def _part(given: AnnData | MuData, modality: str = "atac") -> AnnData:
    """What pictures are of, of an AnnData; of a MuData of what was integrated as that modality,
    whatever it is called there, with the columns of the MuData's own table that it lacks."""
    if is_path(given):
        raise InputError(
            what="A path was given, and pictures are of an AnnData.",
            expected="an AnnData or a MuData that scadv_tf.integrate wrote into",
            received=str(given),
            advice="Read it first: anndata.read_h5ad(path).",
        )
    if is_mudata(given):
        name = _integrated(given, modality)
        adata = given.mod[name]
        obs = with_shared_columns(adata.obs, given.obs, name, list(given.mod))
    else:
        adata = anndata_of(given, modality)
        obs = adata.obs
    # Of columns of one name the first, as `integrate` takes it; and names are of no use here.
    part = without_counts(obs.loc[:, ~obs.columns.duplicated()], np.arange(len(obs)).astype(str))
    if UMAP in adata.obsm:
        part.obsm[UMAP] = np.asarray(adata.obsm[UMAP])
    part.uns["scadv"] = adata.uns.get("scadv")
    return part


def _integrated(given: MuData, modality: str) -> str:
    """What the cells that were integrated as a modality are called in a MuData."""
    names = [n for n, adata in given.mod.items() if _said(adata).get("modality") == modality]
    if len(names) == 1:
        return names[0]
    raise InputError(
        what=f"It is not certain which cells of the MuData are {modality.upper()}."
        if names
        else f"The cells have no {modality.upper()} that was integrated.",
        expected=f"one modality that scadv_tf.integrate wrote into as {modality.upper()}",
        received=", ".join(names or given.mod) or "a MuData without modalities",
        advice="Give the AnnData themselves: model.rna, model.atac.",
    )


def _with_data(adata: AnnData) -> AnnData:
    """The cells that were looked at: the others have no place on the UMAP."""
    if UMAP not in adata.obsm:
        raise _not_there(f"obsm['{UMAP}']", "the cells were integrated")
    return adata[np.isfinite(adata.obsm[UMAP]).all(axis=1)]


def _notes(adata: AnnData) -> Mapping[str, Any]:
    if not (said := _said(adata)):
        raise _not_there("uns['scadv'] of an integration", "the cells were integrated")
    return said


def _said(adata: AnnData) -> Mapping[str, Any]:
    """What an integration said in uns; nothing where there was none."""
    said = adata.uns.get("scadv")
    parts = {"modality", "settings", "history"}  # not all, of concatenated ones
    return said if isinstance(said, Mapping) and said.keys() >= parts else {}


def _column(adata: AnnData, name: str) -> pd.Series:
    if name not in adata.obs:
        argument = "label_key" if _said(adata) else ""
        raise _not_there(f"obs['{name}']", "the cells were integrated with labels", argument)
    return adata.obs[name]


def _given_column(adata: AnnData, name: str) -> pd.Series:
    """A column of the user's own."""
    return column_in(
        adata.obs,
        name,
        what=f"The {_notes(adata)['modality'].upper()} cells have no column '{name}'.",
        received=name,
        advice="Name a column of obs that all of the given cells have, or leave it out.",
    )


def _text(argument: str, name: str | None) -> str:
    """The name of a column; '' of None."""
    if name is None or isinstance(name, str):
        return name or ""
    raise InputError(
        what=f"The argument {argument} is no text.",
        expected="the name of a column of obs",
        received=f"{name!r:.100}, of type {type(name).__name__}",
        advice="Give the column's name, not its values or its number.",
    )


def _types(adata: AnnData) -> np.ndarray:
    """Given types of RNA cells, predicted ones of ATAC cells, text; '' where there are none."""
    notes = _notes(adata)
    key = notes["settings"]["label_key"] if notes["modality"] == "rna" else LABEL
    known = column_called(adata.obs, key) is not None
    return labels_of(adata.obs, key if known else "", notes["modality"])


def _not_there(what: str, when: str, argument: str = "") -> InputError:
    """What an integration writes only if so asked, by an argument; or what any would have."""
    given = "Give the AnnData that scadv_tf.integrate wrote into: model.rna, model.atac."
    return InputError(
        what=f"The cells have no {what}.",
        expected=f"what scadv_tf.integrate writes where {when}",
        received=f"no {what}",
        advice=f"Integrate with {argument}=… of a column that has them." if argument else given,
    )


def _measure(adata: AnnData) -> Measure:
    """What the query cells of an integration measured; accessibility of an older one."""
    settings = _notes(adata)["settings"]
    names = ("query_kind", "modality_name")
    return Measure.of(DataConfig(**{name: settings[name] for name in names if name in settings}))


def _axes(figure: Figure, adata: AnnData) -> list[Axes]:
    """The axes of a figure of some cells, which a notebook shows: of itself it shows pyplot's."""
    call_query(figure, _measure(adata).name)
    if in_notebook():
        from IPython.display import Image, display

        with io.BytesIO() as picture:
            figure.savefig(picture, format="png", dpi=DPI, facecolor="white")
            display(Image(picture.getvalue()))
    return figure.axes
