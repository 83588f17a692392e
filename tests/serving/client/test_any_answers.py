"""Whatever a server answers: the client gives a typed error, or an answer that is one."""

from __future__ import annotations

import copy
import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_client_answers import RIGHT, asked

from scadv_tf.errors import InputError

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=4),
    st.sampled_from(["1", "-1", "AVAILABLE", {"b64": "QQ=="}, {"b64": "?"}, {"size": "3"}, 1e300]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)


def places(value, path=()) -> list[tuple]:
    """The paths of all that is in a JSON value, itself included."""
    inner = ()
    if isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


PLACES = [(asked_for, path) for asked_for in RIGHT for path in places(RIGHT[asked_for])]


def changed(place: tuple, value) -> dict:
    """The right answers with another value at one place; without it where `value` is Ellipsis."""
    answers = copy.deepcopy(RIGHT)
    name, path = place
    owner, key = answers, name
    for step in path:
        owner, key = owner[key], step
    if value is ...:
        del owner[key]
        answers.setdefault(name, b"")
    else:
        owner[key] = value
    return answers


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(st.data())
def check_answers(address, answers, found, data):
    value = data.draw(st.just(...) | VALUES | st.binary(max_size=20))
    place = data.draw(st.sampled_from(PLACES))
    if isinstance(value, bytes):  # in place of the whole answer
        place = place[0], ()
    answers.clear()
    answers.update(changed(place, value))
    try:
        answer = asked(address)
    except InputError as error:
        assert error.expected and error.received != ""
        found["typed error"] += 1
        return
    found["right result"] += 1
    assert len(answer.label) == len(answer.latent) == 2 and set(answer.label) <= {"B", "T", "A"}
    assert answer.unknown.dtype == bool
    for numbers in (answer.confidence, answer.novelty, answer.latent, answer.probabilities):
        assert np.isfinite(numbers).all()


@pytest.mark.slow
def test_any_answer(serve):
    answers, found = copy.deepcopy(RIGHT), Counter()
    address = serve(answers)
    assert set(asked(address).label) <= {"B", "T", "A"}
    check_answers(address, answers, found)
    print(dict(found))
    assert found["typed error"] > 50
    assert json.dumps(RIGHT)  # the right answers are as they were
