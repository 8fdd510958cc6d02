#!/usr/bin/env python3
"""Durable LMTP deliveries a second: ringpost beside Dovecot, on this machine, in one run.

    cargo build --release --workspace && sudo perf/deliver.py [--rounds 3] [--messages 5000]

Both get the same messages from the same load generator (10 kB, 1,000 mailboxes), in turn, several rounds;
the ratio of each round is printed, then the median. Needs Debian's dovecot-lmtpd and the right to start it.
"""

import argparse
import json
import pathlib
import shutil
import socket
import statistics
import subprocess
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
TARGET = HERE.parent / "target" / "release"
MAILBOXES = 1000
DOVECOT_PORTS = {"LMTP": 13024, "IMAP": 13143, "POP3": 13110}


def wait_for(port):
    for _ in range(200):
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}")


class Dovecot:
    name = "dovecot"

    def __init__(self, folder):
        text = (HERE / "peers/dovecot.conf").read_text()
        for key, value in {**DOVECOT_PORTS, "FOLDER": folder, "USER": "dovecot"}.items():
            text = text.replace(f"@{key}@", str(value))
        for part in ("run", "mail"):
            (folder / part).mkdir()
        shutil.chown(folder / "mail", "dovecot")
        self.configuration = folder / "dovecot.conf"
        self.configuration.write_text(text)
        subprocess.run(["dovecot", "-c", self.configuration], check=True)
        self.port = DOVECOT_PORTS["LMTP"]
        wait_for(self.port)

    def stop(self):
        subprocess.run(["doveadm", "-c", self.configuration, "stop"], check=True)


class Ringpost:
    name = "ringpost"

    def __init__(self, folder):
        users = "".join(f"load{n}@example.test\n" for n in range(MAILBOXES))
        data = folder / "data"
        start = [TARGET / "ringpost", "demo", "--data", data, "--port-base", "14000"]
        self.log = open(folder / "log", "w")
        self.process = subprocess.Popen(start, stdout=self.log, stderr=self.log)
        while not (data / "ready.json").exists():
            if self.process.poll() is not None:
                raise SystemExit((folder / "log").read_text())
            time.sleep(0.05)
        subprocess.run([TARGET / "ringpost", "admin", "--data", data, "user", "import", "--password", "demo", "-"],
                       input=users, text=True, check=True, stdout=subprocess.DEVNULL)
        time.sleep(2)
        self.port = json.loads((data / "ready.json").read_text())["ports"]["lmtp"]

    def stop(self):
        self.process.terminate()
        self.process.wait()


def load(server, connections, messages, seed):
    done = subprocess.run([TARGET / "loadgen", "run", "deliver", "--closed", "--lmtp", f"127.0.0.1:{server.port}",
                           "--connections", str(connections), "--count", str(messages),
                           "--mailboxes", str(MAILBOXES), "--seed", str(seed), "--json", "-"],
                          check=True, capture_output=True, text=True).stdout
    operation = json.loads(done)["operations"]["deliver"]
    return operation["rate_per_s"], operation["latency_us"]["p50"] / 1000


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--messages", type=int, default=5000)
    arguments.add_argument("--connections", type=int, nargs="+", default=[1, 8, 64])
    options = arguments.parse_args()
    # Beside the build, not in /tmp: that may be a RAM disk, on which a sync costs nothing.
    with tempfile.TemporaryDirectory(dir=TARGET.parent) as folder:
        folder = pathlib.Path(folder)
        folder.chmod(0o755)
        servers = []
        for kind in (Dovecot, Ringpost):
            (folder / kind.name).mkdir()
            servers.append(kind(folder / kind.name))
        try:
            print("connections  dovecot/s  p50 ms  ringpost/s  p50 ms  ratio")
            for connections in options.connections:
                ratios = []
                for round in range(options.rounds):
                    seed = connections * 1_000_000 + round * 100_000
                    (theirs, slow), (ours, quick) = (load(s, connections, options.messages, seed) for s in servers)
                    ratios.append(ours / theirs)
                    print(f"{connections:11}  {theirs:9.0f}  {slow:6.2f}  {ours:10.0f}  {quick:6.2f}  {ratios[-1]:5.2f}")
                print(f"{connections:11}  median ratio {statistics.median(ratios):.2f}")
        finally:
            for server in servers:
                server.stop()


if __name__ == "__main__":
    main()
