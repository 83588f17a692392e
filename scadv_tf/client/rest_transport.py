"""TF Serving by REST: JSON, with tensors in the columnar format."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import numpy as np
import requests
from scipy import sparse

from scadv_tf.client.transport import RequestFailed

# As TF Serving turns statuses into HTTP, and proxies in front of it answer.
_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_BASE64 = "b64"


class RestTransport:
    """See `Transport`.

    Parameters
    ----------
    address : such as 'http://host:port'.
    model : its name in models.config.
    timeout : seconds to wait for a connection, and for the answer to begin.
    """

    def __init__(self, address: str, model: str, timeout: float):
        self._url = f"{address.rstrip('/')}/v1/models/{quote(model, safe='')}"
        self._timeout = timeout
        self._session = requests.Session()

    def predict(
        self, version: int, signature: str, inputs: dict[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        columns = {name: _plain(values) for name, values in inputs.items()}
        body = {"signature_name": signature, "inputs": columns}
        text = json.dumps(body, separators=(",", ":"))
        answer = self._call("POST", f"/versions/{version}:predict", text.encode())
        return {name: _array(values) for name, values in answer["outputs"].items()}

    def versions(self) -> dict[int, str]:
        found = self._call("GET", "")["model_version_status"]
        return {int(entry["version"]): entry["state"] for entry in found}

    def signatures(self, version: int) -> dict[str, dict[str, list[int]]]:
        answer = self._call("GET", f"/versions/{version}/metadata")
        return {
            name: {key: _shape(info) for key, info in signature["inputs"].items()}
            for name, signature in answer["metadata"]["signature_def"]["signature_def"].items()
        }

    def prefers_sparse(self, counts: sparse.csr_matrix) -> bool:
        # Both hold the counts that are not zero. Besides, a zero is two characters, '0,', a row
        # three, '[],', and an entry two indices with a comma each.
        cells = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
        entries = _digits(cells) + _digits(counts.indices) + 2 * counts.nnz
        zeros = np.prod(counts.shape, dtype=float) - counts.nnz
        return entries < 2 * zeros + 3 * counts.shape[0]

    def close(self) -> None:
        self._session.close()

    def _call(self, method: str, path: str, body: bytes | None = None) -> dict:
        try:
            response = self._session.request(
                method,
                self._url + path,
                data=body,
                headers={"Content-Type": "application/json"},
                timeout=self._timeout,
            )
        except requests.Timeout as error:
            raise RequestFailed("DEADLINE_EXCEEDED", str(error)) from error
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
            raise RequestFailed("UNAVAILABLE", str(error)) from error
        except requests.RequestException as error:
            raise RequestFailed("INVALID_ARGUMENT", str(error)) from error
        if response.status_code != requests.codes.ok:
            code = response.status_code
            raise RequestFailed(_STATUSES.get(code, f"HTTP {code}"), _error(response))
        try:
            return json.loads(response.content)  # with NaN and Infinity, as TF Serving writes them
        except ValueError as error:
            raise RequestFailed("INTERNAL", f"not JSON: {response.text[:200]}") from error


def _error(response) -> str:
    try:
        return response.json()["error"]
    except (ValueError, KeyError, TypeError):  # an older TF Serving, or a proxy
        return response.text[:1000]


def _shape(info: dict) -> list[int]:
    return [int(dim["size"]) for dim in info["tensor_shape"]["dim"]]


def _plain(values: np.ndarray):
    """Lists of numbers; whole ones without a decimal point, which is a third fewer characters."""
    values = np.asarray(values)
    if values.dtype.kind == "f" and np.all(values == np.rint(values)):
        values = values.astype(np.int64)
    return values.tolist()


def _digits(numbers: np.ndarray) -> int:
    return int(np.sum(np.floor(np.log10(np.maximum(numbers, 1))) + 1))


def _array(values) -> np.ndarray:
    array = np.array(values)
    if array.dtype == object:  # TF Serving encodes texts so if the output's name ends in _bytes
        texts = [base64.b64decode(value[_BASE64]).decode() for value in array.ravel()]
        return np.array(texts, dtype=str).reshape(array.shape)
    return array.astype(np.float32) if array.dtype.kind == "f" else array
