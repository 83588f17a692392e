"""The example of docs/python.md runs as printed, on some of the embedded cells."""

from __future__ import annotations

import re
from pathlib import Path

import anndata
import pytest

import scadv_tf
from scadv_tf.data.datasets import ASSETS

ROOT = Path(scadv_tf.__file__).parents[1]
PAGE = ROOT / "docs" / "python.md"


@pytest.mark.slow
def test_the_example_runs_as_printed(tmp_path, monkeypatch, capsys):
    if not PAGE.is_file():
        pytest.skip("the package is installed without its documentation")
    example, _ = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    for name in ("rna.h5ad", "atac_peaks.h5ad"):
        cells = anndata.read_h5ad(ASSETS / "pbmc" / name)
        cells[::8].copy().write_h5ad(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(example, str(PAGE), "exec"), names)
    assert names["atac"].obs["scadv_label"].isin(names["model"].types).all()
    assert names["new_cells"].obsm["X_scadv"].shape[0] == 100
    assert (tmp_path / "umap.png").stat().st_size > 5000
    assert (tmp_path / "savedmodels" / "blood" / "1" / "saved_model.pb").exists()
    assert "scadv_accepted_label" in capsys.readouterr().out


def test_every_function_of_the_page_exists():
    text = PAGE.read_text("utf-8")
    for name in set(re.findall(r"scadv_tf\.(\w+)", text)) - {"data", "pl"}:
        assert hasattr(scadv_tf, name), name
    for name in re.findall(r"^\| `(\w+)\(", text.split("## Pictures")[1], re.MULTILINE):
        assert hasattr(scadv_tf.pl, name), name
