#!/usr/bin/python3
"""How fast queued messages go out, beside Postfix with the same next hop: `sudo perf/outgoing.py [MESSAGES [ROUNDS]]`.

Both have the same messages in their queues on disk, from Postfix's `smtp-source`, and both send them to Postfix's
`smtp-sink` over as many connections as each makes by default (20, used again). The sink listens, but is stopped until
the server's connections wait for its greeting: from then on until it has the last message is what is measured.
Whoever forgets a message has it in the next hop first, and its own note of that on its disk behind it.
"""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

from queueing import ROOT, offer

sys.path.insert(0, str(ROOT / "deploy/clients"))

from conftest import free_port, need  # noqa: E402
from postfix import Postfix  # noqa: E402
from serving import Serve, make_data  # noqa: E402

# How long a server may take from its start to connections that wait.
POISED_S = 2
# How long the sink may take for all messages.
LIMIT_S = 120


def main():
    messages = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    rates = {"ringpost": [], "Postfix": []}
    (ROOT / "target").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "target") as folder:
        folder = pathlib.Path(folder)
        ringpost, postfix = RingpostSending(folder), PostfixSending(folder)
        for _ in range(rounds):
            rates["ringpost"].append(ringpost.rate(messages))
            rates["Postfix"].append(postfix.rate(messages))
    best = {name: max(found) for name, found in rates.items()}
    for name, rate in best.items():
        print(f"{name:10} {rate:8.0f} messages/s")
    print(f"{'ratio':10} {best['ringpost'] / best['Postfix']:8.1f}")


class RingpostSending:
    def __init__(self, folder):
        self.folder, self.sink = folder, free_port()
        self.data, self.base = make_data(folder)

    def serve(self, port):
        return Serve(self.folder, {"data_path": self.data, "lda_listen": f"[::ffff:127.0.0.1]:{self.base + 24}",
                                   "relay_from": "127.0.0.1", "outgoing_smtp_url": f"smtp://127.0.0.1:{port}",
                                   "smtp.cfg:context_num": "1000", "connections_per_address": "1000",
                                   # What was tried while nobody listened is due when the sink is there.
                                   "queue_retry_first": "1s", "queue_retry_longest": "1s", "log_level": "2"})

    def rate(self, messages):
        # Nothing listens on the discard port.
        with self.serve(9):
            # All cores listen.
            time.sleep(1)
            offer(self.base + 24, messages, 50)
        return drained(self.serve(self.sink), self.sink, messages)


class PostfixSending:
    def __init__(self, folder):
        self.port, self.sink = free_port(), free_port()
        self.postfix = Postfix(folder / "postfix", self.port, relayhost=f"[127.0.0.1]:{self.sink}", in_flow_delay="0",
                               default_process_limit="200", smtpd_client_connection_count_limit="0")

    def rate(self, messages):
        # Without its queue manager the messages stay where it finds them first, and needs not go through those that
        # it put off.
        self.postfix.services(without=["qmgr"])
        with self.postfix:
            offer(self.port, messages, 50)
        self.postfix.services()
        return drained(self.postfix, self.sink, messages)


def drained(server, port, messages):
    """Starts the server; messages a second from when the next hop takes the first until it has them all."""
    with sink(port, messages) as process, server:
        time.sleep(POISED_S)
        begun = time.monotonic()
        process.send_signal(signal.SIGCONT)
        process.wait(timeout=LIMIT_S)
        return messages / (time.monotonic() - begun)


@contextlib.contextmanager
def sink(port, messages):
    """A next hop that is stopped, and ends when it has so many messages."""
    process = subprocess.Popen([need("smtp-sink"), "-u", "postfix", "-M", str(messages), f"127.0.0.1:{port}", "1000"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for_listener(port, process)
        process.send_signal(signal.SIGSTOP)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def wait_for_listener(port, process):
    wanted = f":{port:04X} 00000000:0000 0A"
    while wanted not in pathlib.Path("/proc/net/tcp").read_text():
        if process.poll() is not None:
            sys.exit("smtp-sink did not start")
        time.sleep(0.01)


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("perf/outgoing.py must run as root: it starts Postfix")
    main()
