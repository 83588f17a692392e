"""Systems side by side on one prepared input, each in a process of its own.

`run` -> `rows` (one system at one seed) -> `contestant` (what runs in the process), `store`,
`fingerprint` -> `systems`. `summary` takes means over the seeds; `results`, `figures` and `report`
make files of them, `table` and `time_to_quality` lines for the terminal.
"""
