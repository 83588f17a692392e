"""What an export says of itself, in JSON for programs and in Markdown for people."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scadv_tf.client.assets import FORMAT
from scadv_tf.data.labels import HEADLINE
from scadv_tf.naming import ATAC, named

if TYPE_CHECKING:
    import tensorflow as tf

SCORES = ("macro_f1", "weighted_f1", "accuracy")


@dataclass(frozen=True)
class Background:
    """Where a model comes from; all of it goes into the manifest.

    Attributes
    ----------
    dataset : its name.
    fingerprint : of the data, see `scadv_tf.data.fingerprint`.
    cells : modality -> number of training cells.
    counted : modality -> whether the values were counts, not log-normalised or the like.
    type_cells : type -> number of RNA cells.
    settings : every setting of the run.
    scores : the content of metrics.json so far; scores that need labels are None without them.
    versions : package -> version.
    """

    dataset: str = ""
    fingerprint: str = ""
    cells: dict = field(default_factory=dict)
    counted: dict = field(default_factory=dict)
    type_cells: dict = field(default_factory=dict)
    settings: dict = field(default_factory=dict)
    scores: dict = field(default_factory=dict)
    versions: dict = field(default_factory=dict)


def manifest(background: Background, functions: dict, sizes: dict, version: int) -> dict:
    """The content of ``manifest.json``.

    Parameters
    ----------
    functions : name of each signature -> its function.
    sizes : genes, types, peaks, reference_cells, averages (how often a new ATAC cell is averaged
        with the nearest of those) and query, see `Measure.to_dict`.
    """
    return {
        "format": FORMAT,
        "version": version,
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **sizes,
        "signatures": {name: _signature(function) for name, function in functions.items()},
        "dataset": background.dataset,
        "data_sha256": background.fingerprint,
        "training_cells": background.cells,
        "trained_on_counts": background.counted,
        "rna_cells_by_type": background.type_cells,
        "settings": background.settings,
        "scores": background.scores,
        "versions": background.versions,
    }


def _signature(function: Any) -> dict:
    inputs = {spec.name: _described(spec) for spec in function.structured_input_signature[0]}
    outputs = {n: _described(t) for n, t in sorted(function.structured_outputs.items())}
    return {"inputs": inputs, "outputs": outputs}


def _described(tensor: tf.TensorSpec) -> dict:
    return {"dtype": tensor.dtype.name, "shape": tensor.shape.as_list()}


def model_card(content: dict) -> str:
    """A page in Markdown about a model, from its manifest: what it is for, and its limits."""
    settings = content["settings"].get("training", {})
    query = content["query"]["name"]
    lines = [
        f"# Model card: {content['dataset'] or 'unnamed'}, version {content['version']}",
        "",
        "An encoder of single cells, trained by scadv_tf on unpaired RNA-seq and "
        f"{'ATAC-seq' if query == ATAC else query}.",
        "From raw gene counts of a cell of either modality it gives a latent vector that both share"
        + (", its cell type, and how sure that is." if content["types"] else "."),
        "",
        "## Training",
        "",
        *_table(
            {
                "made": content["made"],
                "data": f"{content['dataset']} (SHA-256 {content['data_sha256'] or 'unknown'})",
                "cells": _counts(content["training_cells"]),
                "values": _values(content["trained_on_counts"]),
                "genes": content["genes"],
                "peaks": content["peaks"] or "none",
                "query": "{name} ({kind}; {more} means more expression)".format(
                    **content["query"], more="less" if content["query"]["direction"] < 0 else "more"
                ),
                "mode, epochs, seed": ", ".join(
                    str(settings.get(name, "?")) for name in ("mode", "epochs", "seed")
                ),
                "versions": _counts(content["versions"]),
            }
        ),
        "",
        *_types(content),
        *_scores(content),
        *_limits(content),
    ]
    return named("\n".join(lines), query) + "\n"


def _table(rows: dict, head: tuple = ("", "")) -> list[str]:
    names = [f"| {name} | {value} |" for name, value in rows.items()]
    return [f"| {head[0]} | {head[1]} |", "|---|---|", *names]


def _counts(numbers: dict) -> str:
    return ", ".join(
        f"{name} {number:,}" if isinstance(number, int) else f"{name} {number}"
        for name, number in numbers.items()
    )


def _values(counted: dict) -> str:
    kinds = {True: "counts", False: "no counts"}
    return ", ".join(f"{name} {kinds[is_so]}" for name, is_so in counted.items()) or "unknown"


def _types(content: dict) -> list[str]:
    if not content["types"]:
        return ["No type was taught: there are latent vectors only.", ""]
    head = ("cell type", "RNA cells it was learned from")
    cells = {name: content["rna_cells_by_type"].get(name, "?") for name in content["types"]}
    return ["## Cell types", "", *_table(cells, head), ""]


def _scores(content: dict) -> list[str]:
    scores = content["scores"]
    found = {
        f"{name} of the labels of the ATAC cells ({route})": scores[route][name]
        for route in (HEADLINE, "classifier")
        if scores.get(route)
        for name in SCORES
    }
    for name in ("calibration_error", "modality_mixing", "silhouette_umap"):
        found[name] = scores.get(name)
    known = {n.replace("_", " "): f"{v:.3f}" for n, v in found.items() if v is not None}
    if scores.get(HEADLINE):
        note = "On the ATAC cells of the training, whose labels took no part in it."
    elif content["types"]:
        note = "Labels of ATAC cells were not known: nothing is said about their accuracy."
    else:
        note = "No label is given, so nothing is said about accuracy."
    table = [*_table(known, ("score", "value")), ""] if known else []
    return ["## Scores", "", note, "", *table]


def _limits(content: dict) -> list[str]:
    lines = [
        "- Cells must be of the tissue, species and kind of assay of the training.",
        "- `counts` are raw, in the order of `assets/genes.txt`; a gene not measured is 0.",
    ]
    if content["types"]:
        lines += _limits_of_labels(content)
    if content["reference_cells"]:
        lines += _limits_of_neighbors(content)
    return ["## Limits", "", *lines]


def _limits_of_labels(content: dict) -> list[str]:
    label = "- `label` is always one of the types above."
    if content["settings"].get("training", {}).get("calibration_share") == 0:
        return [label, "- `confidence` was not calibrated, and no cell is called `unknown`."]
    known = content["scores"].get("calibration_error") is not None
    return [
        f"{label} `unknown` marks cells that resemble none;",
        "  it raises few false alarms and misses many cells of new types.",
        "- `confidence` was calibrated on RNA cells; on ATAC cells "
        + ("see the calibration error." if known else "it could not be checked."),
    ]


def _limits_of_neighbors(content: dict) -> list[str]:
    how = "averaged with" if content["averages"] else "labelled with the help of"
    cells = f"{content['reference_cells']:,} cells of the training"
    lines = [f"- A new ATAC cell is {how} the nearest of {cells}."]
    if content["peaks"]:
        lines += [
            "  Those cells were told apart by their peaks. A cell that is given by its genes alone",
            "  finds its neighbours less well, and its answer is less sure than theirs.",
        ]
    return lines
