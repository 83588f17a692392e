"""What is seen on a picture, for the tests of all pictures."""

from __future__ import annotations

import pytest


@pytest.fixture
def legend_of():
    return lambda ax: [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.fixture
def texts_of():
    return lambda ax: [text.get_text() for text in ax.texts]
