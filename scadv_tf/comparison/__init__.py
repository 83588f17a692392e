"""Systems side by side on one prepared input, each in a process of its own.

`run` -> `rows` (one system at one seed) -> `contestant` (what runs in the process), `store`,
`fingerprint` -> `systems`; `results` draws. Only what is light is named here: the new processes
import this package too.
"""

from scadv_tf.comparison.systems import SYSTEMS, ComparisonConfig, System, settings_of

__all__ = ["SYSTEMS", "ComparisonConfig", "System", "settings_of"]
