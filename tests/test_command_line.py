"""`train_main.py` from outside: its help, and what it says to bad input."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from scadv_tf.config import SECTIONS

PROGRAM = Path(__file__).parents[1] / "train_main.py"
FIELDS = [field for section in SECTIONS.values() for field in dataclasses.fields(section)]
NO_LOSSES = [f"--{f.name}=0" for f in FIELDS if f.metadata["help"].startswith("Weight of")]
GENES = [f"G{number}" for number in range(60)]


def squeezed(text: str) -> str:
    """Without white space: the help is wrapped, also at hyphens."""
    return re.sub(r"\s", "", text)


@pytest.fixture(scope="module")
def help_text(train_main, tmp_path_factory):
    folder = tmp_path_factory.mktemp("help")
    done = train_main(folder, "--help")
    assert "Traceback" not in done.stderr and not list(folder.iterdir())
    return squeezed(done.stdout)


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_help_tells_every_flag_with_a_sentence_and_a_default(help_text, field):
    name = re.escape(squeezed(field.name))
    sentence = re.escape(squeezed(field.metadata["help"]))
    found = re.search(
        rf"--(\[no\])?{name}:(<(?P<choices>[^>]*)>:)?{sentence}(\(default:'(?P<default>[^']*)'\))?",
        help_text,
    )
    assert found, f"--{field.name} is not explained"
    default = field.default
    if isinstance(default, tuple):
        default = ",".join(map(str, default))
    elif isinstance(default, bool):
        default = str(default).lower()
    assert (found["default"] or "") == squeezed(str(default))
    assert (found["choices"] or "") == "|".join(field.metadata["choices"])


def test_help_lists_flags_by_section_in_the_order_in_which_they_are_explained(help_text):
    sections = [squeezed(section.__doc__.splitlines()[0]) for section in SECTIONS.values()]
    flags = [[f.name for f in dataclasses.fields(section)] for section in SECTIONS.values()]
    a_flag = rf"--(?:\[no\])?(?:{'|'.join(field.name for field in FIELDS)})(?=:)"
    told = re.findall("|".join([*map(re.escape, sections), a_flag]), help_text)
    wanted = [
        word
        for section, names in zip(sections, flags, strict=True)
        for word in (section, *(f"--{name}" for name in names))
    ]
    assert [word.replace("[no]", "") for word in told] == wanted


@pytest.mark.slow
def test_who_reads_a_part_of_the_help_is_told_of_no_failure():
    words = [sys.executable, str(PROGRAM), "--help"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


SAYS = """
from scadv_tf import console
console.run_app(lambda: print("γδ T"))
"""


@pytest.mark.slow
@pytest.mark.parametrize("encoding, shown", [("utf-8", "γδ T"), ("ascii", r"\u03b3\u03b4 T")])
def test_letters_that_a_terminal_lacks_end_no_program(encoding, shown):
    done = subprocess.run(
        [sys.executable, "-c", SAYS],
        env=os.environ | {"PYTHONIOENCODING": encoding, "PYTHONPATH": str(PROGRAM.parent)},
        capture_output=True,
    )
    assert (done.returncode, done.stdout.decode().strip()) == (0, shown)


LIBRARIES = {"tensorflow", "keras", "sklearn", "anndata", "matplotlib", "umap", "pandas", "numpy"}
MEASURE = """
import runpy, sys
program, libraries, sys.argv = sys.argv[1], set(sys.argv[2].split()), sys.argv[2:]
run = runpy.run_path if program.endswith(".py") else runpy.run_module
try:
    run(program, run_name="__main__")
except SystemExit:
    print("imported:", *sorted(libraries & set(sys.modules)))
"""


def imported(folder: Path, program: str, *arguments: str) -> set[str]:
    """Which of the heavy libraries a program has imported when it ends."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, program, " ".join(LIBRARIES), *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(PROGRAM.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    head, *found = done.stdout.splitlines()[-1].split()
    assert head == "imported:"
    return set(found)


DRAWS = """
import sys
from scadv_tf import console
def main():
    import umap
    print("tensorflow" in sys.modules)
console.run_app(main)
"""


@pytest.mark.slow
def test_a_program_that_needs_no_tensorflow_does_not_get_it_by_umap_learn():
    done = subprocess.run([sys.executable, "-c", DRAWS], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("False\n", "")


PROGRAMS = (str(PROGRAM), "scadv_tf.compare", "scadv_tf.annotate")


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: Path(program).name)
@pytest.mark.parametrize("argument", ["--help", "--epochs=0", "--no_such_flag"])
def test_help_and_bad_flags_do_not_wait_for_libraries(tmp_path, program, argument):
    assert not imported(tmp_path, program, argument)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        (PROGRAMS[0], ["--rna=no.h5ad", "--atac=no.h5ad"]),
        (PROGRAMS[0], ["--dataset=pbcm"]),
        (PROGRAMS[1], ["--rna=no.h5ad", "--atac=no.h5ad"]),
        (PROGRAMS[2], ["--model=no", "--input=no.h5ad", "--modality=rna", "--output=out.csv"]),
    ],
    ids=["train_main.py", "misspelt", "compare", "annotate"],
)
def test_missing_files_do_not_wait_for_heavy_libraries(tmp_path, program, arguments):
    assert imported(tmp_path, program, *arguments) <= {"pandas", "numpy"}


@pytest.fixture
def files():
    """Good input: 30 RNA cells of two types; gene activity of 20 ATAC cells without labels."""
    random = np.random.default_rng(0)
    types = np.array(["x", "y"])[np.arange(30) % 2]
    rna = AnnData(
        sparse.csr_matrix(random.poisson(1.0, size=(30, 60)).astype(np.float32)),
        obs=pd.DataFrame({"cell_type": types}, index=[f"r{i}" for i in range(30)]),
        var=pd.DataFrame(index=GENES),
    )
    atac = AnnData(
        sparse.csr_matrix(random.poisson(1.0, size=(20, 60)).astype(np.float32)),
        obs=pd.DataFrame(index=[f"a{i}" for i in range(20)]),
        var=pd.DataFrame(index=GENES),
    )
    return {"rna": rna, "atac": atac}


def first_value(adata: AnnData, value: float) -> None:
    adata.X.data[0] = value


def one_type(adata: AnnData) -> None:
    adata.obs["cell_type"] = "x"


def other_genes(adata: AnnData) -> None:
    adata.var_names = [f"H{number}" for number in range(60)]


def peak_names(adata: AnnData) -> None:
    adata.var_names = [f"chr1:{start}-{start + 500}" for start in range(0, 60_000, 1000)]


def as_they_are(adata: AnnData) -> None:
    pass


OWN_FILES = {
    "missing label column": (as_they_are, "rna", ["--label_key=type"], "no column 'type'"),
    "missing ATAC label column": (as_they_are, "atac", ["--atac_label_key=type"], "'type'"),
    "negative RNA": (lambda a: first_value(a, -1), "rna", [], "negative values"),
    "negative ATAC": (lambda a: first_value(a, -0.5), "atac", [], "negative values"),
    "NaN in RNA": (lambda a: first_value(a, np.nan), "rna", [], "not finite"),
    "infinity in ATAC": (lambda a: first_value(a, np.inf), "atac", [], "not finite"),
    "no shared genes": (other_genes, "atac", [], "gene"),
    "a single type": (one_type, "rna", [], "fewer than two cell types"),
    "all types dropped but one": (as_they_are, "rna", ["--drop_types=x"], "fewer than two"),
    "no labels": (as_they_are, "rna", ["--label_key="], "no labels to transfer"),
    "peaks without a genome": (peak_names, "atac", [], "--genome"),
}


def is_refused(done, folder: Path, before: list, text: str) -> None:
    """One message of four parts, nothing else left behind."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    message = done.stderr[done.stderr.index("error: ") :].strip()
    assert done.stderr.count("error: ") == 1
    assert text in message
    parts = ["error: ", "\n  expected: ", "\n  received: ", "\n  what to do: "]
    places = [message.index(part) for part in parts]
    assert places == sorted(places)
    assert sorted(folder.rglob("*")) == before, "something was left behind"


@pytest.mark.parametrize("case", OWN_FILES)
def test_bad_files_get_one_clear_message(train_here, tmp_path, files, case):
    spoil, modality, arguments, text = OWN_FILES[case]
    spoil(files[modality])
    for name, adata in files.items():
        adata.write_h5ad(tmp_path / f"{name}.h5ad")
    before = sorted(tmp_path.rglob("*"))
    done = train_here(tmp_path, "--rna=rna.h5ad", "--atac=atac.h5ad", *arguments)
    is_refused(done, tmp_path, before, text)


@pytest.mark.parametrize(
    "arguments, text",
    [
        (["--dataset=pbcm"], "no such data set"),
        ([], "No data set was named"),
        (["--rna=no.h5ad", "--atac=no.h5ad"], "does not exist"),
        (["--rna=no.h5ad"], "does not exist"),
        (["--rna=text.h5ad", "--atac=text.h5ad"], "could not be read"),
        (["--rna=text.txt", "--atac=text.txt"], "format"),
        (["--dataset=pbmc", "--rna=text.h5ad"], "brings its own cells"),
        (["--dataset=synthetic", "--rna_labels=text.txt"], "brings its own cells"),
        (["--dataset=pbmc", "--output_dir=text.txt/run"], "cannot be written"),
        (["--dataset=pbmc", "--export_dir=text.txt"], "cannot be written"),
        (["--dataset=pbmc", "--epochs=0"], "epochs is out of range"),
        (["--dataset=pbmc", "--learning_rate=inf"], "learning_rate"),
        (["--dataset=pbmc", "--encoder_sizes=64,wide"], "encoder_sizes"),
        (["--dataset=pbmc", "--encoder_sizes="], "encoder_sizes"),
        (["--dataset=pbmc", "--seed=4294967296"], "seed"),
        (["--dataset=pbmc", "--variable_genes=1"], "variable_genes"),
        (["--dataset=pbmc", *NO_LOSSES], "loss"),
        (["pbmc"], "words that are no flags"),
        (["--epoch=3"], "Did you mean --epochs?"),
        (["--epochs=some"], "The value of --epochs is not of its kind"),
        (["--optimizer=newton"], "one of sgd, adam"),
        (["--flagfile=text.h5ad"], "words that are no flags"),
        (["--flagfile=no.txt"], "Unable to open flagfile"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "",
)
def test_bad_arguments_get_one_clear_message(train_here, tmp_path, arguments, text):
    for name in ("text.h5ad", "text.txt"):
        (tmp_path / name).write_text("no matrix")
    before = sorted(tmp_path.rglob("*"))
    is_refused(train_here(tmp_path, *arguments), tmp_path, before, text)


def test_a_process_ends_with_the_same_message(train_main, tmp_path):
    is_refused(train_main(tmp_path, "--dataset=pbcm"), tmp_path, [], "no such data set")
