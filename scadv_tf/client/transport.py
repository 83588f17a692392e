"""What the client needs of a way to talk to TF Serving, and how a request may fail."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from scipy import sparse

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")
AVAILABLE = "AVAILABLE"
# A question has no effect on the server, so it may be asked again even if it was answered late.
_PASSING = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"}


class RequestFailed(Exception):
    """A request that got no answer.

    Parameters
    ----------
    status : name of the gRPC status, such as 'INVALID_ARGUMENT', for REST too.
    message : what the server, or the library that talks to it, said.
    """

    def __init__(self, status: str, message: str):
        super().__init__(f"{status}: {message}")
        self.status, self.message = status, message

    @property
    def is_passing(self) -> bool:
        """Whether the same request may be answered if it is sent again."""
        return self.status in _PASSING


class UnexpectedAnswer(RequestFailed):
    """An answer of another form than TF Serving gives.

    Parameters
    ----------
    expected : what the form would have been.
    received : the answer, or its beginning.
    """

    def __init__(self, expected: str, received: str):
        super().__init__("INTERNAL", received)
        self.expected = expected


@contextmanager
def expecting(form: str, answer: object) -> Iterator[None]:
    """Whatever goes wrong in taking an answer apart means that its form is another one.

    Raises
    ------
    UnexpectedAnswer : in place of the error.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise UnexpectedAnswer(form, f"{str(answer)[:200]!r} ({error})") from error


class Transport(Protocol):
    """One model of one server. Every method may raise `RequestFailed`."""

    def predict(
        self, version: int, signature: str, inputs: dict[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """The outputs of a signature; text as text."""

    def versions(self) -> dict[int, str]:
        """Version -> its state, such as 'AVAILABLE' or 'LOADING'."""

    def signatures(self, version: int) -> dict[str, dict[str, list[int]]]:
        """Signature -> input -> its shape, -1 where free."""

    def prefers_sparse(self, counts: sparse.csr_matrix) -> bool:
        """Whether a request with these counts [B, G] has fewer bytes if it is sparse."""

    def close(self) -> None:
        """Gives the connection back."""


@dataclass(frozen=True)
class Retries:
    """How often a request is sent again after a passing failure, and how long to wait before.

    The wait doubles each time, up to the longest, and is shortened by a random part of up to a
    half, so that many clients of a server that was away do not all come back at once.

    Attributes
    ----------
    attempts : at most so many requests, the first one included.
    first_wait, longest_wait : seconds.
    """

    attempts: int = 5
    first_wait: float = 0.5
    longest_wait: float = 8.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.first_wait < 0 or self.longest_wait < 0:
            raise ValueError(f"attempts must be 1 or more, waits 0 or more; received {self}")

    def answer(self, request: Callable[[], Answer]) -> Answer:
        """The answer of the first request that does not fail, or the last failure."""
        for failures in range(1, self.attempts):
            try:
                return request()
            except RequestFailed as failure:
                if not failure.is_passing:
                    raise
                wait = min(self.longest_wait, self.first_wait * 2 ** (failures - 1))
                wait *= random.uniform(0.5, 1)
                logger.info("%s; asking again in %.1f s", failure, wait)
                time.sleep(wait)
        return request()
