"""System calls, syncs, allocations of ringpost for a delivery and for a fetch, each with a budget.

Counted while a running server does a known number of them, one after the other and many at once: system
calls by strace, syncs by the server's own metrics (they go through io_uring and are no system calls), allocations
by uprobes on the allocator, where the kernel has them.
"""

import re
import subprocess
import time

from . import load
from .mail import Imap
from .servers import RELEASE

COUNT = 2000
# What each may cost; a run says which are over. Fractions are shares: one sync for several deliveries.
BUDGET = {
    "delivery, 1 connection": {"system calls": 12, "syncs": 1.1, "allocations": 400},
    # Two receives, two sends, a write and a turn of the ring are six already.
    # Two of them are zeros that a young mailbox's WAL grows by; one that has grown makes none.
    "delivery, 64 connections": {"system calls": 10, "syncs": 1.1, "allocations": 400},
    "FETCH BODY[] of one message": {"system calls": 5, "syncs": 0, "allocations": 60},
    "FETCH row of many (UID FLAGS ENVELOPE BODYSTRUCTURE)": {"system calls": 0.1, "syncs": 0, "allocations": 10},
}
ALLOCATORS = ("mi_malloc_aligned", "mi_zalloc_aligned", "mi_realloc_aligned")


def workloads(server, scale):
    """Name → (operations, what does them)."""
    def deliver(connections):
        return lambda: load.run(server, "deliver", connections=connections, mailboxes=scale.mailboxes, closed=True,
                                count=COUNT, size=10_000, seed=int(time.time()))

    def fetch_single():
        session = Imap(server, "box0")
        session.select()
        for number in range(1, COUNT + 1):
            session.command(f"FETCH {number} BODY.PEEK[]")
        session.close()

    def fetch_rows():
        session = Imap(server, "box1")
        session.select()
        session.command("FETCH 1:* (UID FLAGS ENVELOPE BODYSTRUCTURE)")
        session.close()

    return {
        "delivery, 1 connection": (COUNT, deliver(1)),
        "delivery, 64 connections": (COUNT, deliver(64)),
        "FETCH BODY[] of one message": (COUNT, fetch_single),
        "FETCH row of many (UID FLAGS ENVELOPE BODYSTRUCTURE)": (scale.many, fetch_rows),
    }


def count(server, scale):
    """Workload → what → how many an operation; and the system calls by name."""
    results, names = {}, {}
    for name, (operations, work) in workloads(server, scale).items():
        work()
        results[name], names[name] = {}, {}
        before = total(server, "ringpost_syncs_total")
        work()
        results[name]["syncs"] = (total(server, "ringpost_syncs_total") - before) / operations
        for call, number in traced(server.pid, work).items():
            names[name][call] = number / operations
        results[name]["system calls"] = sum(names[name].values())
        allocations = allocated(server.pid, work)
        if allocations is not None:
            results[name]["allocations"] = allocations / operations
    return results, names


def total(server, metric):
    return sum(value for key, value in server.metrics().items() if key.startswith(metric))


def traced(pid, work):
    """System calls by name while `work` goes on."""
    tracer = subprocess.Popen(["strace", "-f", "-c", "-p", str(pid)], stderr=subprocess.PIPE, text=True)
    time.sleep(1)
    work()
    tracer.terminate()
    text = tracer.communicate()[1]
    calls = {}
    for line in text.splitlines():
        found = re.match(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", line)
        if found and found[2] != "total":
            calls[found[2]] = int(found[1])
    return calls


def allocated(pid, work):
    """Calls of the allocator while `work` goes on; None without uprobes."""
    binary = RELEASE / "ringpost"
    subprocess.run(["perf", "probe", "-q", "--del", "probe_ringpost:*"], capture_output=True)
    for function in ALLOCATORS:
        if subprocess.run(["perf", "probe", "-q", "-x", binary, f"{function}={function}"], capture_output=True).returncode:
            return None
    events = ",".join(f"probe_ringpost:{function}" for function in ALLOCATORS)
    counter = subprocess.Popen(["perf", "stat", "-x;", "-e", events, "-p", str(pid)], stderr=subprocess.PIPE, text=True)
    time.sleep(0.5)
    work()
    counter.send_signal(2)
    text = counter.communicate()[1]
    subprocess.run(["perf", "probe", "-q", "--del", "probe_ringpost:*"], capture_output=True)
    numbers = re.findall(r"^(\d+);", text, re.MULTILINE)
    return sum(map(int, numbers)) if numbers else None


def lines(results, names):
    """Markdown."""
    out = ["| | what | counted | budget | |", "|---|---|---:|---:|---|"]
    for name, measured in results.items():
        for what, value in measured.items():
            budget = BUDGET[name][what]
            out.append(f"| {name} | {what} | {value:.2f} | {budget:g} | {'within' if value <= budget else '**over**'} |")
    out += ["", "System calls by name, for each operation:", ""]
    for name, calls in names.items():
        shown = ", ".join(f"{call} {number:.2f}" for call, number in sorted(calls.items(), key=lambda item: -item[1])
                          if number >= 0.005)
        out.append(f"- {name}: {shown or 'none'}")
    return out
