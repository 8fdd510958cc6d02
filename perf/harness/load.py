"""The `loadgen` binary: starts it and reads its results."""

import json
import os
import pathlib
import subprocess
import tempfile

from .servers import DOMAIN, PERF, RELEASE

BINARY = pathlib.Path(os.environ.get("LOADGEN", RELEASE / "loadgen"))
SCENARIOS = PERF / "scenarios"


class LoadFailed(Exception):
    """An answer was wrong, or there was none."""


def endpoints(server, protocols=("lmtp", "imap", "pop3"), tls=False):
    arguments = []
    for protocol in protocols:
        port = server.ports["imaps" if tls and protocol == "imap" else protocol]
        arguments += [f"--{protocol}", f"127.0.0.1:{port}"]
    return arguments + (["--tls", "implicit"] if tls else [])


def run(server, scenario, protocols=("lmtp",), tls=False, background=False, pin=(), **options):
    """Runs a scenario, built in or of perf/scenarios, and returns what `--json` says.

    `options` are loadgen's, with _ for -: `connections=8`, `closed=True`, `set={"command": "NOOP"}`.
    With `background`, a function that waits for the result.
    """
    path = SCENARIOS / f"{scenario}.toml"
    with tempfile.NamedTemporaryFile(prefix="loadgen-", suffix=".json", delete=False) as file:
        output = pathlib.Path(file.name)
    command = [*pin, BINARY, "run", path if path.exists() else scenario, *endpoints(server, protocols, tls),
               "--no-progress", "--json", output, *arguments(options)]
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True)

    def result():
        text = process.communicate()[0]
        try:
            if process.returncode:
                raise LoadFailed(f"loadgen {scenario} ended with {process.returncode}: {text[-800:]}")
            return json.loads(output.read_text())
        finally:
            output.unlink(missing_ok=True)

    return result if background else result()


def populate(server, protocol="lmtp", user="load{}@" + DOMAIN, **options):
    """Fills mailboxes with loadgen's messages, whose content its scenarios then verify; returns the JSON."""
    with tempfile.NamedTemporaryFile(prefix="loadgen-", suffix=".json") as output:
        command = [BINARY, "populate", *endpoints(server, (protocol,)), "--no-progress", "--user", user,
                   "--json", output.name, *arguments(options)]
        done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True)
        if done.returncode:
            raise LoadFailed(f"loadgen populate ended with {done.returncode}: {done.stdout[-800:]}")
        return json.loads(pathlib.Path(output.name).read_text())


def arguments(options):
    words = []
    for key, value in options.items():
        name = "--" + key.replace("_", "-")
        if value is True:
            words.append(name)
        elif key == "set":
            for setting, chosen in value.items():
                words += ["--set", f"{setting}={chosen}"]
        elif value is not None:
            words += [name, str(value)]
    return words
