"""Two dimensions for pictures."""

from __future__ import annotations

import logging
import warnings

import numpy as np

from scadv_tf.evaluation.metrics import check_finite

logger = logging.getLogger(__name__)

MIN_CELLS = 4  # with fewer, umap-learn's spectral start has no eigenvectors to work with
# 200 epochs look the same as umap-learn's 500 for small sets and take 40 % of the time.
EPOCHS = 200


def umap_2d(
    latent: np.ndarray, seed: int, neighbors: int = 30, max_cells: int = 100_000
) -> np.ndarray:
    """UMAP (McInnes et al. 2018) of the latent space, the same for the same seed.

    Cosine distance, as in the contrastive loss; the nearest neighbours are exact. One thread, since
    umap-learn is not repeatable with several: about 3 s for 5,000 and 12 s for 20,000 cells of
    width 128, after some 6 s of compilation in each process.

    Parameters
    ----------
    latent : [N, Z].
    seed : of the layout.
    neighbors : size of the neighbourhood; at most all other cells are used.
    max_cells : above it, the layout is made from so many random cells and the others are placed
        into it.

    Returns
    -------
    [N, 2] float32. With fewer than 4 cells: the first two principal components.

    Raises
    ------
    InputError : if a value is not finite.
    """
    latent = check_finite("The latent space", latent).astype(np.float32)
    if len(latent) < MIN_CELLS:
        logger.info("%d cells are too few for a UMAP: principal components instead.", len(latent))
        return _principal_components(latent)
    with warnings.catch_warnings():
        # umap-learn tells of its single thread, of precomputed neighbours and of tiny sets.
        warnings.simplefilter("ignore")
        if len(latent) <= max_cells:
            return _fit(latent, seed, neighbors)
        return _fit_some(latent, seed, neighbors, max_cells)


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
    from umap import UMAP

    settings = _settings(len(latent), seed, neighbors)
    knn = _cosine_neighbors(latent, settings["n_neighbors"])
    model = UMAP(**settings, precomputed_knn=knn, force_approximation_algorithm=True)
    return model.fit_transform(latent).astype(np.float32)


def _fit_some(latent: np.ndarray, seed: int, neighbors: int, max_cells: int) -> np.ndarray:
    """Lay out a random choice of the cells and place the others among them."""
    from umap import UMAP

    chosen = np.zeros(len(latent), dtype=bool)
    chosen[np.random.default_rng(seed).choice(len(latent), max_cells, replace=False)] = True
    model = UMAP(**_settings(max_cells, seed, neighbors))
    coordinates = np.empty((len(latent), 2), dtype=np.float32)
    coordinates[chosen] = model.fit_transform(latent[chosen])
    coordinates[~chosen] = model.transform(latent[~chosen])
    return coordinates


def _cosine_neighbors(latent: np.ndarray, neighbors: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices and cosine distances [N, neighbors], each cell its own first neighbour."""
    from sklearn.neighbors import NearestNeighbors
    from sklearn.preprocessing import normalize

    unit = normalize(latent)
    search = NearestNeighbors(n_neighbors=neighbors, algorithm="brute").fit(unit)
    distances, indices = search.kneighbors(unit)
    return indices, distances**2 / 2


def _principal_components(latent: np.ndarray) -> np.ndarray:
    """First two principal components [N, 2]; zeros where there are fewer."""
    centered = latent - latent.mean(axis=0) if len(latent) else latent
    left, scale, _ = np.linalg.svd(centered, full_matrices=False)
    components = (left * scale)[:, :2]
    return np.pad(components, ((0, 0), (0, 2 - components.shape[1]))).astype(np.float32)
