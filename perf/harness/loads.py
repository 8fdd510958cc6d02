"""Rows that need many connections: `loadgen` makes the load, closed loop, and checks every answer."""

import os
import re
import subprocess

from . import load
from .servers import DOMAIN, PERF, RELEASE

# The mailboxes of rows, by number: "load0" and so on take deliveries; boxes have names of their own.
CROWDED, APPENDED = "box3", "box4"


def deliver(server, scale, round, key="deliver", pin=()):
    """LMTP, 10 kB, spread over many mailboxes, each of which got one before: a cold start is a row of its own."""
    load.run(server, "deliver", pin=pin, connections=16, mailboxes=scale.mailboxes, closed=True, count=scale.mailboxes,
             size=10_000, seed=round * 100)
    results = {}
    for connections in (1, 8, 64):
        done = load.run(server, "deliver", pin=pin, connections=connections, mailboxes=scale.mailboxes, closed=True,
                        duration=scale.seconds, warmup=scale.warmup, size=10_000, seed=round * 100 + connections)
        operation = done["operations"]["deliver"]
        results[f"{key}-{connections}"] = operation["rate_per_s"]
        results[f"{key}-{connections}-p50"] = operation["latency_us"]["p50"] / 1e3
        results[f"{key}-{connections}-p99"] = operation["latency_us"]["p99"] / 1e3
    return results


def deliver_crowded(server, scale, round):
    """The same into one mailbox that has many messages."""
    results = {}
    for connections in (8, 64):
        done = load.run(server, "deliver", connections=connections, mailboxes=1, user=f"{CROWDED}@{DOMAIN}",
                        closed=True, duration=scale.seconds, warmup=scale.warmup, size=10_000,
                        seed=round * 100 + 50 + connections)
        results[f"crowded-{connections}"] = done["operations"]["deliver"]["rate_per_s"]
    return results


def append(server, scale, round):
    """APPEND over eight connections into one mailbox."""
    done = load.run(server, "append", ("imap",), connections=8, mailboxes=1, user=f"{APPENDED}@{DOMAIN}", closed=True,
                    duration=scale.seconds, warmup=scale.warmup, size=10_000, seed=round * 100 + 80)
    operation = done["operations"]["append"]
    return {"append-8": operation["rate_per_s"], "append-8-p99": operation["latency_us"]["p99"] / 1e3}


def logins(server, scale, round):
    """Connect, log in, log out; everybody has done so before, so both servers know the password by its cache."""
    load.run(server, "login-once", ("imap",), connections=16, mailboxes=scale.mailboxes, closed=True,
             count=scale.mailboxes)
    done = load.run(server, "logins", ("imap",), connections=16, mailboxes=scale.mailboxes, closed=True,
                    duration=scale.seconds, warmup=scale.warmup, seed=round)
    return {"logins": done["operations"]["login"]["rate_per_s"]}


# What it imports of the client tests needs pytest, which Debian has for its own Python.
DEBIAN_PYTHON = "/usr/bin/python3"


def queueing(scale):
    """What perf/queueing.py says of ringpost and Postfix."""
    return beside_postfix("queueing", scale.crowded // 4)


def outgoing(scale):
    """What perf/outgoing.py says of them."""
    return beside_postfix("outgoing", scale.crowded // 2, len(scale.rounds))


def beside_postfix(name, *arguments):
    text = subprocess.run([DEBIAN_PYTHON, PERF / f"{name}.py", *map(str, arguments)], check=True, text=True,
                          stdout=subprocess.PIPE, env=os.environ | {"RINGPOST": str(RELEASE / "ringpost")}).stdout
    rates = dict(re.findall(r"^(\S+) +([\d.]+)", text, re.MULTILINE))
    return {name: float(rates["ringpost"]), f"{name}-postfix": float(rates["Postfix"]), f"{name}-ratio": float(rates["ratio"])}


def pop3(server, scale, round):
    """Whole mailboxes by POP3, each byte compared with what was generated."""
    done = load.run(server, "pop3-download", ("pop3",), connections=1, mailboxes=scale.pop3_mailboxes,
                    user="pop{}@" + DOMAIN, closed=True, count=scale.pop3_mailboxes, size=10_000,
                    seed=POP3_SEED)
    return {"pop3": done["operations"]["download"]["mb_per_s"]}


POP3_SEED = 77


def cold_start(server, scale, round):
    """Every mailbox opened and listed once; the caller started the server with an empty page cache."""
    done = load.run(server, "cold-start", ("imap",), connections=64, mailboxes=scale.mailboxes, closed=True,
                    count=scale.mailboxes, user="cold{}@" + DOMAIN)
    return {"cold-start": done["operations"]["visit"]["rate_per_s"],
            "cold-start-p99": done["operations"]["visit"]["latency_us"]["p99"] / 1e3}
