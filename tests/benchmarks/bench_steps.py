"""Milliseconds of a training step of each phase against its floor, as JSON lines.

python tests/benchmarks/bench_steps.py --genes=2000,8000 --batch=256,512,1024

The floor is the time of the step's own dense matrix products, forward and backward, measured in
the same process in turns with the step: products of random matrices of the same sizes, and nothing
else. They are counted from the sizes of the layers, see `products_of`. With a projection
(``--projection``, by default on 50 components and none) the step works on components, whatever the
number of genes.

With ``--check``, what the check for numbers that are not finite costs in place of the floor: ten
steps and the look at them, in turns with ten steps that only add up their losses.
"""

from __future__ import annotations

import json
import os
import time

import numpy as np
from absl import app, flags

# The document's losses that are off by default, at the weights of the comparison's systems.
LOSSES = {"contrastive": 0.01, "interpolation": 0.1, "atac_adversarial": 0.1, "cycle": 0.1}


class Products:
    """The matrix products [m, k] x [k, n] of a step, each with how often it is taken."""

    def __init__(self):
        self.shapes: list[tuple[int, int, int]] = []

    def dense(self, rows: int, inputs: int, outputs: int, train=True, to_inputs=True) -> None:
        """A dense layer: forward, and backward to its weights and to its inputs."""
        self.shapes.append((rows, inputs, outputs))
        if train:
            self.shapes.append((inputs, rows, outputs))
        if to_inputs:
            self.shapes.append((rows, outputs, inputs))

    def network(self, rows: int, widths: list[int], train=True, to_inputs=True) -> None:
        """Dense layers one after the other; `to_inputs` is whether the first one's inputs learn."""
        for number, (inputs, outputs) in enumerate(zip(widths, widths[1:], strict=False)):
            further = train and number > 0 or to_inputs
            self.dense(rows, inputs, outputs, train, further)


def products_of(phase: str, model, batch: int) -> Products:
    """The products of one step with these losses on, counted from the layers' sizes.

    Each batch that is normalised by itself has products of its own.
    """
    found, sizes, types = Products(), model.network, model.types
    features, latent = model.feature_size, sizes.encoder_sizes[-1]
    encoder = [features, *sizes.encoder_sizes]
    if phase == "representation":
        for rows in (batch, batch, 2 * batch, batch):  # RNA, ATAC, both copies, mixed
            found.network(rows, encoder, to_inputs=False)
        for _ in ("RNA", "mixed"):
            found.dense(batch, latent, types)
        for _ in ("RNA", "ATAC"):  # the teacher
            found.network(batch, encoder, train=False, to_inputs=False)
            found.dense(batch, latent, types, train=False, to_inputs=False)
        copies = 2 * batch  # each copy with each other: forward, and backward to both
        found.shapes += [(copies, latent, copies), *2 * [(copies, copies, latent)]]
        return found
    for _ in ("RNA", "ATAC"):
        found.network(batch, encoder, to_inputs=False)
        found.dense(batch, latent, types, train=False, to_inputs=False)
        found.network(batch, [latent * types, *sizes.modality_discriminator_sizes, 1])
    found.network(batch, [latent, *sizes.generator_sizes, features])
    for to_inputs in (False, True):  # real and generated cells
        found.network(batch, [features, *sizes.atac_discriminator_sizes, 1], to_inputs=to_inputs)
    found.network(batch, encoder)  # the cycle
    return found


def floor_function(shapes: list[tuple[int, int, int]]):
    """A compiled function that takes the products and returns a number that needs them all."""
    import tensorflow as tf

    random = np.random.default_rng(0)
    matrices = {}

    def matrix(rows, columns, place):
        key = rows, columns, place
        if key not in matrices:
            matrices[key] = tf.Variable(random.normal(size=(rows, columns)).astype(np.float32))
        return matrices[key]

    pairs = [(matrix(m, k, 0), matrix(k, n, 1)) for m, k, n in shapes]

    @tf.function(autograph=False)
    def take():
        # One element of each, so that no product can be left out; one after the other, as the
        # layers are, so that each has all cores.
        total = tf.constant(0.0)
        for left, right in pairs:
            with tf.control_dependencies([total]):
                total += tf.matmul(left, right)[0, 0]
        return total

    return lambda: take().numpy()


def step_function(model, phase, batch):
    """A compiled training step of a phase."""
    import tensorflow as tf

    model.phase = phase
    step = tf.function(model.train_step, autograph=False)

    def run():
        for value in step(batch).values():
            value.numpy()

    run()  # compiles
    return run


def unchecked(model, phase, batch):
    """`step_function` of a step that adds up its losses and looks at no number."""
    import tensorflow as tf

    means = model.means[phase.name]

    def update_state(values, gradient_norm=0.0):
        means.sums.assign_add(tf.stack([*(values[name] for name in means.names), 1.0]))

    kept, means.update_state = means.update_state, update_state
    try:
        return step_function(model, phase, batch)
    finally:
        means.update_state = kept


def between_looks(model, phase, batch) -> tuple:
    """As many steps as there are between two looks, with the look, and without any check."""
    from scadv_tf.models.divergence import STEPS_BETWEEN_LOOKS

    checked, plain = step_function(model, phase, batch), unchecked(model, phase, batch)

    def with_look():
        for _ in range(STEPS_BETWEEN_LOOKS):
            checked()
        for each in model.phases:
            assert model.means[each.name].failure() is None

    def without():
        for _ in range(STEPS_BETWEEN_LOOKS):
            plain()

    return with_look, without


def random_batch(model, batch: int) -> dict:
    """Cells as the training gets them."""
    import tensorflow as tf

    random, width = np.random.default_rng(0), model.feature_size

    def cells():
        return tf.constant(random.normal(size=(batch, width)).astype(np.float32))

    soft = random.dirichlet(np.ones(model.types), batch).astype(np.float32)
    return {
        "rna": cells(),
        "rna_label": tf.constant(random.integers(0, model.types, batch).astype(np.int32)),
        "atac": cells(),
        "atac_soft_label": tf.constant(soft),
        "atac_partner": cells(),
        "mixing_weight": tf.constant(random.random((batch, 1)).astype(np.float32)),
    }


def in_turns(functions: tuple, repeats: int) -> list[float]:
    """Median milliseconds of each function; they take turns, and turns in being first."""
    seconds = [[] for _ in functions]
    for repeat in range(repeats + 3):  # the first ones compile and warm up
        turns = list(zip(seconds, functions, strict=True))
        for kept, function in turns if repeat % 2 else reversed(turns):
            start = time.perf_counter()
            function()
            if repeat >= 3:
                kept.append(time.perf_counter() - start)
    return [1000 * float(np.median(kept)) for kept in seconds]


def measure(given, genes: int, projection: int, batch: int) -> None:
    """Prints a line a phase: medians of what was done in turns."""
    from scadv_tf.config import RunConfig
    from scadv_tf.fitting import new_model

    model = new_model(genes, given.types, projection, 1000, RunConfig.of(**LOSSES))
    cells = random_batch(model, batch)
    for phase in model.phases:
        line = {"phase": phase.name, "genes": genes, "projection": projection, "batch": batch}
        if given.check:
            checked, plain = in_turns(between_looks(model, phase, cells), given.repeats)
            line |= {"ten_steps_ms": round(checked, 2), "unchecked_ms": round(plain, 2)}
            line |= {"ratio": round(checked / plain, 3)}
        else:
            shapes = products_of(phase.name, model, batch).shapes
            functions = step_function(model, phase, cells), floor_function(shapes)
            step, floor = in_turns(functions, given.repeats)
            line |= {"ms": round(step, 2), "floor_ms": round(floor, 2)}
            line |= {"ratio": round(step / floor, 2)}
            line |= {"gflop": round(sum(2e-9 * m * k * n for m, k, n in shapes), 2)}
        print(json.dumps(line), flush=True)


def main(_) -> None:
    """Each combination of the flags."""
    from scadv_tf.libraries import quiet_start

    with quiet_start():
        import tensorflow  # noqa: F401

    given = flags.FLAGS
    for projection in map(int, given.projection):
        for genes in map(int, given.genes):
            for batch in map(int, given.batch):
                measure(given, genes, projection, batch)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    flags.DEFINE_list("genes", ["2000", "8000"], "Numbers of genes.")
    flags.DEFINE_list("batch", ["256", "1024"], "Cells of each modality in a batch.")
    flags.DEFINE_list(
        "projection", ["50", "0"], "Components that the encoder starts from; 0: genes."
    )
    flags.DEFINE_integer("types", 20, "Cell types.")
    flags.DEFINE_bool("check", False, "Measure the check for finite numbers, not the floor.")
    flags.DEFINE_integer("repeats", 15, "Steps of which the median is taken.")
    app.run(main)
