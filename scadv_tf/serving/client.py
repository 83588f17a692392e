"""Labels and embeddings of cells from a model that TF Serving serves, by gRPC or REST.

client = Client("localhost:8500", "pbmc", genes="savedmodels/pbmc/1/assets/genes.txt")
client.annotate(adata, "rna")
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from scipy import sparse

from scadv_tf.data.preprocessing import MODALITIES
from scadv_tf.errors import InputError
from scadv_tf.serving.answers import OUTPUTS, ServedAnnotation
from scadv_tf.serving.batches import (
    aligned_batches,
    batches_of,
    dense_inputs,
    read_genes,
    sparse_inputs,
    version_of,
)
from scadv_tf.serving.failures import explained, missing_extra
from scadv_tf.serving.transport import AVAILABLE, RequestFailed, Retries, Transport

if TYPE_CHECKING:
    from anndata import AnnData

LARGEST_BATCH = 65_536  # cells that a sparse signature takes


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
        genes.
    version : which version answers.
    batch_size : cells of a request.
    sparse : send what is not zero (True) or everything (False); None: whichever is smaller. A
        server that batches requests takes False only.
    timeout : seconds a request may take.

    Raises
    ------
    InputError : a setting is unfit, or the extra ``scadv_tf[serving]`` is not installed.
    """

    def __init__(
        self,
        address: str,
        model: str,
        genes,
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
        self.address, self.model = address, model
        self.genes = read_genes(genes)
        self.version = version_of(genes) if version is None else version
        self.batch_size, self.sparse, self.timeout = batch_size, sparse, timeout
        self.retries = retries or Retries()
        self._transport = _transport(address, model, timeout)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error) -> None:
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

    def annotate(self, adata: AnnData, modality: str, layer: str | None = None) -> ServedAnnotation:
        """Annotates cells and writes the results into them.

        Written are ``obs['scadv_label']`` (categories), ``'scadv_confidence'``,
        ``'scadv_unknown'``, ``'scadv_novelty'`` and ``obsm['X_scadv']``, once all cells are
        answered: if one request fails, nothing is.

        Parameters
        ----------
        adata : raw counts; genes in any order, named as in training, see `gene_columns`.
        modality : 'rna' or 'atac' (gene activity).
        layer : that holds the counts; None for X.

        Raises
        ------
        InputError : the cells are unfit, the server is not there, the model is not served or has
            no types, or it has another number of genes than was said.
        """
        batches = aligned_batches(adata, self.genes, self.batch_size, layer)
        answer = self._annotated(batches, modality)
        answer.write_into(adata)
        return answer

    def annotate_counts(self, counts: sparse.csr_matrix, modality: str) -> ServedAnnotation:
        """The same for counts [N, G] whose columns are the model's genes in order."""
        if counts.ndim != 2 or counts.shape[1] != len(self.genes) or not counts.shape[0]:
            raise InputError(
                what="the counts do not fit the genes",
                expected=f"[cells, {len(self.genes)}], at least one cell",
                received=list(counts.shape),
                advice="order the columns as in genes.txt, or give an AnnData to annotate()",
            )
        return self._annotated(batches_of(counts, self.batch_size), modality)

    def _annotated(self, batches: Iterable[sparse.csr_matrix], modality: str) -> ServedAnnotation:
        if modality not in MODALITIES:
            raise InputError(
                what="there is no such modality",
                expected=" or ".join(MODALITIES),
                received=modality,
                advice="say what the cells are",
            )
        version = self._served_version()
        self._check_model(version, f"annotate_{modality}")
        parts = (self._predicted(version, f"annotate_{modality}", counts) for counts in batches)
        return ServedAnnotation.joined(parts, version)

    def _predicted(self, version: int, signature: str, counts: sparse.csr_matrix) -> dict:
        is_sparse = self.sparse
        if is_sparse is None:
            is_sparse = self._transport.prefers_sparse(counts)
        if is_sparse:
            signature, inputs = f"{signature}_sparse", sparse_inputs(counts)
        else:
            inputs = dense_inputs(counts)
        found = self._ask(lambda: self._transport.predict(version, signature, inputs))
        rows = {name: len(found[name]) if name in found else None for name in OUTPUTS}
        if set(rows.values()) != {counts.shape[0]}:
            raise InputError(
                what="the answer is not that of an scadv_tf model",
                expected=f"{', '.join(OUTPUTS)} of {counts.shape[0]} cells",
                received=rows,
                advice=f"check that '{self.model}' at {self.address} is such an export",
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
            received=", ".join(f"{version}: {state}" for version, state in sorted(states.items())),
            advice="give the genes.txt of a version that is served, or wait until it is loaded; "
            "if it never is, see the server's log",
        )

    def _check_model(self, version: int, signature: str) -> None:
        """A model without types, or of other genes, is told before any cell is sent."""
        signatures = self._ask(lambda: self._transport.signatures(version))
        if signature not in signatures:
            raise InputError(
                what="the model cannot annotate cells",
                expected=f"the signature {signature}",
                received=", ".join(sorted(signatures)),
                advice="a model trained without labels (--mode=unsupervised) gives latent vectors "
                "only: ask for embed_rna or embed_atac",
            )
        # Raw counts have a free width, so that a wrong one gets a good message; expression has not.
        _, genes = signatures["rna"]["expression"]
        if genes != len(self.genes):
            raise InputError(
                what="the model has another number of genes",
                expected=f"the {genes:,} genes of version {version} of '{self.model}'",
                received=f"{len(self.genes):,} genes",
                advice=f"give the genes.txt of version {version}",
            )

    def _ask(self, request: Callable):
        try:
            return self.retries.answer(request)
        except RequestFailed as failure:
            asked = self.retries.attempts if failure.is_passing else 1
            raise explained(failure, self.address, self.model, asked, self.timeout) from failure


def _transport(address: str, model: str, timeout: float) -> Transport:
    try:
        if address.startswith(("http://", "https://")):
            from scadv_tf.serving.rest_transport import RestTransport

            return RestTransport(address, model, timeout)
        from scadv_tf.serving.grpc_transport import GrpcTransport
    except ImportError as error:
        raise missing_extra(error) from error
    return GrpcTransport(address, model, timeout)
