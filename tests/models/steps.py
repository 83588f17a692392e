"""Single steps and their losses, by the name of the phase."""

from __future__ import annotations


def phase_of(model, name):
    """The model's phase of a name, with its active losses."""
    return next(phase for phase in model.phases if phase.name == name)


def losses_of(model, phase: str, batch) -> dict:
    """Name -> value of each active loss of a phase."""
    return phase_of(model, phase).values(model, batch)


def step(model, phase: str, batch) -> None:
    """Takes one step."""
    model.phase = phase_of(model, phase)
    model.train_step(batch)
