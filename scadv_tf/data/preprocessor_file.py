"""A fitted preprocessor as one .npz file of plain arrays: no pickle, readable by NumPy alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import sparse

from scadv_tf.data.denoising import Neighborhood, averaged_levels
from scadv_tf.data.neighbors import SemanticIndex, averaging_weights
from scadv_tf.data.normalization import Scale
from scadv_tf.data.preprocessing import MODALITIES, Preprocessor
from scadv_tf.files import whole_file


def save_preprocessor(path: str | Path, preprocessor: Preprocessor) -> None:
    """Writes everything that `load_preprocessor` needs, whole or not at all."""
    arrays = {"genes": preprocessor.genes.astype(str)}
    for modality in MODALITIES:
        arrays |= _scale_arrays(f"{modality}_scale", preprocessor.scales[modality])
    if preprocessor.components is not None:
        arrays["components"] = preprocessor.components
    if preprocessor.neighborhood is not None:
        arrays |= _neighborhood_arrays(preprocessor.neighborhood)
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)


def load_preprocessor(path: str | Path) -> Preprocessor:
    """The inverse of `save_preprocessor`."""
    with np.load(path, allow_pickle=False) as arrays:
        neighborhood = _neighborhood(arrays) if "neighbors" in arrays else None
        return Preprocessor(
            genes=arrays["genes"],
            scales={modality: _scale(arrays, f"{modality}_scale") for modality in MODALITIES},
            components=arrays["components"] if "components" in arrays else None,
            neighborhood=neighborhood,
        )


def _scale_arrays(name: str, scale: Scale) -> dict[str, np.ndarray]:
    return {f"{name}_mean": scale.mean, f"{name}_deviation": scale.deviation}


def _scale(arrays, name: str) -> Scale:
    return Scale(arrays[f"{name}_mean"], arrays[f"{name}_deviation"])


def _neighborhood_arrays(neighborhood: Neighborhood) -> dict[str, np.ndarray]:
    cells = neighborhood.levels[0]
    arrays = {
        "gene_components": neighborhood.gene_components,
        "neighbors": neighborhood.neighbors,
        "hops": np.array(len(neighborhood.levels)),
        "seed": np.array(neighborhood.seed),
        "cells_data": cells.data,
        "cells_indices": cells.indices,
        "cells_indptr": cells.indptr,
        "cells_shape": np.array(cells.shape),
    }
    arrays |= _scale_arrays("gene_scale", neighborhood.gene_scale)
    arrays |= _scale_arrays("component_scale", neighborhood.component_scale)
    for kind, index in neighborhood.indices.items():
        arrays[f"{kind}_inverse_frequency"] = index.inverse_frequency
        arrays[f"{kind}_index_components"] = index.components
        arrays[f"{kind}_features"] = neighborhood.features[kind]
    return arrays


def _neighborhood(arrays) -> Neighborhood:
    cells = sparse.csr_matrix(
        (arrays["cells_data"], arrays["cells_indices"], arrays["cells_indptr"]),
        shape=tuple(arrays["cells_shape"]),
    )
    weights = averaging_weights(arrays["neighbors"])
    kinds = [kind for kind in ("genes", "peaks") if f"{kind}_features" in arrays]
    return Neighborhood(
        indices={
            kind: SemanticIndex(
                arrays[f"{kind}_inverse_frequency"], arrays[f"{kind}_index_components"]
            )
            for kind in kinds
        },
        gene_components=arrays["gene_components"],
        gene_scale=_scale(arrays, "gene_scale"),
        component_scale=_scale(arrays, "component_scale"),
        features={kind: arrays[f"{kind}_features"] for kind in kinds},
        neighbors=arrays["neighbors"],
        weights=weights,
        levels=averaged_levels(cells, weights, int(arrays["hops"])),
        seed=int(arrays["seed"]),
    )
