"""Query cells that are no ATAC have their own name in all that is said meanwhile."""

from __future__ import annotations

import logging
import threading

import pytest

from scadv_tf.errors import InputError
from scadv_tf.naming import named, query_called


def test_the_name_takes_the_place_of_the_word_alone():
    text = "ATAC cells of --atac=x.h5ad, an ATAC cell, scATAC, ATAC_2 and (ATAC)."
    assert named(text, "ADT") == (
        "ADT cells of --atac=x.h5ad, an ADT cell, scATAC, ATAC_2 and (ADT)."
    )
    assert named("in an ATAC cell", "protein") == "in a protein cell"
    assert named(text, "ATAC") is text
    assert named("ATAC", r"\1 & g<0>") == r"\1 & g<0>"


@pytest.mark.parametrize(
    "path",
    ["/data/ATAC/x.h5ad", "runs/ATAC", "--output_dir=ATAC", "my ATAC/x", "x/ATAC.h5ad", "ATAC.h5"],
)
def test_paths_and_quoted_names_are_the_users_own(path):
    assert named(f"{path} has ATAC cells, and no 'ATAC low' of ATAC.", "ADT") == (
        f"{path} has ADT cells, and no 'ATAC low' of ADT."
    )


def test_log_lines_of_the_package_and_errors_say_it(caplog):
    caplog.set_level(logging.INFO)
    with pytest.raises(InputError) as error, query_called("ADT"):
        logging.getLogger("scadv_tf.data").info("%d ATAC cells", 3)
        logging.getLogger("elsewhere").info("%d ATAC cells", 3)
        refused = InputError(what="no ATAC cell", expected="ATAC", received=3, advice="give --atac")
        refused.add_note("that other programs may add")
        raise refused
    logging.getLogger("scadv_tf.data").info("ATAC again")
    assert caplog.messages == ["3 ADT cells", "3 ATAC cells", "ATAC again"]
    told = error.value
    assert (told.what, told.expected, told.received) == ("no ADT cell", "ADT", "3")
    assert told.advice == "give --atac" and "no ADT cell" in str(told)


def test_each_thread_says_its_own_name(caplog):
    """As two models of a server do, of which the one ends before the other."""
    caplog.set_level(logging.INFO)
    log, turns = logging.getLogger("scadv_tf.data"), [threading.Event() for _ in range(3)]

    def first() -> None:
        with query_called("ADT"):
            turns[0].set()
            turns[1].wait(10)
        turns[2].set()

    def second() -> None:
        turns[0].wait(10)
        with query_called("H3K27me3"):
            turns[1].set()
            turns[2].wait(10)
            log.info("ATAC cells")
        log.info("ATAC again")

    threads = [threading.Thread(target=each) for each in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.info("ATAC here")
    assert caplog.messages == ["H3K27me3 cells", "ATAC again", "ATAC here"]
