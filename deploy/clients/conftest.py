"""Fixtures: servers started from the built binary, on ports of their own, and mail to put into them."""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("RINGPOST", ROOT / "target/release/ringpost"))
CORPORA = ROOT.parent / "shared" / "corpora"
START_TIMEOUT_S = 10


def free_port_base():
    """A base such that all the demo's ports (standard + base) are free. Closed connections of an earlier
    server may linger on a port; what matters is that nobody listens there."""
    for base in range(12000, 60000, 1200):
        try:
            for port in (24, 99, 110, 143, 465, 587, 993, 995):
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", base + port))
            return base
        except OSError:
            continue
    raise RuntimeError("no free ports")


def free_port():
    """A port of loopback that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="also the tests marked full: desktop and web programs, "
                     "which need the packages of .ci/packages-full and requirements-full.txt")


def pytest_configure(config):
    config.addinivalue_line("markers", "full: takes long or needs what .ci/packages-full names; run with --full")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--full"):
        return
    left_out = [item for item in items if item.get_closest_marker("full")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


class Server:
    """A running `ringpost demo`."""

    def __init__(self, data, extra=(), environment=None):
        self.data = pathlib.Path(data)
        self.base = free_port_base()
        self.extra = list(extra)
        self.environment = {**os.environ, **(environment or {})}
        self.log = self.data.parent / f"{self.data.name}.log"
        self.process = None
        self.start()

    def start(self):
        ready = self.data / "ready.json"
        ready.unlink(missing_ok=True)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [BINARY, "demo", "--data", self.data, "--port-base", str(self.base), *self.extra],
                stdout=log, stderr=log, env=self.environment)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not ready.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start:\n{self.log.read_text()}")
            time.sleep(0.01)
        self.ready = json.loads(ready.read_text())
        self.ports = self.ready["ports"]
        self.users = self.ready["users"]

    def kill(self):
        """Ends it as a crash would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """Ends it in order; its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(timeout=30)

    def admin(self, *arguments, input=None):
        """Runs `ringpost admin` on this server's data."""
        return subprocess.run([BINARY, "admin", "--data", self.data, *arguments],
                              check=True, capture_output=True, text=True, input=input).stdout

    def add_user(self, address, password="demo"):
        self.admin("user", "add", address, "--password", password)
        self.wait_for_account(address)

    def wait_for_account(self, address):
        """Until the server has noticed an account that was added."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            connection = LmtpClient(self)
            reply = connection.command("MAIL FROM:<>")
            reply = connection.command(f"RCPT TO:<{address}>")
            connection.close()
            if reply.startswith("2"):
                return
            time.sleep(0.05)
        raise RuntimeError(f"{address} was not noticed")


class LmtpClient:
    """The least that speaks LMTP: for filling mailboxes quickly."""

    def __init__(self, server):
        self.socket = socket.create_connection(("127.0.0.1", server.ports["lmtp"]))
        self.file = self.socket.makefile("rb")
        self.reply()
        assert self.command("LHLO client.example.org").startswith("250")

    def reply(self):
        while True:
            line = self.file.readline().decode()
            if not line:
                raise ConnectionError("closed")
            if line[3:4] != "-":
                return line.rstrip()

    def command(self, line):
        self.socket.sendall(line.encode() + b"\r\n")
        return self.reply()

    def deliver(self, recipients, source, sender="sender@example.org"):
        """Delivers; the reply of each recipient."""
        assert self.command(f"MAIL FROM:<{sender}>").startswith("250")
        accepted = [r for r in recipients if self.command(f"RCPT TO:<{r}>").startswith("250")]
        assert self.command("DATA").startswith("354")
        self.socket.sendall(dot_stuffed(source) + b".\r\n")
        return [self.reply() for _ in accepted]

    def close(self):
        self.socket.close()


def with_crlf(source):
    return source.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")


def dot_stuffed(source):
    if not source.endswith(b"\r\n"):
        source += b"\r\n"
    return b"\r\n".join(b"." + line if line.startswith(b".") else line for line in source.split(b"\r\n"))


def plain_message(number, size=1000, sender="sender@example.org"):
    body = (f"line of message {number} " * 3 + "\r\n") * (size // 70 + 1)
    return (f"From: <{sender}>\r\nTo: <alice@example.test>\r\nSubject: message {number}\r\n"
            f"Message-ID: <{number}@clients.example.org>\r\nDate: Tue, 24 Nov 2026 10:00:00 +0000\r\n"
            f"\r\n{body}").encode()


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """One demo server for the tests that don't disturb each other."""
    server = Server(tmp_path_factory.mktemp("demo") / "data")
    yield server
    assert server.stop() == 0, server.log.read_text()[-4000:]


@pytest.fixture
def server(tmp_path):
    """A demo server of the test's own."""
    server = Server(tmp_path / "data")
    yield server
    assert server.stop() == 0, server.log.read_text()[-4000:]


@pytest.fixture(scope="session")
def client_tls():
    """A TLS context that accepts the demo's self-signed certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def wait_until(condition, timeout_s=10):
    """Until the condition holds; busy machines take their time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def wait_for_log(server, pattern, after=0):
    """Until a line of the server's log, from this byte on, matches; it is written a moment after the event."""
    deadline = time.monotonic() + 10
    while not re.search(pattern, server.log.read_bytes()[after:].decode(errors="replace"), re.IGNORECASE):
        assert time.monotonic() < deadline, f"no {pattern} in {server.log.read_text()[-3000:]}"
        time.sleep(0.02)


def run(command, **options):
    """Runs a foreign program; its output, or a failure that shows it."""
    options.setdefault("timeout", 120)
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def need(program):
    """The path of a program that `.ci/run` installs; its absence fails the test, it is not skipped."""
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    assert path, f"{program} is not installed; .ci/run installs it"
    return path
