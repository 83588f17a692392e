"""Two dimensions for pictures."""

from __future__ import annotations

import contextlib
import logging
import warnings
from typing import TYPE_CHECKING

import numpy as np

from scadv_tf.data.rows import Rows, blocks, some_rows, take
from scadv_tf.evaluation.labelled_cells import check_finite

if TYPE_CHECKING:
    from sklearn.neighbors import NearestNeighbors

logger = logging.getLogger(__name__)

MIN_CELLS = 4  # with fewer, umap-learn's spectral start has no eigenvectors to work with
PLACED_BY = 5  # neighbours; more would draw cells to the middle of their cluster
TINY = 1e-6  # a squared distance that counts as none
# 200 epochs look the same as umap-learn's 500 for small sets and take 40 % of the time.
EPOCHS = 200


def umap_2d(
    latent: np.ndarray | Rows, seed: int, neighbors: int = 30, max_cells: int = 30_000
) -> np.ndarray:
    """UMAP (McInnes et al. 2018) of the latent space, the same for the same seed.

    Cosine distance, as in the contrastive loss; the nearest neighbours are exact. One thread, since
    umap-learn is not repeatable with several: about 3 s for 5,000 and 12 s for 20,000 cells of
    width 128, after some 6 s of compilation where numba has not kept it from an earlier run.

    Above `max_cells`, the layout is that of so many random cells. Every other cell is placed at the
    mean of its 5 nearest ones in it, each weighted by 1 / cosine distance (inverse distance
    weighting, Shepard 1968), whatever the other cells are: 2 to 3 minutes a million cells of width
    128 on 2 cores, and no memory to speak of. It never lies outside of its neighbours, so clusters
    are a little denser than in a layout of all cells.

    Parameters
    ----------
    latent : [N, Z], an array or on disk.
    seed : of the random cells and the layout.
    neighbors : size of the neighbourhood; at most all other cells are used.
    max_cells : see above.

    Returns
    -------
    [N, 2] float32. With fewer than 4 cells: the first two principal components.

    Raises
    ------
    InputError : if a value is not finite.
    """
    latent = check_finite("The latent space", latent)
    cells = latent.shape[0]
    if cells < MIN_CELLS:
        logger.info("%d cells are too few for a UMAP: principal components instead.", cells)
        return _principal_components(latent[:].astype(np.float32))
    if cells <= max_cells:
        return _fit(latent[:].astype(np.float32), seed, neighbors)
    chosen = some_rows(cells, max_cells, seed)
    sample = take(latent, chosen).astype(np.float32)
    layout = _fit(sample, seed, neighbors)
    coordinates = _placed(latent, sample, layout)
    coordinates[chosen] = layout
    return coordinates


def _settings(cells: int, seed: int, neighbors: int) -> dict:
    return {
        "n_neighbors": min(neighbors, cells - 1),
        "metric": "cosine",
        "n_epochs": EPOCHS,
        # In a set no larger than a neighbourhood all are neighbours: no spectrum to start from.
        "init": "spectral" if cells > neighbors else "random",
        "random_state": seed,
        "n_jobs": 1,
    }


def _fit(latent: np.ndarray, seed: int, neighbors: int) -> np.ndarray:
    """Lay out all cells. Exact neighbours spare the 30 s that umap-learn's search compiles for."""
    settings = _settings(len(latent), seed, neighbors)
    knn = _cosine_neighbors(latent, settings["n_neighbors"])
    with warnings.catch_warnings():
        # umap-learn tells of a form of it that is not used here, of its single thread, of
        # precomputed neighbours and of tiny sets.
        warnings.simplefilter("ignore")
        from umap import UMAP

        _keep_compiled()
        model = UMAP(**settings, precomputed_knn=knn, force_approximation_algorithm=True)
        return model.fit_transform(latent).astype(np.float32)


def _keep_compiled() -> None:
    """Let numba keep on disk what umap-learn else compiles in every process.

    It lies where numba keeps other packages' code: beside umap-learn, or in the user's cache.
    """
    from umap import layouts, umap_

    for module in (umap_, layouts):
        for function in vars(module).values():
            if hasattr(function, "enable_caching"):
                with contextlib.suppress(RuntimeError):  # no folder can be written to
                    function.enable_caching()


def _placed(latent: Rows, sample: np.ndarray, layout: np.ndarray) -> np.ndarray:
    """Place cells [N, Z] among those of a layout [n, 2]: the mean of the nearest [N, 2]."""
    from sklearn.preprocessing import normalize

    index = _unit_index(sample, min(PLACED_BY, len(sample)))
    coordinates = np.empty((latent.shape[0], 2), dtype=np.float32)
    for start, block in blocks(latent):
        distances, nearest = index.kneighbors(normalize(block.astype(np.float32)))
        weights = 1 / (distances**2 + TINY)  # of unit vectors: twice the cosine distance
        weights /= weights.sum(axis=1, keepdims=True)
        coordinates[start : start + len(block)] = (weights[:, :, None] * layout[nearest]).sum(
            axis=1
        )
    return coordinates


def _cosine_neighbors(latent: np.ndarray, neighbors: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices and cosine distances [N, neighbors], each cell its own first neighbour."""
    from sklearn.preprocessing import normalize

    distances, indices = _unit_index(latent, neighbors).kneighbors(normalize(latent))
    return indices, distances**2 / 2


def _unit_index(latent: np.ndarray, neighbors: int) -> NearestNeighbors:
    """A search by direction: on unit vectors the Euclidean order is the cosine order, and fast."""
    from sklearn.neighbors import NearestNeighbors
    from sklearn.preprocessing import normalize

    return NearestNeighbors(n_neighbors=neighbors, algorithm="brute").fit(normalize(latent))


def _principal_components(latent: np.ndarray) -> np.ndarray:
    """First two principal components [N, 2]; zeros where there are fewer."""
    centered = latent - latent.mean(axis=0) if len(latent) else latent
    left, scale, _ = np.linalg.svd(centered, full_matrices=False)
    components = (left * scale)[:, :2]
    return np.pad(components, ((0, 0), (0, 2 - components.shape[1]))).astype(np.float32)
