"""Mailboxes that are not in the page cache, searched while somebody else is served. How long that one waits is
measured by perf/cold_reads.py, not asserted here."""

import sys
import tempfile
import pathlib

from conftest import ROOT

sys.path.insert(0, str(ROOT / "perf"))
import cold_reads  # noqa: E402

MESSAGES = 3000


def test_cold_searches_and_a_bystander(capsys):
    # Not in /tmp: that may be a RAM disk, on which nothing is ever cold.
    with tempfile.TemporaryDirectory(dir=ROOT / "target") as folder:
        data, users = pathlib.Path(folder) / "data", ["one", "two"]
        data.mkdir()
        cold_reads.make(data, users, MESSAGES)
        for blocking in (False, True):
            found = cold_reads.measure(data, users, blocking)
            assert (found.suspensions > 0) != blocking, "cold reads suspend, unless that is turned off"
            assert found.noops > 0
            assert ("hold their core" in data.with_suffix(".log").read_text()) == blocking
    assert "suspended" in capsys.readouterr().out
