# SPDX-License-Identifier: Apache-2.0
"""What runs have shown comes into the document, in its place and nowhere else."""
import pytest

import history
import report
from made_histories import plain

PAGE = "Before.\n<!-- chaos mixed: begin -->\nold\n<!-- chaos mixed: end -->\nAfter.\n"


def test_the_figures_of_a_run_replace_the_old_ones_between_the_markers(tmp_path):
    made, folder, page = plain(), tmp_path / "7" / "mixed", tmp_path / "page.md"
    page.write_text(PAGE)
    folder.mkdir(parents=True)
    history.write_meta(folder, {**made.meta, "seed": 7})
    writer = history.Writer(folder, "all")
    for record in made.records:
        writer.write(**record)
    writer.close()

    assert report.report(tmp_path / "7", page) == 0
    text = page.read_text()
    assert text.startswith("Before.\n") and text.endswith("After.\n") and "old" not in text
    assert "`./dev chaos --seed 7`: 1 faults of 1 kinds" in text and "| I1 | no loss | pass | 20 accepted" in text


def test_a_page_without_the_place_is_left_alone(tmp_path):
    page = tmp_path / "page.md"
    for text in ("Before.\n", PAGE + PAGE, PAGE.replace("mixed: end", "matrix: end")):
        page.write_text(text)
        with pytest.raises(ValueError):
            report.put(page, "mixed", "new")
        assert page.read_text() == text


def test_without_runs_there_is_nothing_to_report(tmp_path):
    assert report.report(tmp_path, tmp_path / "page.md") == 1
