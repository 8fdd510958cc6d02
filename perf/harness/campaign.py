"""The order of things: fill, then measure in rounds, the servers in turn; then what ringpost is asked alone."""

import contextlib
import dataclasses
import os
import pathlib
import time

from . import cores, disk, load, loads, machine, memory, single
from .populate import Messages, fill
from .servers import DOMAIN, Dovecot, Ringpost


@dataclasses.dataclass(frozen=True)
class Scale:
    """How much of everything."""

    mailboxes: int
    many: int
    bodies: int
    changed: int
    crowded: int
    pop3_mailboxes: int
    pop3_messages: int
    cold_messages: int
    seconds: float
    warmup: float
    rounds: tuple
    layouts: tuple
    connections: int
    turns: int
    downloads: int
    disk_messages: int


FULL = Scale(mailboxes=1000, many=100_000, bodies=20_000, changed=10_000, crowded=20_000, pop3_mailboxes=20,
             pop3_messages=250, cold_messages=10, seconds=4, warmup=1, rounds=(0, 1, 2), layouts=("sdbox", "maildir"),
             connections=10_000, turns=10_000, downloads=240_000, disk_messages=5000)
QUICK = Scale(mailboxes=200, many=20_000, bodies=5000, changed=2000, crowded=5000, pop3_mailboxes=4,
              pop3_messages=250, cold_messages=5, seconds=1.5, warmup=0.5, rounds=(0,), layouts=("sdbox",),
              connections=2000, turns=0, downloads=0, disk_messages=1000)

CI = dataclasses.replace(QUICK, mailboxes=100, many=5000, bodies=2000, changed=1000, crowded=2000, seconds=1.0,
                         connections=500)


class Campaign:
    """Servers with their data below `folder`, and what was found."""

    def __init__(self, folder, scale, results, only=None, say=print):
        self.folder, self.scale, self.results, self.only, self.say = pathlib.Path(folder), scale, results, only, say
        self.names = ["ringpost", *(f"dovecot {layout}" for layout in scale.layouts)]

    @contextlib.contextmanager
    def start(self, name, **options):
        """Starts a server; its metrics are added to what is known of held cores when it stops."""
        folder = self.folder / name.replace(" ", "-")
        if name == "ringpost":
            options.pop("fsync", None)
            server = Ringpost(folder, options.pop("mailboxes", self.scale.mailboxes), **options)
        else:
            options.pop("mailboxes", None)
            server = Dovecot(folder, name.split()[1], **options)
        with server:
            yield server
            if name == "ringpost":
                cores.add_held(self.results.held, server.metrics())

    def measure(self, row, name, round, work):
        """Runs one row's work; what it raises is noted, and the campaign goes on."""
        if self.only and not any(word in row for word in self.only):
            return
        begin = time.monotonic()
        try:
            measured = work()
        except Exception as error:  # A row that fails must not take the others with it.
            self.results.fail(name, row, f"{type(error).__name__}: {str(error)[:300]}")
            measured = {}
        self.results.add(name, measured, round)
        shown = ", ".join(f"{key} {value:.4g}" for key, value in measured.items())
        self.say(f"  {name}: {row} ({time.monotonic() - begin:.1f} s): {shown or 'failed'}")

    def fill(self, name):
        """The same messages on every server; syncs are left out while filling Dovecot."""
        scale = self.scale
        begin = time.monotonic()
        small, large = Messages(2500), Messages(10_000, seed=2)
        with self.start(name, fsync="never") as server:
            for box, messages, count in (("box0", large, scale.bodies), ("box1", small, scale.many),
                                         ("box2", small, scale.changed), ("box3", small, scale.crowded),
                                         ("box6", small, 100)):
                digest = fill(server, box, messages, count)
                if self.results.digests.setdefault(box, digest) != digest:
                    raise AssertionError("servers got different messages")
            for number in range(8):
                fill(server, f"box{8 + number}", large, scale.bodies // 10)
            load.populate(server, user="pop{}@" + DOMAIN, mailboxes=scale.pop3_mailboxes,
                          messages=scale.pop3_messages, size=10_000, seed=loads.POP3_SEED)
            load.populate(server, user="cold{}@" + DOMAIN, mailboxes=scale.mailboxes,
                          messages=scale.cold_messages, size=3000, seed=3)
        self.say(f"  {name}: filled ({time.monotonic() - begin:.1f} s)")

    def fill_all(self):
        for name in self.names:
            self.fill(name)

    def compare(self):
        """All rows that have a ratio."""
        for round in self.scale.rounds:
            # Each round begins with another server, so that none always runs on a disk that is busy or rested.
            turn = round % len(self.names)
            for name in self.names[turn:] + self.names[:turn]:
                self.compare_one(name, round)

    def compare_one(self, name, round):
        scale, digests = self.scale, self.results.digests
        machine.drop_page_cache()
        with self.start(name) as server:
            measure = lambda row, work: self.measure(row, name, round, work)
            measure("select", lambda: single.select(server, scale, "cold"))
            measure("cold-start", lambda: loads.cold_start(server, scale, round))
            measure("select", lambda: single.select(server, scale, "warm"))
            measure("fetch-body", lambda: single.fetch_bodies(server, scale, digests))
            measure("lists", lambda: single.fetch_lists(server, scale))
            measure("search", lambda: single.search(server, single.BODIES, scale.bodies, "20k"))
            measure("search", lambda: single.search(server, single.MANY, scale.many, "100k"))
            measure("search-body", lambda: single.search_body(server, scale))
            measure("change", lambda: single.change(server, scale, round))
            measure("pop3", lambda: loads.pop3(server, scale, round))
            measure("logins", lambda: loads.logins(server, scale, round))
            measure("append", lambda: loads.append(server, scale, round))
            measure("deliver", lambda: loads.deliver(server, scale, round))
            measure("crowded", lambda: loads.deliver_crowded(server, scale, round))
        machine.drop_page_cache()
        options = {"shards": 1} if name == "ringpost" else {}
        with self.start(name, **options) as server:
            self.measure("noop", name, round, lambda: cores.noop_beside_cold_reads(server, scale))
        if len(cpus := sorted(os.sched_getaffinity(0))) > 1:
            on = lambda cpu: ("taskset", "--cpu-list", str(cpu))
            with self.start(name, wrapper=on(cpus[0]), **options) as server:
                self.measure("apart", name, round, lambda: loads.deliver(server, scale, round + 50, "apart", on(cpus[1])))

    def alone(self):
        """Rows that have a limit, and what of Dovecot stands beside them."""
        scale = self.scale
        for name in self.names[:2]:
            self.idle(name, "idle-plain")
            self.idle(name, "idle-tls", tls=True)
        self.idle("ringpost", "idle-own", own=True)
        if scale.turns:
            machine.drop_page_cache()
            with self.start("ringpost", mailboxes=scale.turns) as server:
                self.measure("many-mailboxes", "ringpost", 0, lambda: self.in_turn(server))
        if scale.downloads:
            self.measure("downloads", "ringpost", 0, self.downloads)
        with self.start("ringpost") as server:
            self.measure("notify", "ringpost", 0, lambda: self.notify(server))
        self.measure("queueing", "ringpost", 0, lambda: loads.queueing(scale))
        self.measure("outgoing", "ringpost", 0, lambda: loads.outgoing(scale))
        self.measure("shards", "ringpost", 0, lambda: cores.shards(
            lambda count: self.start("ringpost", shards=count), scale))
        self.measure("forwarded", "ringpost", 0, cores.forwarded)
        fresh = self.folder / "disk"
        self.measure("disk", "ringpost", 0, lambda: disk.bytes_for_a_byte(
            lambda: Ringpost(fresh, disk.MAILBOXES), fresh / "data", scale.disk_messages))
        self.results.add("ringpost", cores.held_result(self.results.held))

    def idle(self, name, key, tls=False, own=False):
        """A process a session is what Dovecot has: two hundred of its sessions tell as much as thousands."""
        count = self.scale.connections if name == "ringpost" else 200
        mailboxes = min(count, self.scale.mailboxes) if own else 20
        with self.start(name, **({} if name == "ringpost" else {"tls": tls})) as server:
            self.measure(key, name, 0, lambda: {key: memory.idle_connections(
                server, mailboxes if own else count, mailboxes, tls, ("SELECT INBOX", "IDLE") if own else ()) / 1024})

    def in_turn(self, server):
        """A message for each mailbox, then each opened, listed and left."""
        done = memory.Peak(server)
        with done:
            load.run(server, "deliver", connections=32, mailboxes=self.scale.turns, closed=True,
                     count=self.scale.turns, size=3000, seed=12)
            load.run(server, "visits", ("imap",), connections=8, mailboxes=self.scale.turns, closed=True,
                     count=self.scale.turns)
        return {"many-mailboxes": done.peak / (1 << 20)}

    def downloads(self):
        with self.start("ringpost") as server:
            fill(server, "box7", Messages(2500, seed=9), self.scale.downloads)
        machine.drop_page_cache()
        with self.start("ringpost") as server:
            done = memory.Peak(server)
            with done:
                for _ in memory.download_by_many(server, "box7", 5):
                    pass
            return {"downloads": done.peak / (1 << 20)}

    def notify(self, server):
        done = load.run(server, "idle-with-deliveries", ("imap", "lmtp"), connections=self.scale.connections,
                        mailboxes=self.scale.mailboxes, rate=500, warmup=2,
                        duration=self.scale.seconds * 3, size=3000)
        latency = done["operations"]["notify"]["latency_us"]
        return {"notify-p99": latency["p99"] / 1e3}
