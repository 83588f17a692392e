"""The model: who moves whom, the schedules, and that training does what it says."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from steps import losses_of, phase_of, step

from scadv_tf.errors import InputError
from scadv_tf.models import losses
from scadv_tf.models.phases import PhaseSchedule
from scadv_tf.models.scadv import PHASES, ScAdv

PHASE_OF = {loss.name: phase.name for phase in PHASES for loss in phase.losses}
LOSSES = tuple(PHASE_OF)
TEACHERS = ("teacher_encoder", "teacher_classifier")
NETWORKS = (*dict.fromkeys(name for phase in PHASES for name in phase.networks), *TEACHERS)


def alone(model, name):
    """The model's phase of a loss, with no other."""
    return phase_of(model, PHASE_OF[name]).only((name,))


def gradients(model, name, batch, networks=NETWORKS):
    """Gradients of one loss: network -> arrays, None where none flows."""
    with tf.GradientTape() as tape:
        (value,) = alone(model, name).values(model, batch).values()
    variables = {n: getattr(model, n).trainable_variables for n in networks if hasattr(model, n)}
    return tape.gradient(value, variables)


# Who moves whom.


@pytest.mark.parametrize(
    "phase, networks",
    [
        ("representation", {"encoder", "classifier", "teacher_encoder", "teacher_classifier"}),
        ("alignment", {"encoder", "modality_discriminator", "atac_discriminator", "generator"}),
    ],
)
def test_a_step_moves_the_networks_of_its_phase(
    make_model, make_batch, weights_of, moved, phase, networks
):
    model = make_model()
    before = weights_of(model)
    step(model, phase, make_batch())
    assert moved(before, weights_of(model)) == networks


def test_no_phase_moves_the_projection(make_model, make_batch):
    model = make_model()
    components = np.arange(30, dtype=np.float32).reshape(6, 5) / 7
    model.set_projection(components)
    for phase in model.phases:
        for _ in range(2):
            step(model, phase.name, make_batch())
    np.testing.assert_array_equal(model.encoder.projection.kernel, components)
    assert model.teacher_encoder.projection is None  # it is shown features, as the training is


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("condition", ["none", "types"])
def test_a_loss_reaches_just_the_variables_that_its_phase_moves(
    make_model, make_batch, name, condition
):
    model = make_model(condition=condition, center_confidence=0.0)
    model.steps_done.assign(50)
    phase = alone(model, name)
    found = gradients(model, name, make_batch(), phase.networks)
    reached = [
        variable.path
        for network, grads in found.items()
        for variable, gradient in zip(
            getattr(model, network).trainable_variables, grads, strict=True
        )
        if gradient is not None
    ]
    assert sorted(reached) == sorted(variable.path for variable in model.variables_of(phase))


def test_the_teacher_gets_no_gradient(make_model, make_batch, monkeypatch):
    model = make_model(("interpolation",))
    for name in TEACHERS:
        monkeypatch.setattr(getattr(model, name), "trainable", True)
    found = gradients(model, "interpolation", make_batch())
    assert found["teacher_encoder"] and found["teacher_classifier"]
    assert not any(g is not None for n in found if "teacher" in n for g in found[n])


def test_the_gradient_of_a_step_is_the_weighted_sum_of_its_losses(make_model, make_batch):
    # With the learning rate 1 and no momentum, a step of SGD subtracts the gradient itself.
    weights = {"cross_entropy": 0.5, "centroid": 3.0}
    model = make_model(tuple(weights), rate=1.0, **weights)
    # Seen once before, since the running centroids of the first batch are its own.
    batch = make_batch()
    losses_of(model, "representation", batch)
    state = model.centroids.numpy()
    found = {name: gradients(model, name, batch, ("encoder",))["encoder"] for name in weights}
    model.centroids.assign(state)
    before = [variable.numpy() for variable in model.encoder.trainable_variables]
    step(model, "representation", batch)
    for old, variable, *parts in zip(
        before, model.encoder.trainable_variables, *found.values(), strict=True
    ):
        gradient = sum(w * part for w, part in zip(weights.values(), parts, strict=True))
        np.testing.assert_allclose(old - variable.numpy(), gradient, rtol=1e-3, atol=1e-5)


# Weight 0: not computed.


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_of_weight_zero_is_not_computed(
    make_model, make_batch, make_dataset, monkeypatch, name
):
    others = tuple(other for other in LOSSES if other != name)
    model = make_model(others)
    for phase in model.phases:
        assert list(losses_of(model, phase.name, make_batch())) == [
            other for other in others if PHASE_OF[other] == phase.name
        ]
    if not name.endswith("adversarial") and not name.startswith("contrastive"):
        # The two adversarial losses share a function, and so do the two contrastive ones.

        def refuse(*arguments, **settings):
            raise AssertionError(f"{name} was computed")

        monkeypatch.setattr(losses, name, refuse)
        for phase in model.phases:
            losses_of(model, phase.name, make_batch())
    assert {kept for means in model.metrics for kept in means.names} == set(others)


def test_the_history_has_the_active_losses_and_nothing_else(make_model, make_dataset):
    names = ("cross_entropy", "contrastive", "cycle")
    model = make_model(names)
    history = model.fit(
        make_dataset(model), epochs=2, shuffle=False, verbose=0, callbacks=[PhaseSchedule(2)]
    ).history
    assert history.keys() == set(names)
    assert all(len(values) == 2 and np.isfinite(values).all() for values in history.values())


def test_the_history_is_the_mean_of_the_losses_of_the_steps(make_model, make_dataset, make_batch):
    names = ("cross_entropy", "contrastive", "modality_adversarial", "cycle")
    # The weights stay: a compiled step rounds otherwise, and with each move they would differ more.
    model, twin = make_model(names, rate=0.0), make_model(names, rate=0.0)
    history = model.fit(
        make_dataset(model, steps=3),
        epochs=2,
        shuffle=False,
        verbose=0,
        callbacks=[PhaseSchedule(3)],
    ).history
    for epoch in range(2):
        values = {name: [] for name in names}
        for phase in twin.phases:
            for seed in range(3):
                batch = make_batch(8, seed)
                for name, value in losses_of(twin, phase.name, batch).items():
                    values[name].append(float(value))
                step(twin, phase.name, batch)
        for name, found in values.items():
            assert len(found) == 3 and np.ptp(found) > 1e-4
            assert history[name][epoch] == pytest.approx(np.mean(found), rel=1e-5), name
    # The noise of each step is another: an epoch's mean is of its own steps alone.
    assert abs(np.diff(history["contrastive"])) > 1e-3


def test_no_loss_at_all_is_refused(loss_config):
    with pytest.raises(InputError, match="No loss has a weight above 0"):
        ScAdv(6, 3, loss=loss_config(()))


def test_alignment_without_an_optimizer_is_refused(make_model):
    model = make_model(("cycle",))
    with pytest.raises(ValueError, match="alignment_optimizer=None"):
        model.compile("sgd")


def test_a_loaded_model_has_its_optimizers_again(make_model, tmp_path):
    model = make_model(("cross_entropy", "cycle"))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    for name in ("optimizer", "alignment_optimizer"):
        before, after = getattr(model, name), getattr(again, name)
        assert type(after) is type(before) and after.get_config() == before.get_config()


def test_there_is_a_teacher_only_for_interpolation(make_model):
    assert not hasattr(make_model(("cross_entropy",)), "teacher_encoder")
    assert hasattr(make_model(("interpolation",)), "teacher_encoder")


# Training.


def test_one_step_lowers_the_cross_entropy(make_model, make_batch):
    model = make_model(("cross_entropy",))
    batch = make_batch()
    before = float(losses_of(model, "representation", batch)["cross_entropy"])
    step(model, "representation", batch)
    assert float(losses_of(model, "representation", batch)["cross_entropy"]) < before


def test_a_few_labelled_cells_are_learned_by_heart(make_model, make_dataset, make_batch):
    model = make_model(("cross_entropy",), rate=0.5)
    history = model.fit(
        make_dataset(model, steps=1),
        epochs=60,
        shuffle=False,
        verbose=0,
        callbacks=[PhaseSchedule(1)],
    ).history
    assert history["cross_entropy"][-1] < 0.1 < 0.5 < history["cross_entropy"][0]
    batch = make_batch()
    probabilities = model.encode(batch["rna"], "rna")["probabilities"]
    np.testing.assert_array_equal(np.argmax(probabilities, axis=1), batch["rna_label"])


def trained(make_model, make_dataset, seed, **settings):
    model = make_model(seed=seed, noise_seed=seed, **settings)
    history = model.fit(
        make_dataset(model), epochs=2, shuffle=False, verbose=0, callbacks=[PhaseSchedule(2)]
    ).history
    return model.get_weights(), history


def test_the_same_seed_gives_the_same_weights(make_model, make_dataset):
    first, _ = trained(make_model, make_dataset, seed=3)
    second, _ = trained(make_model, make_dataset, seed=3)
    for one, two in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    "names, settings",
    [
        (("cross_entropy", "center", "modality_adversarial"), {}),
        (
            tuple(name for name in LOSSES if name not in ("center", "centroid")),
            {
                "projection_size": 0,
                "condition": "none",
                "contrastive_pair": "same",
                "interpolation_target": "scaled_input",
            },
        ),
    ],
    ids=["milestone_2", "document"],
)
def test_named_systems_train(make_model, make_dataset, names, settings):
    settings |= {"names": names, "rate": 0.03}
    weights, history = trained(make_model, make_dataset, seed=0, **settings)
    assert history.keys() == set(names)
    assert all(np.isfinite(values).all() for values in history.values())
    assert all(np.isfinite(weight).all() for weight in weights)
    assert history["cross_entropy"][1] < history["cross_entropy"][0]


@pytest.mark.parametrize("condition, width", [("none", 4), ("types", 4 * 3)])
def test_the_networks_have_the_widths_of_the_settings(make_model, condition, width):
    model = make_model(condition=condition)
    assert [dense.kernel.shape for dense in model.encoder.denses] == [(5, 24), (24, 4)]
    shapes = {
        "classifier": [(4, 3)],
        "modality_discriminator": [(width, 5), (5, 1)],
        "atac_discriminator": [(5, 5), (5, 1)],
        "generator": [(4, 5), (5, 5)],
    }
    for name, expected in shapes.items():
        assert [dense.kernel.shape for dense in getattr(model, name).denses] == expected


def test_encode_is_the_inference_of_each_modality(make_model, make_batch):
    """`encode` takes features, a call of the model genes."""
    model = make_model()
    step(model, "representation", make_batch())
    genes = make_batch(seed=1, width=6)["atac"]
    cells = genes @ model.encoder.projection.kernel.numpy()
    for modality in ("rna", "atac"):
        found = model.encode(cells, modality)
        latent = model.encoder(genes, modality=modality, training=False)
        np.testing.assert_allclose(found["latent"], latent, rtol=1e-5, atol=1e-6)
        logits = model(genes, modality=modality)
        np.testing.assert_allclose(found["logits"], logits, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found["probabilities"], tf.nn.softmax(logits), rtol=1e-5)
    rna, atac = (model.encode(cells, modality)["latent"] for modality in ("rna", "atac"))
    assert np.abs(rna - atac).max() > 1e-3


def test_encode_passes_through_the_readout(make_model, make_batch):
    model = make_model()
    model.readout.alignment.type_maps[1].assign(tf.ones((3, 4)))
    model.readout.temperature.assign(2.0)
    cells = make_batch()["atac"]
    for modality, step_to in (("rna", 0), ("atac", 1)):
        found = model.encode(cells, modality)
        latent = model.encoder.encode(cells, modality)
        np.testing.assert_allclose(found["latent"], latent + step_to, rtol=1e-5, atol=1e-6)
        logits = model.classifier(latent)
        np.testing.assert_allclose(found["logits"], logits / 2, rtol=1e-5, atol=1e-6)


def test_the_generator_makes_features(make_model, make_batch):
    model, batch = make_model(), make_batch()
    generated = model.generator(model.encoder.encode(batch["rna"], "rna"))
    assert generated.shape == (8, model.feature_size) == (8, 5)
    assert model.atac_discriminator(generated).shape == (8, 1)
    plain = make_model(projection_size=0)
    assert plain.generator(tf.zeros((2, 4))).shape == (2, plain.feature_size) == (2, 6)


def test_the_model_keeps_its_settings_in_its_config(make_model):
    model = make_model(noise=0.7, noise_seed=5)
    twin = ScAdv.from_config(model.get_config())
    assert (twin.seed, twin.projection_size) == (5, 5)
    assert dataclasses.asdict(twin.loss_config) == dataclasses.asdict(model.loss_config)
    assert twin.network == model.network
    assert keras.saving.get_registered_name(ScAdv) == "scadv_tf>ScAdv"
