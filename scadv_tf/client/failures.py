"""What a failed request to TF Serving means to a user."""

from __future__ import annotations

from scadv_tf.client.transport import RequestFailed, UnexpectedAnswer
from scadv_tf.errors import InputError


def explained(
    failure: RequestFailed, address: str, model: str, attempts: int, timeout: float
) -> InputError:
    """The failure in four parts.

    Parameters
    ----------
    attempts : how often the request was sent.
    timeout : seconds it was given.
    """
    if isinstance(failure, UnexpectedAnswer):
        return InputError(
            what="the server's answer is not that of TF Serving",
            expected=failure.expected,
            received=failure.message,
            advice=f"check what answers at {address}: a proxy, or another program?",
        )
    message = _told(failure)
    if failure.status in ("UNAVAILABLE", "RESOURCE_EXHAUSTED"):
        return InputError(
            what="the server did not answer",
            expected=f"TF Serving at {address}",
            received=f"{message} (asked {attempts} times)",
            advice="check that it runs and is not overloaded, and the host and port: gRPC (8500) "
            "is 'host:port', REST (8501) is 'http://host:port'",
        )
    if failure.status == "DEADLINE_EXCEEDED":
        return InputError(
            what="the server was too slow",
            expected=f"an answer within {timeout:g} s",
            received=f"{message} (asked {attempts} times)",
            advice="raise timeout, or lower batch_size",
        )
    if failure.status == "NOT_FOUND":
        return InputError(
            what="the server has no such model",
            expected=f"a model of the server at {address}, as models.config names it",
            received=f"'{model}'; the server says: {message}",
            advice="check the name; versions() says which versions are there",
        )
    return InputError(
        what="the server refused the request",
        expected=f"a request that the model '{model}' at {address} can answer",
        received=message,
        advice=_advice(failure.message),
    )


def missing_extra(error: ImportError) -> InputError:
    """A library of the extra is not there."""
    return InputError(
        what="the client lacks a library",
        expected="grpcio and tensorflow-serving-api for gRPC, requests for REST",
        received=str(error),
        advice="pip install 'scadv_tf[serving]'",
    )


def _told(failure: RequestFailed) -> str:
    # TensorFlow goes on with a trace of the graph.
    lines = failure.message.strip().splitlines() or ["no message"]
    return f"{failure.status}: {lines[0]}"


def _advice(message: str) -> str:
    if "Batching" in message and "dimension" in message:
        return "the server batches requests, which sparse ones do not allow: give sparse=False"
    if "maximum input batch size" in message:
        return "lower batch_size to the max_batch_size of the server's batching parameters"
    return "the message says what was expected; if the server is sound, its log says more"
