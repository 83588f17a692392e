"""Whatever settings, pairing and tables are given: a typed error or the right result."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from damaged_inputs import ODD_TEXTS
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from judge import RIGHT, TYPED
from scipy import sparse

from scadv_tf.config import SECTIONS, RunConfig
from scadv_tf.data.barcodes import listed_cells
from scadv_tf.data.gene_coordinates import load_genes
from scadv_tf.data.label_tables import columns_from
from scadv_tf.data.pairing import pair
from scadv_tf.data.regions import read_peaks
from scadv_tf.errors import InputError

pytestmark = pytest.mark.slow

# The same examples in each run; a folder of a test is used for all of its examples.
settings.register_profile(
    "corpus",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=80,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("corpus")

# What is tried -> how many typed errors and right results came of it.
FOUND: dict[str, Counter] = {}


def tell(kind: str, outcome: str) -> None:
    FOUND.setdefault(kind, Counter({TYPED: 0, RIGHT: 0}))[outcome] += 1


FIELDS = {f.name: name for name, s in SECTIONS.items() for f in dataclasses.fields(s)}
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-2, 2),
    st.floats(),
    st.floats(0, 1),
    st.text(max_size=5),
    st.sampled_from(ODD_TEXTS),
)
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.lists(SCALARS, max_size=3).map(tuple)


def alike(found: object, value: object) -> bool:
    """Whether a setting holds what was given; a list is kept as a tuple."""
    return found == (tuple(value) if isinstance(value, list) else value)


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from(sorted(FIELDS)), VALUES, min_size=1, max_size=3))
def test_a_setting_is_refused_or_kept_and_written_as_it_is(values):
    try:
        config = RunConfig.of(**values)
    except InputError:
        tell("settings", TYPED)
        return
    tell("settings", RIGHT)
    for name, value in values.items():
        found = getattr(getattr(config, FIELDS[name]), name)
        zeroed = config.training.mode == "unsupervised" and FIELDS[name] == "loss"
        assert alike(found, value) or (zeroed and found == 0)
    assert RunConfig.from_json(config.to_json()) == config
    json.loads(config.to_json(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


@given(
    st.dictionaries(
        st.sampled_from([*SECTIONS, "other"]),
        SCALARS | st.dictionaries(st.sampled_from([*FIELDS, "other"]), VALUES, max_size=2),
        max_size=2,
    )
)
def test_a_configuration_of_another_form_is_refused(values):
    try:
        config = RunConfig.from_dict(values)
    except InputError:
        tell("configurations", TYPED)
        return
    tell("configurations", RIGHT)
    assert all(isinstance(section, dict) for section in values.values())
    assert RunConfig.from_dict(config.to_dict()) == config


NAMES = st.sampled_from(
    ["A", "B", "C", "a", "A.1", "A_1", "A-1", "", "é", "1", "nan", " A", "x" * 300]
)
LABELS = st.sampled_from(["T", "B", "NK", "", "unknown", "Unknown", "nan", "1", "=T", None])


@st.composite
def modalities(draw):
    """Two small AnnData with odd names of genes and labels."""
    found = []
    for side in ("r", "a"):
        genes, cells = draw(st.lists(NAMES, min_size=1, max_size=6)), draw(st.integers(1, 6))
        numbers = st.integers(0, 3)
        counts = np.array(
            draw(st.lists(numbers, min_size=cells * len(genes), max_size=cells * len(genes))),
            np.float32,
        ).reshape(cells, len(genes))
        obs = {
            key: pd.Categorical(draw(st.lists(LABELS, min_size=cells, max_size=cells)))
            for key in ("type", "broad")
        }
        names = pd.Index([f"{side}{i}" for i in range(cells)])
        unique = pd.Series(genes) + [
            f"-{i}" if genes.index(g) < i else "" for i, g in enumerate(genes)
        ]
        var = pd.DataFrame({"scadv_original_name": genes}, index=pd.Index(unique.astype(str)))
        if var.index.is_unique:
            found.append(AnnData(sparse.csr_matrix(counts), pd.DataFrame(obs, names), var))
    return found if len(found) == 2 else draw(modalities())


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=120)
@given(
    modalities(),
    st.sampled_from(["type", "broad", "other"]),
    st.sampled_from(["", "type", "broad", "other"]),
    st.lists(st.sampled_from(["T", "B", "x"]), max_size=2),
    st.booleans(),
)
def test_pairs_have_shared_genes_known_cells_and_types_of_their_own(
    cells, key, other, drop, taught
):
    rna, atac = cells
    try:
        data, truth = pair(rna, atac, key, other, None, drop, min_shared_genes=1, supervised=taught)
    except InputError:
        tell("pairs", TYPED)
        return
    tell("pairs", RIGHT)
    assert data.rna.shape == (len(data.rna_cells), len(data.genes)) and len(data.genes) >= 1
    assert data.atac.shape == (len(data.atac_cells), len(data.genes))
    assert len(set(data.genes)) == len(data.genes)
    for counts, source, names in (
        (data.rna, rna, data.rna_cells),
        (data.atac, atac, data.atac_cells),
    ):
        whole = pd.DataFrame(source.X.toarray(), index=source.obs_names).loc[names]
        assert (counts.sum(axis=1).A1 <= whole.sum(axis=1).to_numpy() + 1e-6).all()
    if not taught:
        assert data.types == () and data.rna_labels is None
        return
    given = rna.obs[key].astype(object).loc[data.rna_cells].to_numpy()
    assert [data.types[code] for code in data.rna_labels] == [str(label).strip() for label in given]
    assert len(data.types) >= 2 and list(data.types) == sorted(set(data.types))
    assert not {"", "unknown", "Unknown"} & set(data.types) and not set(drop) & set(data.types)
    if truth is not None:
        assert len(truth.labels) == len(data.atac_cells)
        assert set(truth.level) == set(data.types)


@given(st.text(max_size=20) | VALUES.map(json.dumps))
def test_a_text_that_is_no_configuration_is_refused(text):
    try:
        RunConfig.from_json(text)
    except InputError:
        return
    assert json.loads(text) == {}


WORDS = st.sampled_from(
    [
        *ODD_TEXTS,
        "c1",
        "c2",
        "c3",
        "T",
        "B",
        "chr1",
        "chr2",
        "1",
        "100",
        "200",
        "+",
        "-",
        "gene",
        "cell",
    ]
)
LINES = st.lists(st.lists(WORDS, max_size=7), max_size=6)
TABLES = st.tuples(LINES, st.sampled_from("\t,; "), st.sampled_from(["\n", "\r\n", "\r"])).map(
    lambda t: t[2].join(t[1].join(line) for line in t[0]).encode("utf-8", "surrogateescape")
)


@settings(max_examples=200)
@given(TABLES | st.binary(max_size=60))
def test_a_table_of_labels_is_refused_or_names_cells(tmp_path, content):
    (tmp_path / "labels.csv").write_bytes(content)
    try:
        path, cells = str(tmp_path / "labels.csv"), ["c1", "c2", "c3"]
        found = columns_from(path, cells, "--rna_labels", "type", "batch")
    except InputError:
        tell("labels", TYPED)
        return
    tell("labels", RIGHT)
    read = [content.decode(code, "replace") for code in ("utf-8", "utf-16", "cp1252")]
    for texts in found.values():
        assert len(texts) == 3 and not texts.isna().all()
        assert all(any(text in each for each in read) for text in texts.dropna())


@settings(max_examples=150)
@given(TABLES | st.binary(max_size=60))
def test_a_list_of_barcodes_is_refused_or_names_cells(tmp_path, content):
    (tmp_path / "barcodes.tsv").write_bytes(content)
    try:
        rows = listed_cells(str(tmp_path / "barcodes.tsv"), ["c1", "c2", "c3"])[0]
    except InputError:
        tell("barcodes", TYPED)
        return
    tell("barcodes", RIGHT)
    assert len(rows) >= 1


@settings(max_examples=150)
@given(TABLES | st.binary(max_size=60))
@example(b"chr1\t5\t9\n")
def test_a_table_of_peaks_is_refused_or_holds_intervals(tmp_path, content):
    (tmp_path / "peaks.bed").write_bytes(content)
    try:
        peaks = read_peaks(str(tmp_path / "peaks.bed"))
    except InputError:
        tell("peaks", TYPED)
        return
    tell("peaks", RIGHT)
    assert len(peaks) >= 1 and (peaks["start"] >= 0).all() and (peaks["end"] > peaks["start"]).all()


@settings(max_examples=150)
@given(TABLES | st.binary(max_size=60), st.sampled_from(["genes.bed", "genes.gtf"]))
@example(b"chr1\t5\t9\tCD4\t.\t+\n", "genes.bed")
def test_a_table_of_genes_is_refused_or_holds_intervals(tmp_path, content, name):
    (tmp_path / name).write_bytes(content)
    try:
        genes = load_genes(str(tmp_path / name))
    except InputError:
        tell("genes", TYPED)
        return
    tell("genes", RIGHT)
    assert len(genes) >= 1 and genes["gene"].is_unique
    assert all(math.isfinite(place) and place >= 0 for place in genes["start"])
    assert (genes["end"] >= genes["start"]).all()


def test_both_outcomes_came_of_each_kind():
    assert FOUND
    for kind, outcomes in FOUND.items():
        print(f"{kind:16s}", dict(outcomes))
        assert min(outcomes.values()) > 0, kind
