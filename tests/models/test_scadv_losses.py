"""What the model hands to its losses, against twins made from its networks' outputs."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import softmax
from steps import losses_of

from scadv_tf.data.normalization import joint_components
from scadv_tf.models import losses

TYPES = 3
REPRESENTED = ("cross_entropy", "contrastive", "interpolation", "centroid", "center")
ALIGNED = ("modality_adversarial", "atac_adversarial", "cycle")


def latent_of(model, cells, modality):
    """Latent vectors as in training, with no trace left in the statistics."""
    return model.encoder.encode(cells, modality, training=True, update_statistics=False).numpy()


def probabilities_of(model, latent):
    return softmax(model.classifier(latent).numpy(), axis=1)


def assert_loss(values, name, expected):
    assert values.keys() == {name}
    assert abs(float(expected)) > 1e-4  # a loss of zero would prove nothing
    np.testing.assert_allclose(values[name], expected, rtol=1e-4)


# Representation learning.


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_of_the_labelled_rna_cells(make_model, make_batch, smoothing):
    model, batch = make_model(("cross_entropy",), label_smoothing=smoothing), make_batch()
    logits = model.classifier(latent_of(model, batch["rna"], "rna"))
    expected = losses.cross_entropy(batch["rna_label"], logits, smoothing)
    assert_loss(losses_of(model, "representation", batch), "cross_entropy", expected)


def test_contrastive_of_each_cell_and_its_partner(make_model, make_batch):
    model, batch = make_model(("contrastive",), noise=0.0, temperature=0.3), make_batch()
    both = tf.concat([batch["atac"], batch["atac_partner"]], axis=0)
    first, second = np.split(latent_of(model, both, "atac"), 2)
    expected = losses.contrastive(first, second, 0.3)
    assert_loss(losses_of(model, "representation", batch), "contrastive", expected)


def test_without_partners_a_cell_is_its_own(make_model, make_batch):
    model, batch = make_model(("contrastive",), noise=0.0, temperature=0.3), make_batch()
    del batch["atac_partner"]
    latent = latent_of(model, batch["atac"], "atac")
    expected = losses.contrastive(latent, latent, 0.3)
    assert_loss(losses_of(model, "representation", batch), "contrastive", expected)


@pytest.fixture
def noise_of(monkeypatch):
    """A function (model, batch, loss) -> the noise [2B, D] of the copies that a loss looks at."""

    def drawn(model, batch, name="contrastive"):
        seen, real = [], model.encoder.encode_views

        def spy(views, **settings):
            seen.extend(views)
            return real(views, **settings)

        with monkeypatch.context() as patch:
            patch.setattr(model.encoder, "encode_views", spy)
            losses_of(model, "representation", batch)
        made_up = {view.modality: view for view in seen if not view.update_statistics}
        if name == "contrastive_rna":
            return made_up["rna"].features - tf.concat([batch["rna"]] * 2, axis=0)
        cells = tf.concat([batch["atac"], batch["atac_partner"]], axis=0)
        return made_up["atac"].features - cells

    return drawn


def test_the_noise_follows_from_the_seed_and_the_step(make_model, make_batch, noise_of):
    def drawn(step=3, noise_seed=1, weights=0):
        model = make_model(("contrastive",), noise=0.5, noise_seed=noise_seed, seed=weights)
        model.steps_done.assign(step)
        return noise_of(model, make_batch()).numpy()

    first = drawn()
    np.testing.assert_array_equal(drawn(), first)
    np.testing.assert_array_equal(drawn(weights=7), first)  # no other random number has a say
    for other in (drawn(step=4), drawn(noise_seed=2), drawn(step=1, noise_seed=3)):
        assert not np.isclose(other, first).any()


def test_each_step_draws_its_noise_anew(make_model, make_batch, noise_of):
    model, batch = make_model(("contrastive",), noise=0.5, rate=0.0), make_batch()
    model.phase = model.phases[0]
    first = noise_of(model, batch)
    model.train_step(batch)
    assert not np.isclose(noise_of(model, batch), first).any()


def test_the_two_modalities_have_noise_of_their_own(make_model, make_batch, noise_of):
    model, batch = make_model(("contrastive", "contrastive_rna"), noise=0.5), make_batch()
    found = {name: noise_of(model, batch, name) for name in ("contrastive", "contrastive_rna")}
    assert not np.isclose(found["contrastive"], found["contrastive_rna"]).any()
    # Nor do a cell and its partner have the same.
    first, second = np.split(found["contrastive"], 2)
    assert not np.isclose(first, second).any()


def test_noise_on_components_is_that_of_noise_on_genes_after_the_projection(
    make_model, make_batch, noise_of
):
    random = np.random.default_rng(0)
    mixing = random.normal(size=(6, 6))
    components = joint_components([np.cov(mixing), np.eye(6)], 5)
    model = make_model(("contrastive",), noise=0.5)
    model.set_projection(components)
    found = []
    for number in range(20):
        model.steps_done.assign(number)
        found.append(noise_of(model, make_batch(cells=250)).numpy())
    found = np.concatenate(found)
    assert found.shape == (10_000, 5)
    # Independent noise on genes has the covariance 0.25 I, on components 0.25 C^T C.
    expected = 0.25 * components.T @ components
    np.testing.assert_allclose(np.cov(found.T), expected, atol=0.25 * 5 * (2 / 10_000) ** 0.5)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=0.5 * 5 / 10_000**0.5)
    on_genes = 0.5 * random.normal(size=(20_000, 6)) @ components
    for level in (0.01, 0.5, 0.95):
        limits = np.quantile(on_genes, level), np.quantile(found, level)
        assert limits[0] == pytest.approx(limits[1], abs=0.02)


@pytest.fixture
def teaching(make_model):
    """A model at full interpolation weight, whose teacher is another than its student."""

    def make(target):
        model = make_model(("interpolation",), interpolation_target=target)
        model.steps_done.assign(model.total_steps)
        random = np.random.default_rng(5)
        for network in (model.teacher_encoder, model.teacher_classifier):
            weights = [0.2 + random.random(w.shape) for w in network.get_weights()]
            network.set_weights(weights)
        return model

    return make


def taught(model, cells, modality):
    latent = model.teacher_encoder.encode(cells, modality)
    return softmax(model.teacher_classifier(latent).numpy(), axis=1)


@pytest.mark.parametrize("target", ["interpolated_output", "scaled_input"])
def test_interpolation_of_each_target(teaching, make_batch, target):
    model, batch = teaching(target), make_batch()
    rna, atac, share = batch["rna"], batch["atac"], batch["mixing_weight"]
    mixed = latent_of(model, share * rna + (1 - share) * atac, None)
    if target == "interpolated_output":
        wanted = share * taught(model, rna, "rna") + (1 - share) * taught(model, atac, "atac")
    else:
        wanted = taught(model, share * rna, "rna") + taught(model, (1 - share) * atac, "atac")
    expected = np.mean((probabilities_of(model, mixed) - wanted) ** 2)
    assert_loss(losses_of(model, "representation", batch), "interpolation", expected)


def means_of_types(latent, weights):
    return np.stack([np.average(latent, axis=0, weights=column) for column in weights.T])


def test_centroids_start_at_the_first_means_and_then_move_by_their_momentum(make_model, make_batch):
    model = make_model(("centroid",), centroid_momentum=0.75)
    for modality in (0, 1):
        np.testing.assert_array_equal(model.centroids_known[modality], np.zeros(TYPES))
    running = None
    for seed in (0, 1):
        batch = make_batch(cells=12, seed=seed)
        soft = batch["atac_soft_label"].numpy()
        means = np.stack(
            [
                means_of_types(
                    latent_of(model, batch["rna"], "rna"), np.eye(TYPES)[batch["rna_label"]]
                ),
                means_of_types(latent_of(model, batch["atac"], "atac"), soft),
            ]
        )
        running = means if running is None else 0.75 * running + 0.25 * means
        expected = np.mean((running[0] - running[1]) ** 2)
        assert_loss(losses_of(model, "representation", batch), "centroid", expected)
        np.testing.assert_allclose(model.centroids, running, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(model.centroids_known, np.ones((2, TYPES)))


def test_a_type_that_a_batch_lacks_keeps_its_centroid_and_counts_on(make_model, make_batch):
    model = make_model(("centroid",), centroid_momentum=0.5)
    losses_of(model, "representation", make_batch())
    before = model.centroids.numpy()
    batch = make_batch(seed=1)
    batch["rna_label"] = tf.zeros(8, tf.int32)
    losses_of(model, "representation", batch)
    np.testing.assert_array_equal(model.centroids[0, 1:], before[0, 1:])
    assert (model.centroids[0, 0].numpy() != before[0, 0]).any()
    np.testing.assert_array_equal(model.centroids_known, np.ones((2, TYPES)))


def test_without_soft_labels_there_is_no_centroid_loss(make_model, make_batch):
    model, batch = make_model(("centroid",)), make_batch()
    batch["atac_soft_label"] = tf.zeros((8, TYPES))
    assert float(losses_of(model, "representation", batch)["centroid"]) == 0
    np.testing.assert_array_equal(model.centroids_known[1], np.zeros(TYPES))


def test_types_known_in_one_modality_alone_take_no_part(make_model, make_batch):
    model, batch = make_model(("centroid",)), make_batch()
    batch["atac_soft_label"] = tf.one_hot(tf.ones(8, tf.int32), TYPES)  # type 1 only
    values = losses_of(model, "representation", batch)
    rna = latent_of(model, batch["rna"], "rna")[batch["rna_label"].numpy() == 1].mean(axis=0)
    atac = latent_of(model, batch["atac"], "atac").mean(axis=0)
    assert_loss(values, "centroid", np.mean((rna - atac) ** 2))


@pytest.mark.parametrize("confidence", [0.0, 0.45, 1.0])
def test_center_of_rna_cells_and_of_atac_cells_that_are_sure(make_model, make_batch, confidence):
    model = make_model(("center",), center_confidence=confidence)
    batch = make_batch(cells=12)
    centers = np.zeros((TYPES, 4))
    for _ in range(2):
        rna, atac = (latent_of(model, batch[name], name) for name in ("rna", "atac"))
        labels = np.eye(TYPES)[batch["rna_label"]]
        # Half of the way to the batch's means, then the distances to where they are now.
        centers += 0.5 * (means_of_types(rna, labels) - centers)
        expected = np.mean(np.sum((rna - labels @ centers) ** 2, axis=1)) / 2
        probabilities = probabilities_of(model, atac)
        sure = probabilities.max(axis=1) > confidence
        if sure.any():
            distance = np.sum((atac - centers[probabilities.argmax(axis=1)]) ** 2, axis=1)
            expected += np.mean(distance[sure]) / 2
        assert_loss(losses_of(model, "representation", batch), "center", expected)
        np.testing.assert_allclose(model.centers, centers, rtol=1e-4, atol=1e-5)
    # The three thresholds tell all, some and no ATAC cells.
    assert {0.0: sure.all(), 0.45: sure.any() and not sure.all(), 1.0: not sure.any()}[confidence]


# Modality alignment.


@pytest.mark.parametrize("condition", ["none", "types"])
def test_modality_adversarial_tells_rna_from_atac(make_model, make_batch, condition):
    model, batch = make_model(("modality_adversarial",), condition=condition), make_batch()
    logits = {}
    for name in ("rna", "atac"):
        seen = latent_of(model, batch[name], name)
        if condition == "types":
            types = probabilities_of(model, seen)
            seen = np.stack([np.outer(p, z).ravel() for p, z in zip(types, seen, strict=True)])
        logits[name] = model.modality_discriminator(seen)
    expected = losses.adversarial(logits["rna"], logits["atac"])
    assert_loss(losses_of(model, "alignment", batch), "modality_adversarial", expected)


def test_atac_adversarial_tells_real_from_generated_atac(make_model, make_batch):
    model, batch = make_model(("atac_adversarial",)), make_batch()
    generated = model.generator(latent_of(model, batch["rna"], "rna"))
    expected = losses.adversarial(
        model.atac_discriminator(batch["atac"]), model.atac_discriminator(generated)
    )
    assert_loss(losses_of(model, "alignment", batch), "atac_adversarial", expected)


def test_cycle_through_generated_atac(make_model, make_batch):
    model, batch = make_model(("cycle",)), make_batch()
    latent = latent_of(model, batch["rna"], "rna")
    cycled = latent_of(model, model.generator(latent), "atac")
    expected = np.mean((cycled - latent) ** 2)
    assert_loss(losses_of(model, "alignment", batch), "cycle", expected)


# Moving statistics: of real cells, and of nothing else.


def statistics(model):
    layer = model.encoder.normalizations[0]
    return np.stack([layer.moving_mean, layer.moving_variance], axis=1)


@pytest.mark.parametrize("phase, names", [("representation", REPRESENTED), ("alignment", ALIGNED)])
def test_made_up_cells_move_no_statistics(make_model, make_batch, phase, names):
    """All losses of a phase leave the statistics that the two passes of real cells leave."""
    model, twin = make_model(names), make_model(names)
    batch = make_batch()
    losses_of(model, phase, batch)
    for modality in ("rna", "atac"):
        twin.encoder.encode(batch[modality], modality, training=True)
    assert (statistics(model) != statistics(make_model(names))).all()
    np.testing.assert_allclose(statistics(model), statistics(twin), rtol=1e-5)


def test_generated_cells_do_not_count_as_atac(make_model, make_batch):
    model = make_model(("cycle",))
    before = statistics(model)
    losses_of(model, "alignment", make_batch())
    after = statistics(model)
    assert (after[0] != before[0]).all()
    np.testing.assert_array_equal(after[1], before[1])


@pytest.mark.parametrize("name", REPRESENTED)
def test_every_representation_loss_gives_both_modalities_statistics(make_model, make_batch, name):
    model = make_model((name,))
    before = statistics(model)
    losses_of(model, "representation", make_batch())
    assert (statistics(model) != before).all()
