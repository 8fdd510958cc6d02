"""Cost as work grows: mailbox size, mailboxes, connections. What a user waits for must not grow faster than its answer."""

import os
import resource

from . import load, memory
from .mail import Imap
from .populate import Messages, fill
from .servers import DOMAIN

SIZES = {"small": (1000, 10_000, 50_000), "full": (1000, 10_000, 100_000, 1_000_000)}
MAILBOXES = {"small": (10, 100, 1000), "full": (10, 100, 1000, 10_000, 100_000)}
# Connections beside those that are idle.
DESCRIPTORS_BESIDE = 100
CONNECTIONS = {"small": (10, 100, 1000), "full": (10, 100, 1000, 10_000, 50_000)}


def mailbox_size(start, extent):
    """Milliseconds of commands on a mailbox, by its number of messages: name → [(messages, ms)]."""
    series = {}
    with start() as server:
        messages = Messages(1500, seed=5)
        for index, size in enumerate(SIZES[extent]):
            box = f"box{16 + index}"
            fill(server, box, messages, size)
            session = Imap(server, box)
            commands = {
                "SELECT": "SELECT INBOX",
                "FETCH of the last 50": f"FETCH {size - 49}:* (UID FLAGS ENVELOPE)",
                "FETCH BODY[] of one": f"FETCH {size // 2} BODY.PEEK[]",
                # Each of the three changes the message.
                "STORE of one": f"STORE {size // 2} FLAGS ($turn{{turn}})",
                "STATUS": "STATUS INBOX (MESSAGES UNSEEN)",
                "UID SEARCH SUBJECT": "UID SEARCH SUBJECT needle",
                "FETCH (UID FLAGS) of all": "FETCH 1:* (UID FLAGS)",
            }
            for name, command in commands.items():
                times = [session.timed(command.replace("{turn}", str(turn)))[0] for turn in range(3)]
                series.setdefault(name, []).append((size, max(min(times) * 1e3, 0.001)))
            session.close()
            # What filling wrote goes to the disk before others are made to wait for it.
            os.sync()
            done = load.run(server, "deliver", connections=1, mailboxes=1, user=f"{box}@{DOMAIN}", closed=True,
                            duration=1, seed=31 + index)
            series.setdefault("delivery", []).append(
                (size, done["operations"]["deliver"]["latency_us"]["p50"] / 1e3))
    return series


def mailboxes(start, extent):
    """Deliveries spread over more and more mailboxes: their rate and how long one takes, and MiB of memory.

    The first delivery to a mailbox makes it. So they are also counted where each mailbox has mail: the same ones in the same
    order a second time.
    """
    series = {}
    for count in MAILBOXES[extent]:
        with start(count) as server:
            os.sync()
            for what in ("first deliveries", "deliveries"):
                done = load.run(server, "deliver", connections=16, mailboxes=count, closed=True, duration=3, seed=count)
                operation = done["operations"]["deliver"]
                series.setdefault(f"{what}/s", []).append((count, operation["rate_per_s"]))
                for part in ("p50", "p99"):
                    series.setdefault(f"{what}, {part} ms", []).append((count, operation["latency_us"][part] / 1e3))
            series.setdefault("resident MiB", []).append((count, server.memory() / (1 << 20)))
    return series


def connections(start, extent):
    """How long a NOOP takes, and memory, with more and more connections that are logged in and idle."""
    series = {}
    # The server gives connections eleven twentieths of the files that it may open (daemons_fd_limit).
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1] * 11 // 20 - DESCRIPTORS_BESIDE
    for count in [count for count in CONNECTIONS[extent] if count <= limit]:
        with start() as server:
            idle = memory.Sessions(server, count, 100)
            done = load.run(server, "noop", ("imap",), connections=4, mailboxes=4, rate=200, duration=2)
            for part in ("p50", "p99"):
                series.setdefault(f"NOOP {part}, ms", []).append(
                    (count, done["operations"]["noop"]["latency_us"][part] / 1e3))
            series.setdefault("resident MiB", []).append((count, server.memory() / (1 << 20)))
            idle.close()
    return series
