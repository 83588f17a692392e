"""Several replicas and workers train what one replica trains; one that is lost is told of."""

from __future__ import annotations

import numpy as np
import pytest
import train
from all_losses import ALL_LOSSES

from scadv_tf.cluster import cluster_place
from scadv_tf.data.shuffling import Shard
from scadv_tf.errors import InputError

# The noise, which each replica draws by itself, is off. A batch has an even number of cells.
ALIKE = (
    *("epochs=2", "batch_size=64", "noise=0.0", "cells=224"),
    *("encoder_sizes=[16]", "generator_sizes=[16]"),
    *("modality_discriminator_sizes=[8]", "atac_discriminator_sizes=[16]"),
)
LOSSES = tuple(f"{name}={weight}" for name, weight in ALL_LOSSES.items())


def differences(first: list, second: list) -> list[float]:
    """The largest difference of a loss at each step."""
    pairs = zip(first, second, strict=True)
    return [max(abs(a - b) for a, b in zip(*pair, strict=True)) for pair in pairs]


def alone(members, *settings: str) -> dict:
    """What one replica finds, in this process."""
    single = members()
    train.main(single.folder, train.settings_of(settings))
    return single.results()


def test_two_replicas_of_a_machine_train_what_one_trains(members):
    single = alone(members, *ALIKE, *LOSSES)
    team = members()
    team.start('strategy="mirrored"', "replicas=2", *ALIKE, *LOSSES)
    ((code, output),) = team.wait()
    assert code == 0, output
    assert len(single["steps"]) >= 20
    assert max(differences(single["steps"], team.results()["steps"])) < 1e-3
    # They did learn: the cross-entropy, the first loss of the first phase, fell.
    assert single["steps"][-11][0] < single["steps"][0][0]


def test_a_team_of_one_trains_what_one_trains(members):
    settings = ("epochs=1", "cells=100", "encoder_sizes=[8]", "modality_adversarial=0.0")
    single = alone(members, *settings)
    team = members()
    team.start('strategy="mirrored"', *settings)
    ((code, output),) = team.wait()
    assert code == 0, output
    np.testing.assert_allclose(team.results()["weights"], single["weights"], rtol=1e-4, atol=1e-5)


def test_two_workers_train_what_one_process_trains_though_one_is_lost_on_the_way(members):
    """It is told of, and the training goes on from its checkpoint, by workers of two replicas each,
    whose batches go on from epoch to epoch. Both phases have a loss."""
    single = alone(members, *ALIKE)
    team = members()
    team.start_workers(*ALIKE, own=([], ["stop_after=2"]))
    (code, output), (lost, _) = team.wait()
    assert lost == 9 and code == 2
    assert "Worker 0 has lost another worker" in output and "--resume" in output
    assert (team.folder / "training.npz").exists() and not (team.folder / "0.npz").exists()
    team.start_workers(*ALIKE, "replicas=2", "resume=true")
    for code, output in team.wait():
        assert code == 0, output
    first, second = team.results(0), team.results(1)
    assert first["epochs"] == 2  # the history of the first epoch is there
    # Only the second was trained anew, from what the first one gave.
    steps_of_an_epoch = len(single["steps"]) // 2
    assert steps_of_an_epoch >= 10
    expected = single["steps"][steps_of_an_epoch:]
    for found in (first, second):
        assert max(differences(expected, found["steps"])) < 1e-3
    np.testing.assert_array_equal(first["weights"], second["weights"])
    np.testing.assert_allclose(first["weights"], single["weights"], rtol=0.02, atol=0.02)


def test_workers_with_other_settings_are_refused(members):
    team = members()
    common = ("cells=60", "balance=false", "neighbors=1")
    team.start_workers(*common, own=(["epochs=2"], ["epochs=3"]))
    for code, output in team.wait():
        assert code == 2 and "The workers differ in data or settings" in output


GOOD = '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}'


def test_the_place_in_the_cluster(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", GOOD)
    assert cluster_place() == Shard(1, 2)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "[]",
        '{"cluster": {"worker": ["a:1"]}}',
        GOOD.replace('"index": 1', '"index": 2'),
        GOOD.replace('"index": 1', '"index": -1'),
        GOOD.replace('"type": "worker"', '"type": "chief"'),
        GOOD.replace('"worker": [', '"ps": ["c:1"], "worker": ['),
    ],
)
def test_a_cluster_that_makes_no_sense_is_refused(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(InputError, match="TF_CONFIG"):
        cluster_place()


def test_a_missing_cluster_is_refused(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(InputError, match="machines are not described"):
        cluster_place()
