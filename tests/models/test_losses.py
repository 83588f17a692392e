"""Each loss: a number worked out by hand, a plain NumPy twin, gradients and properties."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax, logsumexp

from scadv_tf.models import losses

CELLS, TYPES, LATENT = 5, 3, 4


@pytest.fixture
def random():
    return np.random.default_rng(7)


def gradient(function, value):
    """The gradient of a scalar function at `value`; None where none flows."""
    value = tf.constant(value)
    with tf.GradientTape() as tape:
        tape.watch(value)
        result = function(value)
    return tape.gradient(result, value)


def assert_gradient_matches_differences(function, *values):
    theory, numeric = tf.test.compute_gradient(function, [tf.constant(v) for v in values])
    for exact, difference in zip(theory, numeric, strict=True):
        assert np.abs(exact).max() > 1e-4  # a flat function would prove nothing
        np.testing.assert_allclose(exact, difference, rtol=1e-4, atol=1e-6)


def assert_close(value, expected):
    np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-7)


def one_hot(types):
    return np.eye(TYPES)[types]


# Twins: loops over cells, as the formulas are written.


def cross_entropy_twin(labels, logits, smoothing):
    total = 0.0
    for label, row in zip(labels, logits, strict=True):
        target = np.full(len(row), smoothing / len(row))
        target[label] += 1 - smoothing
        total -= np.sum(target * log_softmax(row))
    return total / len(labels)


def contrastive_twin(first, second, temperature):
    copies = [row / np.linalg.norm(row) for row in [*first, *second]]
    total = 0.0
    for i, copy in enumerate(copies):
        partner = (i + len(first)) % len(copies)
        others = [copy @ z / temperature for k, z in enumerate(copies) if k != i]
        total -= copy @ copies[partner] / temperature - logsumexp(others)
    return total / len(copies)


def contrastive_as_cross_entropy(first, second, temperature):
    """As usually written: each copy is to be classified as its partner."""
    copies = tf.math.l2_normalize(tf.concat([first, second], axis=0), axis=1)
    cells = len(copies) // 2
    logits = tf.matmul(copies, copies, transpose_b=True) / temperature
    logits -= 1e9 * tf.eye(2 * cells, dtype=logits.dtype)
    partner = np.roll(np.arange(2 * cells), cells)
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(partner, logits))


def log_sum_of_others_twin(rows, columns):
    return [logsumexp(np.delete(columns @ row, i)) for i, row in enumerate(rows)]


def adversarial_twin(positive, negative):
    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    return (-np.log(sigmoid(positive)).mean() - np.log(1 - sigmoid(negative)).mean()) / 2


def center_twin(latent, type_weights, centers):
    distances = [
        np.sum((z - centers[np.argmax(row)]) ** 2)
        for z, row in zip(latent, type_weights, strict=True)
        if row.any()
    ]
    return np.mean(distances) / 2


def centroid_twin(rna, atac, present):
    return np.mean([np.mean((rna[k] - atac[k]) ** 2) for k in np.flatnonzero(present)])


# Cross-entropy.


def test_cross_entropy_by_hand():
    # p = (3/4, 1/4); with smoothing 0.2 the target is (0.9, 0.1).
    logits = np.log([[3.0, 1.0]])
    assert_close(losses.cross_entropy([0], tf.constant(logits)), np.log(4 / 3))
    expected = -0.9 * np.log(3 / 4) - 0.1 * np.log(1 / 4)
    assert_close(losses.cross_entropy([0], tf.constant(logits), 0.2), expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_cross_entropy_twin(random, smoothing):
    labels, logits = random.integers(TYPES, size=CELLS), random.normal(size=(CELLS, TYPES))
    value = losses.cross_entropy(labels, tf.constant(logits), smoothing)
    assert_close(value, cross_entropy_twin(labels, logits, smoothing))


def test_cross_entropy_gradient(random):
    labels, logits = random.integers(TYPES, size=CELLS), random.normal(size=(CELLS, TYPES))
    assert_gradient_matches_differences(lambda x: losses.cross_entropy(labels, x, 0.1), logits)


def test_cross_entropy_of_huge_logits_is_finite():
    logits = tf.constant([[1e4, -1e4]])
    assert_close(losses.cross_entropy([0], logits), 0)
    assert_close(losses.cross_entropy([1], logits), 2e4)


# Contrastive.


def test_contrastive_by_hand():
    # Two orthogonal cells, copies equal, t = 1: the partner has cosine 1, the two others 0.
    cells = tf.eye(2)
    assert_close(losses.contrastive(cells, cells, 1.0), np.log(1 + 2 / np.e))
    # t = 1/2 squares the exponentials.
    assert_close(losses.contrastive(cells, cells, 0.5), np.log(1 + 2 / np.e**2))


def test_contrastive_of_a_single_cell_is_zero(random):
    # Its partner is the only other copy.
    first, second = random.normal(size=(2, 1, LATENT))
    assert_close(losses.contrastive(tf.constant(first), tf.constant(second)), 0)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_contrastive_twin(random, temperature):
    first, second = random.normal(size=(2, CELLS, LATENT))
    value = losses.contrastive(tf.constant(first), tf.constant(second), temperature)
    assert_close(value, contrastive_twin(first, second, temperature))


def test_contrastive_gradient(random):
    first, second = random.normal(size=(2, CELLS, LATENT))
    assert_gradient_matches_differences(lambda a, b: losses.contrastive(a, b, 0.5), first, second)


def test_contrastive_does_not_see_the_length_of_a_vector(random):
    first, second = random.normal(size=(2, CELLS, LATENT))
    lengths = random.uniform(0.1, 10, size=(CELLS, 1))
    scaled = losses.contrastive(tf.constant(first * lengths), tf.constant(second * 3))
    assert_close(scaled, losses.contrastive(first, second))


def test_contrastive_is_symmetric_in_its_copies(random):
    first, second = random.normal(size=(2, CELLS, LATENT))
    assert_close(losses.contrastive(second, first), losses.contrastive(first, second))


@pytest.mark.parametrize("seed", range(5))
def test_contrastive_is_lower_for_aligned_than_for_shuffled_pairs(seed):
    random = np.random.default_rng(seed)
    first = random.normal(size=(CELLS, LATENT))
    second = first + 0.1 * random.normal(size=first.shape)
    aligned = losses.contrastive(first, second, 0.5)
    assert aligned < losses.contrastive(first, np.roll(second, 1, axis=0), 0.5)


def test_contrastive_of_zero_vectors_is_finite():
    # ReLU can make a latent vector of zeros.
    value = losses.contrastive(tf.zeros((2, LATENT)), tf.zeros((2, LATENT)), 0.1)
    assert_close(value, np.log(3))
    zeros = gradient(lambda z: losses.contrastive(z, z, 0.1), np.zeros((2, LATENT), np.float32))
    assert np.isfinite(zeros).all()


@pytest.mark.parametrize("temperature", [0.1, 0.02, 0.001])
@pytest.mark.parametrize("cells", range(1, 8))
def test_contrastive_of_few_cells_at_any_temperature(random, cells, temperature):
    """In single precision, where exp(1 / 0.001) would be far beyond the largest number."""
    values = random.normal(size=(2, cells, LATENT))
    first, second = values.astype(np.float32)
    value = losses.contrastive(tf.constant(first), tf.constant(second), temperature)
    expected = contrastive_twin(*values, temperature)
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6 / temperature)
    for one, other in ((0, 1), (1, 0)):
        given = values.astype(np.float32)
        exact = gradient(
            lambda z, o=other: contrastive_as_cross_entropy(z, values[o], temperature), values[one]
        )
        found = gradient(
            lambda z, o=other, g=given: losses.contrastive(z, g[o], temperature), given[one]
        )
        assert np.isfinite(found).all()
        largest = np.abs(exact).max()
        assert largest > 1e-3 or cells < 4
        np.testing.assert_allclose(
            found, exact, rtol=2e-3, atol=1e-3 * largest + 1e-7 / temperature
        )


@pytest.mark.slow
def test_contrastive_gradient_at_a_low_temperature_by_differences(random):
    first, second = random.normal(size=(2, CELLS, LATENT))
    for temperature in (0.1, 0.02):
        theory, numeric = tf.test.compute_gradient(
            lambda a, b, t=temperature: losses.contrastive(a, b, t), [first, second], delta=1e-6
        )
        for exact, difference in zip(theory, numeric, strict=True):
            assert np.abs(exact).max() > 1e-2
            np.testing.assert_allclose(exact, difference, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("temperature", [0.1, 0.02, 0.001])
def test_contrastive_of_opposite_and_of_equal_cells_is_finite(temperature):
    east = np.float32([[1.0, 0.0]])
    # A single pair has nobody else to be taken for, however far apart its copies are.
    hair = 2e-7 / temperature  # rounding of a cosine
    np.testing.assert_allclose(losses.contrastive(east, -east, temperature), 0, atol=hair)
    slope = gradient(lambda z: losses.contrastive(z, -east, temperature), east)
    np.testing.assert_allclose(slope, [[0, 0]], atol=hair)
    # Four equal vectors: each is taken for any of the three others.
    twice = np.concatenate([east, east])
    equal = losses.contrastive(twice, twice, temperature)
    np.testing.assert_allclose(equal, np.log(3), atol=hair)
    # Copies at opposite ends, each nearest to the copy of the other cell.
    apart = losses.contrastive(np.concatenate([east, -east]), np.concatenate([-east, east]))
    assert_close(apart, np.log(1 + 1 + np.exp(20)))


# The sum over all others.


def test_log_sum_of_others_by_hand():
    rows = tf.constant([[1.0, 0.0], [0.0, 2.0]])
    columns = tf.constant([[1.0, 0.0], [0.0, 2.0], [3.0, 1.0]])
    # Row 0: products 0 and 3 with the others. Row 1: 0 and 2. Their own, 1 and 4, do not count.
    expected = np.log([1 + np.exp(3), 1 + np.exp(2)])
    assert_close(losses.log_sum_of_others(rows, columns, 6.0), expected)
    assert_close(losses.log_sum_of_others(rows, columns, 60.0), expected)


@pytest.mark.slow
@pytest.mark.parametrize("others", [0, 1, 6], ids="{} further columns".format)
@pytest.mark.parametrize("largest", [10.0, 100.0])
def test_log_sum_of_others_twin_and_gradient(random, others, largest):
    rows = random.normal(size=(CELLS, LATENT)) * (largest / 40) ** 0.5
    columns = np.concatenate([rows, random.normal(size=(others, LATENT))])
    value = losses.log_sum_of_others(tf.constant(rows), tf.constant(columns), largest)
    assert_close(value, log_sum_of_others_twin(rows, columns))
    weights = random.normal(size=CELLS)
    theory, numeric = tf.test.compute_gradient(
        lambda r, c: tf.reduce_sum(weights * losses.log_sum_of_others(r, c, largest)),
        [rows, columns],
        delta=1e-5,
    )
    for exact, difference in zip(theory, numeric, strict=True):
        assert np.abs(exact).max() > 0.1
        np.testing.assert_allclose(exact, difference, rtol=1e-4, atol=1e-6)


def test_contrastive_twin_over_replicas(random, monkeypatch):
    """The mean of two replicas' losses is the loss of all their cells; gradients, too."""
    halves = slice(0, CELLS), slice(CELLS, None)

    def over_replicas(first, second):
        def copies_of(part):
            pair = tf.concat([first[part], second[part]], axis=0)
            return tf.math.l2_normalize(pair, axis=1) / 0.3**0.5

        found = []
        for own, other in (halves, halves[::-1]):
            monkeypatch.setattr(
                losses, "own_first", lambda own, o=other: tf.concat([own, copies_of(o)], axis=0)
            )
            found.append(losses.contrastive(first[own], second[own], 0.3))
        return (found[0] + found[1]) / 2

    first, second = random.normal(size=(2, 2 * CELLS, LATENT))
    value = over_replicas(tf.constant(first), tf.constant(second))
    assert_close(value, contrastive_twin(first, second, 0.3))
    expected = gradient(lambda z: contrastive_as_cross_entropy(z, second, 0.3), first)
    assert_close(gradient(lambda z: over_replicas(z, tf.constant(second)), first), expected)


# Interpolation.


def test_interpolation_by_hand():
    probabilities, target = tf.constant([[0.5, 0.5], [1.0, 0.0]]), tf.constant([[0.3, 0.7]] * 2)
    assert_close(losses.interpolation(probabilities, target), (0.04 + 0.04 + 0.49 + 0.49) / 4)


def test_interpolation_twin_and_gradient(random):
    probabilities, target = random.dirichlet(np.ones(TYPES), size=(2, CELLS))
    value = losses.interpolation(tf.constant(probabilities), tf.constant(target))
    assert_close(value, np.mean((probabilities - target) ** 2))
    assert_gradient_matches_differences(lambda p: losses.interpolation(p, target), probabilities)


def test_interpolation_gives_its_target_no_gradient(random):
    probabilities, target = random.dirichlet(np.ones(TYPES), size=(2, CELLS))
    assert gradient(lambda t: losses.interpolation(tf.constant(probabilities), t), target) is None


# Adversarial.


def test_adversarial_by_hand():
    # sigmoid(log 3) = 3/4; sigmoid(0) = 1/2. The sides weigh the same, whatever their sizes.
    positive, negative = tf.fill((4, 1), np.log(3.0)), tf.zeros((1, 1), tf.float64)
    assert_close(losses.adversarial(positive, negative), (np.log(4 / 3) + np.log(2)) / 2)


def test_adversarial_of_a_discriminator_that_knows_nothing_is_log_two():
    assert_close(losses.adversarial(tf.zeros((3, 1)), tf.zeros((3, 1))), np.log(2))


def test_adversarial_twin_and_gradient(random):
    positive, negative = random.normal(size=(2, CELLS, 1))
    value = losses.adversarial(tf.constant(positive), tf.constant(negative))
    assert_close(value, adversarial_twin(positive, negative))
    assert_gradient_matches_differences(losses.adversarial, positive, negative)


def test_adversarial_falls_as_each_side_nears_its_target(random):
    positive, negative = random.normal(size=(2, CELLS, 1))
    assert (gradient(lambda x: losses.adversarial(x, negative), positive).numpy() < 0).all()
    assert (gradient(lambda x: losses.adversarial(positive, x), negative).numpy() > 0).all()


def test_adversarial_of_huge_logits_is_finite():
    sure = tf.constant([[1e4]])
    assert_close(losses.adversarial(sure, -sure), 0)
    assert_close(losses.adversarial(-sure, sure), 1e4)


# Cycle.


def test_cycle_by_hand():
    cycled, latent = tf.constant([[1.0, 2.0], [0.0, 0.0]]), tf.constant([[0.0, 0.0], [0.0, 3.0]])
    assert_close(losses.cycle(cycled, latent), (1 + 4 + 0 + 9) / 4)


def test_cycle_twin_and_gradient(random):
    cycled, latent = random.normal(size=(2, CELLS, LATENT))
    value = losses.cycle(tf.constant(cycled), tf.constant(latent))
    assert_close(value, np.mean((cycled - latent) ** 2))
    assert_gradient_matches_differences(lambda z: losses.cycle(z, latent), cycled)


def test_cycle_gives_the_latent_vector_no_gradient(random):
    cycled, latent = random.normal(size=(2, CELLS, LATENT))
    assert gradient(lambda z: losses.cycle(tf.constant(cycled), z), latent) is None


# Center.


def test_center_by_hand():
    # Squared distances 1 and 4; the third cell, of no type, takes no part.
    latent = tf.constant([[1.0, 0.0], [0.0, 2.0], [5.0, 5.0]])
    type_weights = tf.constant([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    assert_close(losses.center(latent, type_weights, tf.zeros((2, 2))), (1 + 4) / 2 / 2)


def test_center_twin_and_gradient(random):
    latent, centers = random.normal(size=(CELLS, LATENT)), random.normal(size=(TYPES, LATENT))
    type_weights = one_hot(random.integers(TYPES, size=CELLS))
    type_weights[1] = 0
    value = losses.center(latent, tf.constant(type_weights), tf.constant(centers))
    assert_close(value, center_twin(latent, type_weights, centers))
    assert_gradient_matches_differences(
        lambda z, c: losses.center(z, tf.constant(type_weights), c), latent, centers
    )


def test_center_is_zero_on_the_centers_and_without_cells(random):
    centers = random.normal(size=(TYPES, LATENT))
    types = random.integers(TYPES, size=CELLS)
    assert_close(losses.center(centers[types], one_hot(types), centers), 0)
    nobody = np.zeros((CELLS, TYPES))
    assert_close(losses.center(centers[types], nobody, centers), 0)


# Centroid.


def test_centroid_by_hand():
    rna = tf.constant([[1.0, 1.0], [0.0, 0.0], [9.0, 9.0]])
    atac = tf.constant([[0.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    # Mean squares 1 and 2; the third type is missing in one modality.
    assert_close(losses.centroid(rna, atac, tf.constant([1.0, 1.0, 0.0])), 1.5)


def test_centroid_twin_and_gradient(random):
    rna, atac = random.normal(size=(2, TYPES, LATENT))
    present = np.array([1.0, 0.0, 1.0])
    value = losses.centroid(tf.constant(rna), tf.constant(atac), present)
    assert_close(value, centroid_twin(rna, atac, present))
    assert_gradient_matches_differences(lambda r, a: losses.centroid(r, a, present), rna, atac)


def test_centroid_is_zero_for_equal_centroids_and_without_types(random):
    rna, atac = random.normal(size=(2, TYPES, LATENT))
    assert_close(losses.centroid(rna, rna, np.ones(TYPES)), 0)
    assert_close(losses.centroid(rna, atac, np.zeros(TYPES)), 0)


# Means of types.


def test_type_means_by_hand():
    latent = tf.constant([[1.0, 2.0], [3.0, 4.0], [10.0, 0.0]])
    labels = tf.constant([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    means, weight = losses.type_means(latent, labels)
    np.testing.assert_allclose(means, [[2, 3], [10, 0], [0, 0]])
    np.testing.assert_array_equal(weight, [2, 1, 0])


def test_type_means_of_soft_labels_twin_and_gradient(random):
    latent = random.normal(size=(CELLS, LATENT))
    labels = random.dirichlet(np.ones(TYPES), size=CELLS)
    means, weight = losses.type_means(tf.constant(latent), tf.constant(labels))
    for k in range(TYPES):
        np.testing.assert_allclose(means[k], np.average(latent, axis=0, weights=labels[:, k]))
    np.testing.assert_allclose(weight, labels.sum(axis=0))
    assert_gradient_matches_differences(
        lambda z: tf.reduce_sum(losses.type_means(z, tf.constant(labels))[0] ** 2), latent
    )


def test_means_by_type_twin_of_several_groups(random):
    groups = [
        (random.normal(size=(cells, LATENT)), random.dirichlet(np.ones(TYPES), size=cells))
        for cells in (CELLS, 2, 9)
    ]
    found = losses.means_by_type([tuple(map(tf.constant, group)) for group in groups])
    for (means, weight), (latent, labels) in zip(found, groups, strict=True):
        for k in range(TYPES):
            np.testing.assert_allclose(means[k], np.average(latent, axis=0, weights=labels[:, k]))
        np.testing.assert_allclose(weight, labels.sum(axis=0))


def test_every_loss_has_a_twin_here():
    public = {
        name
        for name, member in inspect.getmembers(losses, inspect.isfunction)
        if not name.startswith("_") and member.__module__ == losses.__name__
    }
    tested = [name for name in globals() if name.startswith("test_")]
    for name in public:
        assert any(test.startswith(f"test_{name}") and "twin" in test for test in tested), name
