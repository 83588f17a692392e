"""The one error that users meet: what is wrong, expected, received, what to do."""

from __future__ import annotations

BAD_INPUT = 2  # exit code of a program that was given such


class InputError(ValueError):
    """Bad input, told in four parts.

    Parameters
    ----------
    what : what is wrong, as one sentence.
    expected : what would have been right.
    received : what came instead.
    advice : what the user can do now.
    """

    def __init__(self, *, what: str, expected: str, received: object, advice: str):
        self.what = what
        self.expected = expected
        self.received = received
        self.advice = advice
        super().__init__(
            f"{what}\n  expected: {expected}\n  received: {received}\n  what to do: {advice}"
        )
