"""A training that collapsed is told, and one that did not is not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scadv_tf.data.rows import JoinedRows
from scadv_tf.evaluation import collapse
from scadv_tf.evaluation.collapse import RATE_FACTOR, collapse_warnings, spread

RNA = np.repeat(["T", "B"], [60, 40])
RANDOM = np.random.default_rng(0)
SOUND = {name: RANDOM.normal(size=(100, 4)).astype(np.float32) for name in ("rna", "atac")}
LOSSES = {"modality_adversarial": np.full(8, 0.5), "atac_adversarial": np.full(8, 0.3)}


def found(losses=None, latents=None, rna=RNA, predicted=RNA) -> list[str]:
    history = pd.DataFrame(LOSSES | (losses or {}))
    return collapse_warnings(history, SOUND | (latents or {}), rna, predicted)


def test_a_sound_training_has_no_warnings():
    assert found() == []
    assert collapse_warnings(pd.DataFrame({"cycle": [0.1]}), {}) == []


def test_by_hand():
    # Mean (3, 0), distances 1 and 1, lengths 2 and 4: sqrt(2 / 20).
    assert spread(np.array([[2.0, 0.0], [4.0, 0.0]])) == pytest.approx(np.sqrt(0.1))
    assert spread(np.array([[1.0, 1.0], [-1.0, -1.0]])) == 1
    assert (
        spread(np.full((50, 3), 7.0)) == pytest.approx(0, abs=1e-6) and spread(np.ones((1, 3))) == 1
    )
    assert spread(np.zeros((9, 3))) == 0


def test_rows_that_are_read_by_blocks_have_the_same_spread(monkeypatch):
    expected = spread(SOUND["rna"])
    monkeypatch.setattr(collapse, "ROWS_AT_ONCE", 7)
    rows = JoinedRows(SOUND["rna"][:30], SOUND["rna"][30:])
    assert spread(rows) == pytest.approx(expected)


@pytest.mark.parametrize("flat", [["rna"], ["atac"], ["rna", "atac"]])
@pytest.mark.parametrize("differ, told", [(0.0, True), (1e-3, True), (0.1, False)])
def test_latent_vectors_that_are_all_alike(flat, differ, told):
    latents = {name: 5 + differ * 5 * SOUND[name] for name in flat}
    texts = found(latents=latents)
    assert len(texts) == told
    assert not told or all((name.upper() in texts[0]) == (name in flat) for name in SOUND)


def test_one_label_for_every_cell():
    (text,) = found(predicted=np.repeat("B", 80))
    assert "Every ATAC cell was labelled B" in text
    assert found(rna=np.repeat(["B", ""], 50), predicted=np.repeat("B", 80)) == []
    assert found(predicted=np.array(["B"])) == [] and found(rna=None, predicted=None) == []


@pytest.mark.parametrize(
    "loss, side", [("modality_adversarial", "RNA from"), ("atac_adversarial", "generated")]
)
def test_a_discriminator_that_is_right_for_epochs(loss, side):
    lost, won = np.full(8, 0.3), np.full(8, 0.01)
    (text,) = found({loss: np.append(lost[:3], won[:5])})
    assert side in text
    assert found({loss: np.append(lost[:4], won[:4])}) == []
    assert found({loss: np.append(won[:7], 0.3)}) == []
    assert collapse_warnings(pd.DataFrame({loss: won[:4]}), SOUND) == []


def test_a_training_that_went_back():
    assert found({RATE_FACTOR: np.ones(8)}) == []
    (text,) = found({RATE_FACTOR: np.repeat([1, 0.25], 4)})
    assert "times 0.25" in text and "--learning_rate" in text
