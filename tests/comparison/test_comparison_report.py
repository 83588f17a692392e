"""The page of a comparison is one safe, complete page."""

from __future__ import annotations

import pytest

from scadv_tf.comparison.report import ComparisonContent, write_comparison_report
from scadv_tf.errors import InputError
from scadv_tf.evaluation import figures, style

EVIL = "<script>alert('x')</script> & \"quoted\" $title"


def row_of(system, seed, f1=None, error=None, **routes):
    scores = None if f1 is None else {"macro_f1": f1, "weighted_f1": f1, "accuracy": f1}
    return {
        "system": system, "seed": seed, "error": error, "label_transfer": scores,
        "silhouette_umap": None, "modality_mixing": 0.25, "calibration_error": None,
        "seconds": {"total": 12.34}, "peak_memory_mb": 1500.0,
    } | {name: {"macro_f1": value} for name, value in routes.items()}  # fmt: skip


@pytest.fixture
def page_of(tmp_path, read_page):
    def write(**content):
        content = {"dataset": "pbmc", "definitions": {}, "rows": []} | content
        return read_page(write_comparison_report(tmp_path / "r.html", ComparisonContent(**content)))

    return write


@pytest.fixture
def picture(tmp_path):
    return style.save(figures.learning_curve([0.1, 0.9]), tmp_path / "curve.png")


def between(page, start, end):
    return page.texts[page.texts.index(start) + 1 : page.texts.index(end)]


def test_a_line_of_the_table_is_one_system(page_of):
    rows = [row_of("ours", seed, f1) for seed, f1 in enumerate([0.8, 0.9, 1.0])]
    page = page_of(rows=[*rows, row_of("theirs", 0, 0.5)], definitions={"theirs": "T", "ours": "O"})
    assert page.texts[page.texts.index("Memory, MB") + 1 :][:9] == [
        "theirs", "1 of 1", "0.500", "0.500", "0.500", "no value", "0.250", "no value", "12.3",
    ]  # fmt: skip
    ours = page.texts[page.texts.index("ours") + 1 :][:7]
    assert ours == ["3 of 3", "0.900", "±\N{NO-BREAK SPACE}0.100"] + ours[3:]
    # Bold: the three scores of label transfer; mixing ties at 0.25 and is best for both.
    assert len(page.all("strong")) == 3 + 2 + 1  # + the table of routes


def test_routes_have_their_own_table_the_headline_first(page_of):
    rows = [row_of("a", 0, 0.5, lsi=0.6), row_of("b", 0, 0.7, classifier=0.8)]
    page = page_of(rows=rows)
    found = between(page, "Routes of label transfer", "How to read this page")
    assert found[1:] == [
        "System", "Label transfer", "Classifier", "LSI",
        "a", "0.500", "no value", "0.600", "b", "0.700", "0.800", "no value",
    ]  # fmt: skip


def test_a_failed_system_is_there_with_its_whole_error(page_of):
    error = "R is missing.\n  expected: <R> & Seurat"
    rows = [row_of("seurat", 0, error=error), row_of("seurat", 2, error=error)]
    rows += [row_of("ours", 0, 0.5), row_of("ours", 1, error="other")]
    page = page_of(rows=rows)
    assert between(page, "Runs that failed", "Routes of label transfer") == [
        "seurat, seeds 0, 2", error, "ours, seed 1", "other",
    ]  # fmt: skip
    line = page.texts[page.texts.index("seurat") + 1 :][:9]
    assert line == ["0 of 2"] + 8 * ["no value"]


def test_without_labels_the_page_says_so_and_shows_no_zero(page_of):
    page = page_of(rows=[row_of("a", 0), row_of("b", 0)])
    assert any("came without labels" in text for text in page.texts)
    assert "Routes of label transfer" not in page.texts
    assert not {"0.000", "nan", "None", "0.0"} & set(page.texts)


def test_everything_given_is_on_the_page(page_of, picture):
    page = page_of(
        definitions={"ours": "All losses."},
        rows=[row_of("ours", 20261122, 0.5)],
        settings={"seeds": 3, "model": {"latent_size": 2048}},
        versions={"numpy": "2.0"},
        figures=[("A curve", picture)],
        notes=["Mind the gap."],
    )
    expected = [
        "Data set: pbmc", "Systems: 1. Seeds: 20261122.", "All losses.", "Model", "2048", "2.0",
        "A curve", "Mind the gap.",
    ]  # fmt: skip
    assert [text for text in expected if text not in page.texts] == []
    assert any("do not follow accuracy" in text for text in page.texts)
    assert any("used for scores only" in text for text in page.texts)
    (image,) = page.all("img")
    assert image["src"].startswith("data:image/png;base64,")


def test_all_text_is_escaped(page_of, picture):
    page = page_of(
        dataset=EVIL,
        definitions={EVIL: EVIL},
        rows=[row_of(EVIL, 0, 0.5, **{EVIL: 0.5}), row_of("bad", 0, error=EVIL)],
        settings={EVIL: EVIL},
        versions={EVIL: EVIL},
        figures=[(EVIL, picture)],
        notes=[EVIL],
    )
    assert page.all("script") == [{}]  # the page's own
    assert page.texts.count(EVIL) >= 10
    assert page.all("img")[0]["alt"] == EVIL


def test_an_empty_comparison_is_a_page(page_of):
    assert page_of().texts.count("Systems side by side") == 2  # in the head and as heading


def test_a_page_is_written_whole_or_not_at_all(page_of, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"<svg/>")
    with pytest.raises(InputError, match="expected: a PNG"):
        page_of(figures=[("bad", bad)])
    assert list(tmp_path.iterdir()) == [bad]
