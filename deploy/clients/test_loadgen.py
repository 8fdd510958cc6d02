"""The load generator against the demo: every scenario, each answer checked, with TLS and without."""

import json
import os
import pathlib
import re
import subprocess

import pytest

from conftest import ROOT, Server

CANDIDATES = [ROOT / "target" / profile / "loadgen" for profile in ("release", "debug")]
LOADGEN = pathlib.Path(os.environ.get("LOADGEN", next((path for path in CANDIDATES if path.exists()), CANDIDATES[1])))
MAILBOXES, MESSAGES = 6, 12

# What each scenario must have done, at least once.
SCENARIOS = {
    "deliver": ["deliver"],
    "fetch-all": ["fetch-all"],
    "envelope": ["envelope"],
    "append": ["append"],
    "search": ["search-body", "search-date", "search-flag", "search-from", "search-subject", "sort", "thread"],
    "store": ["store-add", "store-remove"],
    "copy": ["copy"],
    "move": ["move", "move-back"],
    "select": ["select"],
    "logins": ["login", "logout"],
    "pop3-download": ["login", "download"],
    "idle-with-deliveries": ["deliver", "notify"],
    "day-at-work": ["check", "list", "deliver"],
    "sync-after-offline": ["sync", "bodies", "deliver"],
    "huge-mailbox": ["list", "read"],
    "many-tenants": ["visit", "read", "deliver"],
    "noop": ["noop"],
    "commands": ["noop"],
}


def loadgen(server, *arguments, tls=False):
    ports = server.ports
    imap, pop3 = ("imaps", "pop3s") if tls else ("imap", "pop3")
    servers = ["--imap", f"127.0.0.1:{ports[imap]}", "--pop3", f"127.0.0.1:{ports[pop3]}"]
    servers += ["--tls", "implicit"] if tls else ["--lmtp", f"127.0.0.1:{ports['lmtp']}"]
    done = subprocess.run([LOADGEN, *arguments, *servers, "--no-progress", "--mailboxes", str(MAILBOXES), "--json", "-"],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A demo with mailboxes that `loadgen populate` filled."""
    if not LOADGEN.exists():
        pytest.fail(f"{LOADGEN} is missing: cargo build -p ringpost-loadgen")
    server = Server(tmp_path_factory.mktemp("loadgen") / "data")
    for number in range(MAILBOXES):
        server.add_user(f"load{number}@example.test")
    done = loadgen(server, "populate", "--messages", str(MESSAGES), "--size", "real")
    assert done["operations"]["populate"]["count"] == MAILBOXES * MESSAGES
    yield server
    server.stop()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(filled, scenario):
    options = ["--duration", "1.5", "--connections", str(MAILBOXES), "--rate", "40"]
    if scenario == "day-at-work":
        options += ["--set", "think_s=0.1"]
    result = loadgen(filled, "run", scenario, *options)
    counts = {name: operation["count"] for name, operation in result["operations"].items()}
    assert all(counts[name] > 0 for name in SCENARIOS[scenario]), counts
    assert result["wrong"] == result["errors"] == 0


@pytest.mark.parametrize("scenario", ["fetch-all", "pop3-download", "logins"])
def test_scenario_over_tls(filled, scenario):
    result = loadgen(filled, "run", scenario, "--closed", "--count", "12", "--connections", "3", tls=True)
    assert max(operation["count"] for operation in result["operations"].values()) == 12


def test_every_scenario_is_tried():
    known = subprocess.run([LOADGEN, "show", "no-such-scenario"], capture_output=True, text=True).stderr
    names = re.search("built in are (.*), and a path", known)[1].split(", ")
    assert set(names) - {"smtp"} == set(SCENARIOS)
