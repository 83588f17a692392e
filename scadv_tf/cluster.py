"""The machines that train together, as the environment variable ``TF_CONFIG`` describes them."""

from __future__ import annotations

import json
import os

from scadv_tf.data.shuffling import Shard
from scadv_tf.errors import InputError

EXAMPLE = (
    '{"cluster": {"worker": ["host1:9898", "host2:9898"]}, "task": {"type": "worker", "index": 0}}'
)


def cluster_place() -> Shard:
    """This worker's number, and how many there are.

    Raises
    ------
    InputError : ``TF_CONFIG`` is missing or makes no sense.
    """
    text = os.environ.get("TF_CONFIG", "")
    try:
        config = json.loads(text)
        workers, task = config["cluster"]["worker"], config["task"]
        index = int(task["index"])
        if task["type"] != "worker" or set(config["cluster"]) != {"worker"}:
            raise ValueError("a cluster of anything but workers is not known")
        if not 0 <= index < len(workers):
            raise ValueError(f"there is no worker {index} among {len(workers)}")
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            what="The machines are not described.",
            expected=f"the environment variable TF_CONFIG, such as {EXAMPLE}",
            received=f"TF_CONFIG={text!r} ({type(error).__name__}: {error})",
            advice="Set TF_CONFIG on each machine, with its own index; see docs/scaling.md.",
        ) from error
    return Shard(index, len(workers))
