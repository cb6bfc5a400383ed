# SPDX-License-Identifier: Apache-2.0
"""The documents say what the program does: its options, its metrics, its log events, and files that exist."""
import re

import pytest

from harness import clients
from harness.processes import ROOT, run_to_end

DOCUMENTS = sorted([ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "STYLE.md", *(ROOT / "docs").glob("*.md")])
# RabbitMQ has to hold a queue of somebody else before this one appears.
ONLY_WITH_BROKERS = {"advanced_topology_mismatch"}


def read(name):
    return (ROOT / name).read_text()


def section(text, title):
    """What stands under `## title`, up to the next heading of that level."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    assert found, f"no section {title}"
    return found.group(1)


def first_cells(table):
    """The first column of all table rows, without heads and rules."""
    return [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]


def code_words(text):
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", text)


def test_the_readme_has_the_table_of_options(tmp_path):
    code, out, err = run_to_end(["config", "--markdown"], tmp_path)
    assert code == 0 and out.count("`ADVANCED_") > 50, err
    found = re.search(r"<!-- configuration: begin -->\n(.*)<!-- configuration: end -->", read("README.md"), re.S)
    assert found and found.group(1) == out, "put the output of `boardbus config --markdown` between the markers"


def test_the_env_example_is_printed_by_the_program(tmp_path):
    code, out, err = run_to_end(["config", "--env-example"], tmp_path)
    assert code == 0, err
    assert read(".env.example") == out, "boardbus config --env-example > .env.example"


def test_the_env_example_is_a_good_env_file(tmp_path):
    code, _, err = run_to_end(["config", "--env-file", str(ROOT / ".env.example")], tmp_path)
    assert code == 0 and "warn" not in err, err


def test_metrics_and_their_description_name_the_same(start):
    app = start("app", {"EVENT_TRANSPORT": "memory", "RATE_LIMIT_DEFAULT": "1/hour"}).wait_ready()
    assert [clients.get(app.port, "/").status for _ in range(2)] == [200, 429]
    shown = set(re.findall(r"^# TYPE (\w+) ", app.get("/metrics").body.decode(), re.M))

    cells = first_cells(section(read("docs/operations.md"), "Metrics"))
    described = {word.split("{")[0] for cell in cells for word in code_words(cell)}

    assert described - ONLY_WITH_BROKERS - shown == set(), "described, but not in /metrics"
    assert shown - described == set(), "in /metrics, but not described"


def test_every_metric_that_a_document_mentions_exists(app):
    clients.get(app.port, "/")
    exposed = app.get("/metrics").body.decode()
    known = set(re.findall(r"^# TYPE (\w+) ", exposed, re.M)) | ONLY_WITH_BROKERS | {"advanced_http_rate_limit_rejections_total"}
    for document in DOCUMENTS:
        for name in re.findall(r"\badvanced_\w+[a-z]\b", document.read_text()):
            assert any(metric.startswith(name) for metric in known), f"{document.name}: {name}"


def test_log_events_and_their_description_name_the_same():
    sources = "".join(path.read_text() for path in sorted((ROOT / "src").rglob("*.cpp")))
    logged = set()
    for call in re.findall(r"\blog\((?=[^;]*Level::)([^{;]*)", sources):
        logged |= set(re.findall(r'"(\w+)"', call))
    assert {"dead_letter", "hold", "stopped"} <= logged, "the pattern above no longer fits the sources"

    described = {word for cell in first_cells(section(read("docs/operations.md"), "Logs")) for word in code_words(cell)}

    assert logged - described == set(), "logged, but not described"
    assert {name for name in described if f'"{name}"' not in sources} == set(), "described, but not logged"


def test_the_tour_of_the_source_names_files_that_exist():
    paths = [word for cell in first_cells(section(read("README.md"), "Tour of the source")) for word in code_words(cell)]
    assert len(paths) > 30
    assert [path for path in paths if not (ROOT / path).is_file()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    for target, anchor in re.findall(r"\]\(([^)#:]*)(#[^)]*)?\)", document.read_text()):
        file = (document.parent / target) if target else document
        assert file.is_file(), f"{document.name}: {target}"
        if anchor:
            titles = re.findall(r"^#+ (.*)$", file.read_text(), re.M)
            anchors = {"#" + re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles}
            assert anchor in anchors, f"{document.name}: {target}{anchor}"


def test_options_that_a_document_names_exist():
    table = set(re.findall(r"ADVANCED_[A-Z_]+", read(".env.example"))) | {"ADVANCED_BIND"}  # The last one is compose's own.
    for document in DOCUMENTS:
        for name in re.findall(r"\bADVANCED_[A-Z_]+[A-Z]\b(?![*_])", document.read_text()):
            assert name in table, f"{document.name}: {name}"
    for document in (ROOT / "docs").glob("*.md"):  # There the prefix is left out.
        for name in re.findall(r"`([A-Z]+_[A-Z_]+[A-Z])[`=]", document.read_text()):
            assert f"ADVANCED_{name}" in table or name.startswith("ADVANCED_"), f"{document.name}: {name}"
