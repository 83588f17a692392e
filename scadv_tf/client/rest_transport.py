"""TF Serving by REST: JSON, with tensors in the columnar format."""

from __future__ import annotations

import base64
import json
import threading
from urllib.parse import quote

import numpy as np
import requests
from scipy import sparse

from scadv_tf.client.transport import RequestFailed, UnexpectedAnswer, expecting

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
_EXACT = 2.0**53  # up to which whole numbers of 64 bits are themselves


class RestTransport:
    """See `Transport`.

    Parameters
    ----------
    address : such as 'http://host:port'.
    model : its name in models.config.
    timeout : seconds from the request to the end of its answer.
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
        with expecting('{"outputs": {name: values}}, texts in base64', answer):
            return {name: _array(values) for name, values in answer["outputs"].items()}

    def versions(self) -> dict[int, str]:
        answer = self._call("GET", "")
        with expecting('{"model_version_status": [{"version": "1", "state": …}]}', answer):
            found = answer["model_version_status"]
            return {_whole(entry["version"]): _text(entry["state"]) for entry in found}

    def signatures(self, version: int) -> dict[str, dict[str, list[int]]]:
        answer = self._call("GET", f"/versions/{version}/metadata")
        with expecting('{"metadata": {"signature_def": {"signature_def": …}}}', answer):
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
            response = self._whole_answer(method, path, body)
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
        except (ValueError, RecursionError) as error:
            raise UnexpectedAnswer("JSON", repr(response.text[:200])) from error

    def _whole_answer(self, method: str, path: str, body: bytes | None) -> requests.Response:
        """The answer with its body, within the time.

        `requests` counts the time anew with each byte that comes, so that a slow answer could take
        for ever: a thread asks, and is left alone where that takes too long.
        """
        session, done = self._session, []

        def ask() -> None:
            try:
                answer = session.request(
                    method,
                    self._url + path,
                    data=body,
                    headers={"Content-Type": "application/json"},
                    timeout=self._timeout,
                )
                done.append(answer)
            except Exception as error:
                done.append(error)

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(self._timeout)
        if not done:
            self._session = requests.Session()  # the other is still in use
            raise requests.Timeout("the answer has not come to its end")
        if isinstance(done[0], Exception):
            raise done[0]
        return done[0]


def _error(response: requests.Response) -> str:
    try:
        return _text(response.json()["error"])
    except (ValueError, LookupError, TypeError, RecursionError):  # an older TF Serving, or a proxy
        return response.text[:1000]


def _shape(info: dict) -> list[int]:
    return [_whole(dim["size"]) for dim in info["tensor_shape"]["dim"]]


def _whole(value: object) -> int:
    """A whole number, which JSON holds as text where it may have 64 bits."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise TypeError(f"{value!r} is no whole number")
    return int(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _plain(values: np.ndarray) -> list:
    """Lists of numbers; whole ones without a decimal point, which is a third fewer characters."""
    values = np.asarray(values)
    if values.dtype.kind == "f" and np.all((values == np.rint(values)) & (np.abs(values) < _EXACT)):
        values = values.astype(np.int64)
    return values.tolist()


def _digits(numbers: np.ndarray) -> int:
    return int(np.sum(np.floor(np.log10(np.maximum(numbers, 1))) + 1))


def _array(values: list) -> np.ndarray:
    array = np.array(values)
    if array.dtype == object:  # TF Serving encodes texts so if the output's name ends in _bytes
        coded = [value[_BASE64] for value in array.ravel()]
        texts = [base64.b64decode(text, validate=True).decode() for text in coded]
        return np.array(texts, dtype=str).reshape(array.shape)
    return array.astype(np.float32) if array.dtype.kind == "f" else array
