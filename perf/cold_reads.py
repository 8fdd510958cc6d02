#!/usr/bin/env python3
"""How long a user waits while others' mailboxes are searched cold, on one core.

    cargo build --release && perf/cold_reads.py --data target/cold [--messages 100000] [--searched 4]

Mailboxes of 100,000 messages are taken out of the page cache and searched for a word that is nowhere, all at
once; another user's NOOPs on the same core are timed meanwhile. Then the same with RINGPOST_BLOCKING_READS,
where a read that has to wait for the disk holds the core. The data folder is filled at the first run (some
minutes, 2 GB) and used again.
"""

import argparse
import collections
import http.client
import json
import os
import pathlib
import random
import re
import socket
import subprocess
import threading
import time

BINARY = pathlib.Path(os.environ.get("RINGPOST", pathlib.Path(__file__).resolve().parents[1] / "target/release/ringpost"))
WORDS = [f"{a}{b}{c}" for a in ("ba", "ke", "lo", "mi", "nu") for b in ("ra", "se", "ti", "vo") for c in "dlmnrst"]
MESSAGES_AN_APPEND = 500
PAUSE_S = 0.001
Found = collections.namedtuple("Found", "suspensions noops p99_ms")


CPUS = sorted(os.sched_getaffinity(0))


class Server:
    def __init__(self, data, blocking=False):
        os.sched_setaffinity(0, CPUS)
        environment = {**os.environ, **({"RINGPOST_BLOCKING_READS": "1"} if blocking else {})}
        ready = data / "ready.json"
        ready.unlink(missing_ok=True)
        self.data, self.log = data, open(data.with_suffix(".log"), "a")
        self.process = subprocess.Popen([BINARY, "demo", "--data", data, "--port-base", "16000", "--shards", "1"],
                                        stdout=self.log, stderr=self.log, env=environment)
        while not ready.exists():
            if self.process.poll() is not None:
                raise SystemExit(f"the server did not start; see {self.log.name}")
            time.sleep(0.05)
        self.ports = json.loads(ready.read_text())["ports"]
        # The core's thread has the first CPU; what measures has another.
        os.sched_setaffinity(0, CPUS[1:] or CPUS)

    def waited_for_cpu_ms(self):
        """How long the core's thread, the busiest, was ready to run while others ran."""
        tasks = pathlib.Path(f"/proc/{self.process.pid}/task").iterdir()
        ran, waited, _ = max(tuple(map(int, (task / "schedstat").read_text().split())) for task in tasks)
        return waited / 1e6

    def figure(self, name):
        connection = http.client.HTTPConnection("127.0.0.1", self.ports["admin"])
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        return float(re.search(rf'^ringpost_{name}\{{shard="0"\}} (\S+)$', text, re.MULTILINE)[1])

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()


class Imap:
    def __init__(self, server, user):
        self.socket = socket.create_connection(("127.0.0.1", server.ports["imap"]))
        self.file = self.socket.makefile("rb")
        self.file.readline()
        self.command(f"LOGIN {user}@example.test demo")
        self.command("SELECT INBOX")

    def command(self, text, rest=b""):
        self.socket.sendall(b"a " + text.encode() + rest + b"\r\n")
        while True:
            line = self.file.readline()
            if line.startswith(b"a "):
                assert line.startswith(b"a OK"), line
                return
            assert line.startswith(b"*"), line


def message(number, dice):
    body = "\r\n".join(" ".join(dice.choices(WORDS, k=12)) for _ in range(20))
    return (f"From: <sender{number % 97}@example.org>\r\nTo: <searched@example.test>\r\nSubject: message {number}\r\n"
            f"Message-ID: <{number}@example.org>\r\nDate: Tue, 24 Nov 2026 10:00:00 +0000\r\n\r\n{body}\r\n").encode()


def fill(server, user, messages):
    imap, dice = Imap(server, user), random.Random(user)
    for first in range(0, messages, MESSAGES_AN_APPEND):
        some = [message(number, dice) for number in range(first, min(messages, first + MESSAGES_AN_APPEND))]
        imap.command("APPEND INBOX", b"".join(b" {%d+}\r\n%s" % (len(one), one) for one in some))


def make(data, users, messages):
    server = Server(data)
    admin = [BINARY, "admin", "--data", data, "user"]
    subprocess.run([*admin, "import", "--skip-existing", "--password", "demo", "-"], check=True, text=True,
                   input="".join(f"{user}@example.test\n" for user in users), stdout=subprocess.DEVNULL)
    time.sleep(3)
    began = time.monotonic()
    threads = [threading.Thread(target=fill, args=(server, user, messages)) for user in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    server.stop()
    print(f"{len(users)} mailboxes of {messages} messages filled in {time.monotonic() - began:.0f} s")


def make_cold(data):
    """Drops every file of the data folder from the page cache."""
    size = 0
    for path in data.rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                size += path.stat().st_size
    return size


def measure(data, users, blocking):
    make_cold(data)
    server = Server(data, blocking)
    # Opened before; what is cold is what the searches read.
    searches = [Imap(server, user) for user in users]
    bystander = Imap(server, "bob")
    took = []

    def search(imap):
        began = time.monotonic()
        imap.command("SEARCH BODY nowhere-to-be-found")
        took.append(time.monotonic() - began)

    before, cpu = server.figure("cold_reads_total"), server.waited_for_cpu_ms()
    threads = [threading.Thread(target=search, args=(imap,)) for imap in searches]
    waits = []
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        began = time.perf_counter()
        bystander.command("NOOP")
        waits.append((time.perf_counter() - began) * 1000)
        time.sleep(PAUSE_S)
    waits.sort()
    cold, stall = server.figure("cold_reads_total") - before, server.figure("longest_stall_seconds") * 1000
    cpu = server.waited_for_cpu_ms() - cpu
    server.stop()
    name = "blocking" if blocking else "suspended"
    print(f"{name:>10}  {max(took):8.1f}  {cold:10.0f}  {len(waits):6}  {waits[len(waits) // 2]:7.2f}  "
          f"{waits[len(waits) * 99 // 100]:7.2f}  {waits[-1]:7.2f}  {stall:8.1f}  {cpu:10.0f}")
    return Found(cold, len(waits), waits[len(waits) * 99 // 100])


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=pathlib.Path, required=True)
    arguments.add_argument("--messages", type=int, default=100_000)
    arguments.add_argument("--searched", type=int, default=4)
    arguments.add_argument("--rounds", type=int, default=1)
    arguments.add_argument("--fill-only", action="store_true")
    options = arguments.parse_args()
    users = [f"cold{options.messages}x{number}" for number in range(options.searched)]
    data = options.data.resolve()
    data.mkdir(parents=True, exist_ok=True)
    filled = data / f"filled-{options.messages}-{options.searched}"
    if not filled.exists():
        make(data, users, options.messages)
        filled.touch()
    if options.fill_only:
        return
    print("cold reads  search s  suspensions  NOOPs   p50 ms   p99 ms   max ms  stall ms  CPU taken ms")
    for _ in range(options.rounds):
        for blocking in (False, True):
            measure(data, users, blocking)


if __name__ == "__main__":
    main()
