"""Names of cells and types are text to a spreadsheet, and what they were to who reads them back."""

from __future__ import annotations

import csv

import pandas as pd
import pytest

from scadv_tf.data.spreadsheets import read_predictions, write_rows
from scadv_tf.errors import InputError

RUN = ["=1+1", '=HYPERLINK("http://x","a, b")', "+CD4", "-T", "@SUM(A1)", "\t=1", "\r=1", "\n=1"]
PLAIN = ["CD4 T", "a=b", "T-cell", "NA", "", "None", 'B"q"', "a,b", "'", "'=1", "''x", "é"]
BROKEN = ["a\rb", "a\r\nb", "a\r"]


def written(path, table, rows=3):
    with open(path, "w", encoding="utf-8", newline="") as file:
        for start in range(0, len(table), rows):
            write_rows(table.iloc[start : start + rows], file, head=start == 0)
    return path


@pytest.mark.parametrize("kind", ["category", "object"])
def test_what_a_spreadsheet_would_run_is_marked_and_read_back(tmp_path, kind):
    names = RUN + PLAIN + BROKEN
    table = pd.DataFrame({"cell": [f"c{i}" for i in range(len(names))], "label": names})
    path = written(tmp_path / "a.csv", table.astype({"label": kind}))
    with open(path, encoding="utf-8", newline="") as file:
        fields = [row[1] for row in csv.reader(file)]
    assert fields[0] == "label"
    for name, field in zip(names, fields[1:], strict=True):
        assert not field.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
        assert field == name or field == f"'{name}"
        assert field == name or name in RUN or name.startswith("'")
    pd.testing.assert_frame_equal(read_predictions(path), table, check_dtype=False)


def test_numbers_stay_numbers(tmp_path):
    table = pd.DataFrame(
        {"cell": ["-1", "+2.5"], "label": ["-1", "-1e3"], "novelty": [-1.5, 2.0], "n": [-3, 4]}
    )
    path = written(tmp_path / "a.csv", table)
    assert path.read_text() == "cell,label,novelty,n\n-1,-1,-1.5,-3\n+2.5,-1e3,2.0,4\n"
    found = pd.read_csv(path)
    assert found["novelty"].tolist() == [-1.5, 2.0] and found["n"].tolist() == [-3, 4]


def test_names_stay_text(tmp_path):
    names = {"cell": ["007", "1e5"], "label": ["-1", "2"], "svm": ["1", "2"]}
    path = written(tmp_path / "a.csv", pd.DataFrame(names | {"confidence": [0.5, 1]}))
    found = read_predictions(path)
    assert {name: found[name].tolist() for name in names} == names
    assert found["confidence"].tolist() == [0.5, 1]


def test_a_carriage_return_in_a_name_starts_no_row(tmp_path):
    table = pd.DataFrame({"cell": ["a\r=1+1", "b"], "novelty": [0.5, 1]})
    path = written(tmp_path / "a.csv", table)
    assert path.read_bytes() == b'cell,novelty\n"a\r=1+1",0.5\nb,1.0\n'


def test_true_and_false_are_neither(tmp_path):
    path = written(tmp_path / "a.csv", pd.DataFrame({"unknown": [True, False]}))
    assert read_predictions(path)["unknown"].tolist() == [True, False]


@pytest.mark.parametrize("content", [None, b"", b"\x89HDF\r\n\xff\xfe"])
def test_what_is_no_table_is_refused_in_four_parts(tmp_path, content):
    path = tmp_path / "predictions.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="no table of predictions") as error:
        read_predictions(path)
    assert "predictions.csv" in error.value.received and error.value.advice
    with pytest.raises(InputError):
        read_predictions(None)
