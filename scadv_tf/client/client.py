"""Labels and embeddings of cells from a model that TF Serving serves, by gRPC or REST.

client = Client("localhost:8500", "pbmc", genes="savedmodels/pbmc/1/assets/genes.txt")
client.annotate(adata, "rna")
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from scadv_tf.client.assets import OF_BATCHES, assets_of
from scadv_tf.client.batches import (
    Batch,
    batch_codes,
    batch_inputs,
    batches_asked,
    check_modality,
    check_signature,
    counts_of,
    dense_inputs,
    model_batches,
    parts_of,
    sparse_inputs,
)
from scadv_tf.client.failures import explained, missing_extra
from scadv_tf.client.input_columns import input_columns
from scadv_tf.client.new_cells import unlike
from scadv_tf.client.outputs import expected_outputs, misfit
from scadv_tf.client.transport import AVAILABLE, Answer, RequestFailed, Retries, Transport
from scadv_tf.data.anndata_cells import HeldRows
from scadv_tf.data.answers import CellAnswers
from scadv_tf.data.levels import held_levels
from scadv_tf.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)

LARGEST_BATCH = 8_192  # cells that a sparse signature takes


class Client:
    """One model of a TF Serving server.

    A request that fails for a passing reason (server away, overloaded or late) is sent again. All
    cells of a call are answered by one version, the largest that is available when it begins.

    Parameters
    ----------
    address : 'host:port' for gRPC, 'http://host:port' or 'https://...' for REST.
    model : its name in ``models.config``.
    genes : names of the model's genes in its order, or the path of its ``assets/genes.txt``. If
        that lies in the folder of a version, this version answers, since others may have other
        genes; and the client takes peaks, since the other assets say where genes lie.
    version : which version answers.
    batch_size : cells of a request.
    sparse : send what is not zero (True) or everything (False); None: whichever is smaller. A
        server that batches requests takes False only; then neighbours are found by genes, since
        open peaks are never sent densely.
    timeout : seconds a request may take, from its beginning to the end of its answer.

    Raises
    ------
    InputError : a setting is unfit, or the extra ``scadv_tf[serving]`` is not installed.
    """

    def __init__(
        self,
        address: str,
        model: str,
        genes: str | os.PathLike | Iterable[str],
        *,
        version: int | None = None,
        batch_size: int = 512,
        sparse: bool | None = None,
        timeout: float = 60.0,
        retries: Retries | None = None,
    ):
        if not 1 <= batch_size <= LARGEST_BATCH:
            raise InputError(
                what="the batch size is out of range",
                expected=f"1 to {LARGEST_BATCH:,} cells",
                received=batch_size,
                advice="512 is good for most servers",
            )
        if not 0 < timeout <= threading.TIMEOUT_MAX:
            raise InputError(
                what="the timeout is out of range",
                expected="seconds above 0",
                received=timeout,
                advice="60 is good for most servers",
            )
        self.address, self.model = address, model
        self.assets = assets_of(genes)
        self.version = self.assets.version if version is None else version
        self.batch_size, self.sparse, self.timeout = batch_size, sparse, timeout
        self.retries = retries or Retries()
        self._transport = _transport(address, model, timeout)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives the connection back."""
        self._transport.close()

    def versions(self) -> dict[int, str]:
        """Version -> its state: 'AVAILABLE' ones answer; others are 'LOADING', 'END', …

        Raises
        ------
        InputError : the server is not there, or has no such model.
        """
        return self._ask(self._transport.versions)

    def annotate(
        self, adata: AnnData, modality: str, layer: str | None = None, batch_key: str = ""
    ) -> CellAnswers:
        """Annotates cells and writes the answers into them, see `CellAnswers.write_into`.

        They are written once all cells are answered: if one request fails, nothing is.

        Parameters
        ----------
        adata : raw counts, or levels of methylation; genes in any order, named as in training, or
            peaks of ATAC, see `input_columns`.
        modality : 'rna' or 'atac'.
        layer : that holds the counts; None for X.
        batch_key : column of obs with the cells' donor, lane or technology, of a model that was
            trained with such a column; a name that it does not know is not corrected for.

        Raises
        ------
        InputError : the cells are unfit, the server is not there, the model is not served or has
            no types, or no batches, or it has another number of genes than was said.
        """
        check_modality(modality)
        names = batches_asked(lambda: adata.obs, self.assets, modality, batch_key, "batch_key")
        counts = counts_of(adata, layer)
        if modality == "atac" and self.assets.measure.is_levels:
            counts = held_levels(counts, name="the AnnData")
        rows = parts_of(counts, self.batch_size)
        columns = input_columns(adata.var, modality, self.assets)
        unlike(self.assets, modality, HeldRows(next(parts_of(counts, self.batch_size))))
        batches = ((columns.genes(counts), columns.peaks(counts)) for counts in rows)
        codes = batch_codes(names, adata.n_obs, self.assets, modality)
        answers = self._annotated(batches, modality, columns.to_peaks is not None, codes)
        answers.write_into(adata)
        return answers

    def annotate_counts(
        self,
        counts: sparse.csr_matrix,
        modality: str,
        peaks: sparse.csr_matrix | None = None,
        batches: Sequence[str] | np.ndarray | None = None,
    ) -> CellAnswers:
        """The same for counts [N, G], and of ATAC peaks [N, P], in the model's order.

        Parameters
        ----------
        batches : the name of each cell's batch [N], see `ExportedModel.annotate`.
        """
        check_modality(modality)
        codes = batch_codes(batches, counts.shape[0], self.assets, modality)
        parts = model_batches(counts, peaks, self.assets, self.batch_size)
        return self._annotated(parts, modality, peaks is not None, codes)

    def _annotated(
        self, batches: Iterable[Batch], modality: str, by_peaks: bool, codes: np.ndarray | None
    ) -> CellAnswers:
        if by_peaks and self.sparse is False:
            logger.warning("open peaks are not sent with sparse=False: neighbours go by genes")
            batches, by_peaks = ((counts, None) for counts, _ in batches), False
        version, name = self._served_version(), f"annotate_{modality}"
        ending = "" if codes is None else OF_BATCHES
        self._check_model(version, (f"{name}_peaks" if by_peaks else name) + ending)
        parts = zip(batches, batch_inputs(codes, self.batch_size), strict=False)
        parts = (self._predicted(version, name, *batch, more) for batch, more in parts)
        types = self.assets.types or None
        return CellAnswers.from_outputs(parts, types, version)

    def _predicted(
        self,
        version: int,
        name: str,
        counts: sparse.csr_matrix,
        peaks: sparse.csr_matrix | None,
        of_batches: dict[str, np.ndarray],
    ) -> dict:
        if peaks is not None:
            signature, inputs = f"{name}_peaks", sparse_inputs(counts, peaks)
        elif self.sparse or (self.sparse is None and self._transport.prefers_sparse(counts)):
            signature, inputs = f"{name}_sparse", sparse_inputs(counts)
        else:
            signature, inputs = name, dense_inputs(counts)
        asked = signature + (OF_BATCHES if of_batches else ""), inputs | of_batches
        found = self._ask(lambda: self._transport.predict(version, *asked))
        cells = counts.shape[0]
        wrong = misfit(found, cells, self.assets.types)
        if wrong:
            raise InputError(
                what="the answer is not that of an scadv_tf model",
                expected=expected_outputs(cells),
                received=wrong,
                advice=f"check that '{self.model}' at {self.address} is such an export, and that "
                "genes.txt lies beside the other assets of the version that is served",
            )
        return found

    def _served_version(self) -> int:
        states = self.versions()
        available = [version for version, state in states.items() if state == AVAILABLE]
        wanted = max(available, default=None) if self.version is None else self.version
        if wanted in available:
            return wanted
        raise InputError(
            what="the version is not served" if available else "no version is ready",
            expected=f"version {wanted or 'any'} of '{self.model}' to be {AVAILABLE}",
            received=", ".join(f"{version}: {state}" for version, state in sorted(states.items()))
            or "no version",
            advice="give the genes.txt of a version that is served, or wait until it is loaded; "
            "if it never is, see the server's log",
        )

    def _check_model(self, version: int, signature: str) -> None:
        """A model without types or batches, or of other genes, is told before a cell is sent."""
        signatures = self._ask(lambda: self._transport.signatures(version))
        check_signature(signature, signatures)
        # Raw counts have a free width, so that a wrong one gets a good message; expression has not.
        shape = signatures.get("rna", {}).get("expression", [])
        if len(shape) != 2:
            raise InputError(
                what="the model is not an export of scadv_tf",
                expected="a signature 'rna' whose input 'expression' is a table",
                received=f"one of shape {shape}" if shape else "none",
                advice=f"check that '{self.model}' at {self.address} is such an export",
            )
        genes = shape[1]
        if genes != len(self.assets.genes):
            raise InputError(
                what="the model has another number of genes",
                expected=f"the {genes:,} genes of version {version} of '{self.model}'",
                received=f"{len(self.assets.genes):,} genes",
                advice=f"give the genes.txt of version {version}",
            )

    def _ask(self, request: Callable[[], Answer]) -> Answer:
        try:
            return self.retries.answer(request)
        except RequestFailed as failure:
            asked = self.retries.attempts if failure.is_passing else 1
            raise explained(failure, self.address, self.model, asked, self.timeout) from failure


def _transport(address: str, model: str, timeout: float) -> Transport:
    try:
        if address.startswith(("http://", "https://")):
            from scadv_tf.client.rest_transport import RestTransport

            return RestTransport(address, model, timeout)
        from scadv_tf.client.grpc_transport import GrpcTransport
    except ImportError as error:
        raise missing_extra(error) from error
    return GrpcTransport(address, model, timeout)
