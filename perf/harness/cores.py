"""Rows about the cores of ringpost: how long a task holds one, what another costs, what waits."""

import multiprocessing
import re
import subprocess

from . import load
from .mail import Imap
from .servers import DOMAIN, RELEASE


def held(metrics):
    """Buckets of the time that one poll of a task held a core, all cores: upper bound in seconds → polls below it."""
    buckets = {}
    for key, value in metrics.items():
        found = re.match(r'ringpost_poll_seconds_bucket\{.*le="([^"]+)"', key)
        if found:
            bound = float(found[1].replace("+Inf", "inf"))
            buckets[bound] = buckets.get(bound, 0) + value
    return buckets


def longest_held(metrics):
    return max((value for key, value in metrics.items() if key.startswith("ringpost_longest_stall_seconds")), default=0)


def add_held(gathered, metrics):
    """Adds what a server counted since its start."""
    for bound, count in held(metrics).items():
        gathered["buckets"][str(bound)] = gathered["buckets"].get(str(bound), 0) + count
    gathered["longest"] = max(gathered["longest"], longest_held(metrics))


def held_result(gathered):
    """The p99.9 is the upper bound of its bucket: a power of two of microseconds."""
    buckets = {float(bound): count for bound, count in gathered["buckets"].items()}
    total = buckets.get(float("inf"), 0)
    if not total:
        return {}
    bound = min(bound for bound, count in buckets.items() if count >= 0.999 * total)
    return {"held-p999": bound * 1e3, "held-longest": gathered["longest"] * 1e3}


def read_over_and_over(server_ports, user, stop):
    """A process: reads a mailbox from end to end until told to stop."""
    class Ports:
        ports = server_ports
    session = Imap(Ports, user)
    session.select()
    while not stop.is_set():
        for _ in session.stream("FETCH 1:* BODY.PEEK[]"):
            pass
    session.close()


def noop_beside_cold_reads(server, scale):
    """The NOOPs of one user whose mailbox is open, 200 a second, while eight others' are read from disk."""
    context = multiprocessing.get_context("fork")
    stop = context.Event()
    readers = [context.Process(target=read_over_and_over, args=(server.ports, f"box{8 + n}", stop), daemon=True)
               for n in range(8)]
    waiting = load.run(server, "noop", ("imap",), background=True, connections=1, mailboxes=1, rate=200,
                       duration=scale.seconds + 1, warmup=1, user=f"box6@{DOMAIN}")
    for reader in readers:
        reader.start()
    try:
        done = waiting()
    finally:
        stop.set()
        for reader in readers:
            reader.join(5)
            if reader.is_alive():
                reader.terminate()
    latency = done["operations"]["noop"]["latency_us"]
    return {"noop-p99": latency["p99"] / 1e3, "noop-p50": latency["p50"] / 1e3}


def shards(start, scale):
    """Requests for a second of processor time with two cores serving, against one; times two is what two cores do.

    The load runs on the same two cores, so requests a second of wall-clock time would measure the load as well.
    """
    costs = {}
    for count in (1, 2):
        with start(count) as server:
            for name, scenario, protocols, options in (
                ("deliver", "deliver", ("lmtp",), {"connections": 32, "mailboxes": scale.mailboxes, "size": 10_000}),
                ("fetch", "commands", ("imap",), {"connections": 16, "mailboxes": 64,
                                                 "user": "cold{}@" + DOMAIN, "set": {
                    "command": "FETCH 1:* (UID FLAGS ENVELOPE BODY.PEEK[])", "expect": " FETCH "}}),
            ):
                before = server.processor_time()
                done = load.run(server, scenario, protocols, closed=True, duration=scale.seconds, seed=900 + count,
                                **options)
                used = server.processor_time() - before
                requests = sum(operation["count"] for operation in done["operations"].values())
                costs[name, count] = used / requests
    return {f"shards-{name}": 2 * costs[name, 1] / costs[name, 2] for name in ("deliver", "fetch")}


def forwarded():
    """A request to another core and back, against one on the same core: p50 of each, in µs."""
    text = subprocess.run([RELEASE / "router-cost"], capture_output=True, text=True, check=True).stdout
    local, remote = (float(re.search(rf"{kind} p50 ([\d.]+)", text)[1]) for kind in ("local", "forwarded"))
    return {"forwarded": remote - local}
