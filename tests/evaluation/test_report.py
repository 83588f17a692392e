"""The report is one safe, complete page."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import numpy as np
import pytest

from scadv_tf.errors import InputError
from scadv_tf.evaluation import figures, metrics, style
from scadv_tf.evaluation.diagnosis import Diagnosis, usable_cells
from scadv_tf.evaluation.finding import Finding
from scadv_tf.evaluation.report import MEANINGS, ReportContent, write_report
from scadv_tf.evaluation.report_first import POINTS, cell_points
from scadv_tf.scoring import SCORES

EVIL = "<script>alert('x')</script> & \"quoted\" $title"


@pytest.fixture
def page_of(read_page):
    def write(path, **content):
        content = ReportContent(**({"title": "Run", "dataset": "pbmc"} | content))
        return read_page(write_report(path, content))

    return write


def diagnosis_of(name: str, level: str = "amber") -> dict:
    """One finding, one type, one cell of no use."""
    found = Diagnosis(
        [Finding(level, f"{name} is doubtful. Very.", f"Look at {name}.")],
        usable_cells([name, name], np.array([0.9, 0.1]), np.array([False, False])),
        {"rna": (0, 3), "atac": (4, 6)},
    )
    return found.to_dict()


@pytest.fixture
def picture(tmp_path):
    return style.save(figures.learning_curve([0.1, 0.9]), tmp_path / "curve.png")


@pytest.fixture
def full_page(tmp_path, picture, page_of):
    found = metrics.label_scores(["a", "b", "b"], ["a", "b", "a"])
    return page_of(
        tmp_path / "report.html",
        summary=["Two sentences.", "The second."],
        scores={
            "label_transfer": found,
            "classifier": None,
            "svm": found,
            "modality_mixing": 0.91,
            "unknown_share": 0.37,
            "accuracy_of_known": 0.93,
            "silhouette_umap": float("nan"),
            "peak_memory_mb": 1234.5,
            "seconds": {"train": 60.04, "write": 1.5},
        },
        matching={"shared_genes": 12345, "rare_types": []},
        matching_lines=["All is well."],
        settings={"seed": 20261122, "sizes": [1024, 128], "weights": {"cycle": 0.5, "on": True}},
        figures=[("A curve", picture), ("The same", picture)],
        warnings=["Take care."],
        versions={"numpy": "2.0"},
        files={"metrics.json": "all scores"},
    )


def test_everything_given_is_on_the_page(full_page):
    expected = [
        "Run", "Data set: pbmc", "Two sentences.", "Take care.", "All is well.", "12,345",
        "20261122", "1024, 128", "0.5", "yes", "2.0", "all scores", "0.667", "0.91", "60.0", "61.5",
        "Unknown share", "0.37", "Accuracy of known", "0.93",
    ]  # fmt: skip
    assert [text for text in expected if text not in full_page.texts] == []


def test_scores_that_do_not_exist_are_not_made_up(full_page):
    assert "Network and linear guess, each" not in full_page.texts
    assert "nan" not in full_page.texts
    assert "None" not in full_page.texts


def test_every_score_of_a_run_has_its_meaning():
    assert set(SCORES) <= MEANINGS.keys()


def test_pictures_are_inside_and_described(full_page, picture):
    images = full_page.all("img")
    assert [image["alt"] for image in images] == ["A curve", "The same"]
    for image in images:
        assert base64.b64decode(image["src"].split(",")[1]) == picture.read_bytes()
    # 7.2 x 4.2 inches at the 96 CSS pixels of an inch.
    assert (images[0]["width"], images[0]["height"]) == ("691", "403")


def test_the_page_needs_nothing_from_elsewhere(full_page):
    assert not {"link", "iframe"} & {tag for tag, _ in full_page.tags}
    for tag, attributes in full_page.tags:
        for name in ("src", "href", "style"):
            assert attributes.get(name, "data:").startswith("data:"), (tag, attributes)


def test_the_page_is_accessible(full_page):
    assert full_page.all("html") == [{"lang": "en"}]
    assert len(full_page.all("h1")) == len(full_page.all("main")) == 1
    assert all(head["scope"] in ("row", "col") for head in full_page.all("th"))
    assert any(meta.get("name") == "viewport" for meta in full_page.all("meta"))


def test_all_text_is_escaped(tmp_path, picture, page_of):
    page = page_of(
        tmp_path / "evil.html",
        title=EVIL,
        dataset=EVIL,
        summary=[EVIL],
        scores={"label_transfer": metrics.label_scores([EVIL, "b"], ["b", "b"])},
        matching={EVIL: [EVIL]},
        matching_lines=[EVIL],
        settings={EVIL: EVIL, "group": {EVIL: {EVIL: EVIL}}},
        figures=[(EVIL, picture)],
        warnings=[EVIL],
        diagnosis=diagnosis_of(EVIL),
        cells=cell_points(np.zeros((2, 2)), [EVIL, "x"], 1, [EVIL, ""], np.array([0.5])),
        versions={EVIL: EVIL},
        seconds={EVIL: 1.0},
        files={EVIL: EVIL},
    )
    assert page.all("script") == [{"type": "application/json", "id": "cell-data"}, {}]
    assert page.all("img")[0]["alt"] == EVIL
    assert page.texts.count(EVIL) >= 10


def test_without_atac_labels_the_page_says_so(tmp_path, page_of):
    page = page_of(tmp_path / "r.html", scores={"label_transfer": None, "modality_mixing": 0.8})
    assert any("came without labels" in text for text in page.texts)
    assert page.texts.count("not known") >= 3
    assert "0.80" in page.texts


def test_an_empty_report_is_a_page(tmp_path, page_of):
    page = page_of(tmp_path / "folder" / "r.html")
    assert page.all("h2") == []
    assert any("Nothing in this run calls for a warning" in text for text in page.texts)


def test_numbers_stand_to_the_right_and_names_do_not(tmp_path, page_of):
    page = page_of(tmp_path / "r.html", versions={"1": "2.5", "22": "3"})
    assert [cell.get("class") for cell in page.all("td")] == ["number", "number"]
    assert page.all("th")[0].get("class") is None


def test_only_pngs_go_into_a_report(tmp_path, page_of):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"<svg/>")
    with pytest.raises(InputError, match="expected: a PNG"):
        page_of(tmp_path / "r.html", figures=[("bad", bad)])
    assert not (tmp_path / "r.html").exists()


def test_the_matching_is_told_in_words_and_only_once(tmp_path, page_of):
    page = page_of(
        tmp_path / "r.html",
        matching={
            "matched_how": {"exact": 1500, "version": 3},
            "dropped_cells": {"rna": {"doublet": 2}},
            "rare_types": {},
            "rna_types": {"a type of its own": 7},
            "warnings": ["Told at the head of the page."],
        },
        matching_lines=["cell types: 1"],
    )
    assert page.texts[page.texts.index("Value") + 1 :] == [
        "Matched how", "exact: 1,500, version: 3", "Dropped cells", "rna: doublet: 2",
        "Rare types", "none",
    ]  # fmt: skip
    assert "Told at the head of the page." not in page.texts


def test_the_first_that_is_said_is_whether_to_trust_it(tmp_path, page_of):
    page = page_of(
        tmp_path / "r.html",
        diagnosis=diagnosis_of("T", "red"),
        warnings=["T is doubtful. Very. Look at T.", "Another one."],
        summary=["The summary."],
        scores={"mixing_by_type": {}},
    )
    said = page.texts[page.texts.index("Data set: pbmc") + 1 :]
    assert said[:2] == ["red", "Do not trust these results. T is doubtful."]
    places = [said.index(text) for text in ("Why, and what next", "Which cells not", "Please note")]
    assert places == sorted(places)
    assert any(
        text.startswith(
            "1 of 6 ATAC cells would be of use, were it not for the above; 1 are of low confidence"
        )
        for text in said
    )
    # What the diagnosis told is not told again, and nobody uses cells of a red run.
    assert said.count("Another one.") == 1 and "T is doubtful. Very. Look at T." not in said
    assert not any(text.startswith("Leave out the cells") for text in said)


def test_of_each_type_it_says_how_well_it_is_known_in_rna_and_shown_in_atac(tmp_path, page_of):
    row = {"auroc": 0.876, "coactivity": 5.43, "markers": "CD3D, IL32"}
    diagnosis = diagnosis_of("T") | {"markers": {"by_type": {"T": row, "NK": row}}}
    scores = {"mixing_by_type": {"T": 0.913}}
    scores |= {"rna_left_out": {"accuracy": 0.7, "kappa": 0.5, "recognised": {"T": 0.654}}}
    page = page_of(tmp_path / "r.html", diagnosis=diagnosis, scores=scores)
    heads = ["Type", "Known in RNA", "In its cells", "Together", "Mixing", "Best markers in RNA"]
    place = next(i for i in range(len(page.texts)) if page.texts[i : i + 6] == heads)
    told = page.texts[place + 6 :]
    assert told[:6] == ["T", "0.65", "0.88", "5.4", "0.91", "CD3D, IL32"] and told[6] == "NK"


def test_only_the_script_of_the_page_may_run(tmp_path):
    path = write_report(tmp_path / "r.html", ReportContent("Run", "pbmc"))
    page = path.read_text("utf-8")
    (script,) = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page and "default-src 'none'" in page
    assert not re.search(r"script-src[^;]*unsafe", page)


def test_the_cells_are_whole_json_whatever_their_names(tmp_path):
    names = ["</script><b>", "a", "b"]
    points = cell_points(np.arange(6.0).reshape(3, 2), names, 2, ["T", "", "T"], np.array([0.25]))
    page = write_report(tmp_path / "r.html", ReportContent("Run", "pbmc", cells=points)).read_text()
    (block,) = re.findall(r'id="cell-data">(.*?)</script>', page)
    found = json.loads(block)
    order = [found["name"].index(name) for name in names]
    assert [found["confidence"][i] for i in order] == [None, None, 0.25]
    assert [found["types"][found["type"][i]][0] for i in order] == ["T", "", "T"]
    assert [found["modalities"][found["modality"][i]][0] for i in order] == ["RNA", "RNA", "ATAC"]
    assert [found["x"][i] for i in order] == [0, 2, 4]


def test_of_many_cells_some_are_shown(tmp_path):
    cells = 3 * POINTS
    names, types = np.arange(cells).astype(str), np.repeat(["T", "B"], [cells - 3, 3])
    points = cell_points(np.zeros((cells, 2)), names, cells, types, None)
    assert len(points["x"]) == POINTS and points["of"] == cells
    assert {points["types"][code][0] for code in points["type"]} == {"T", "B"}


def test_long_lists_are_folded_away(full_page):
    folded = [tag for tag, _ in full_page.tags if tag == "details"]
    assert len(folded) == 5  # matched, time, settings, files, versions
