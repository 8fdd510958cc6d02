"""kill -9 while clients deliver, append, flag, copy, move, expunge, delete by POP3 and change folders.

Whatever was acknowledged is there after the next start, exactly once; what was not is there whole or not at all;
and the integrity walk finds nothing. RINGPOST_KILLS says how often (8), RINGPOST_SEED repeats the choices.
"""

import base64
import collections
import json
import os
import pathlib
import poplib
import random
import re
import subprocess
import threading
import time

from conftest import BINARY, LmtpClient, plain_message
from raw_imap import RawImap, number_set

KILLS = int(os.environ.get("RINGPOST_KILLS", 8))
# Every walk and every comparison looks at all of a mailbox: so often there are new ones.
KILLS_A_MAILBOX = 8
KEYWORDS = [f"bit{n}" for n in range(12)]
GROUP = 12


def source_of(identity, chance):
    """A message whose content goes into the row, into pages of its own, or into a file."""
    source = plain_message(identity, chance.choice([200, 3000, 20_000]))
    if chance.random() < 0.1:
        # What zstd can't make small is kept in a file of its own.
        source += base64.encodebytes(chance.randbytes(120_000)).replace(b"\n", b"\r\n")
    return source


def message_id(identity):
    return f"<{identity}@clients.example.org>"


class Folder:
    """What a folder has: UIDs, identities and flags."""

    def __init__(self, imap, name):
        imap.ok(f'EXAMINE "{name}"')
        untagged, _ = imap.ok("UID FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")
        self.flags, self.identities = {}, {}
        for response in untagged:
            if " FETCH " in response.line:
                uid = int(re.search(r"UID (\d+)", response.line)[1])
                self.flags[uid] = set(re.search(r"FLAGS \(([^)]*)\)", response.line)[1].split()) - {r"\Recent"}
                self.identities[uid] = re.search(rb"<(.*)@clients", response.literals[0])[1].decode()
        self.count = collections.Counter(self.identities.values())


class Work:
    """One client's work on a user's mailbox: what it was promised, and what it was promised nothing about."""

    def __init__(self, user, chance, name):
        self.user, self.chance, self.name = user, chance, name
        self.made = self.acknowledged = 0

    def new_identity(self):
        self.made += 1
        return f"{self.user.partition('@')[0]}.{self.name}.{self.made}"

    def prepare(self, server):
        """Once, before the first kill."""

    def connect(self, server):
        self.imap = RawImap(server.ports["imap"], self.user)

    def step(self):
        raise NotImplementedError

    def verify(self, imap):
        """After a kill."""
        raise NotImplementedError

    def run(self, stop):
        try:
            while not stop.is_set():
                self.step()
                self.acknowledged += 1
        except OSError:
            # The kill.
            pass


class Delivery(Work):
    """Messages for two recipients, each with a reply of its own."""

    def prepare(self, server):
        self.promised, self.sent = set(), {}
        self.recent = []

    def connect(self, server):
        self.lmtp = LmtpClient(server)

    def step(self):
        identity = self.new_identity()
        self.sent[identity] = source_of(identity, self.chance)
        self.recent.append(identity)
        replies = self.lmtp.deliver([self.user, self.other], self.sent[identity])
        assert all(reply.startswith("250") for reply in replies), replies
        self.promised.add(identity)

    def verify(self, imap):
        other = RawImap(imap.socket.getpeername()[1], self.other)
        for connection in (imap, other):
            folder = Folder(connection, "INBOX")
            uids = {identity: uid for uid, identity in folder.identities.items()}
            mine = {identity: n for identity, n in folder.count.items() if f".{self.name}." in identity}
            assert set(mine.values()) <= {1}
            assert self.promised <= set(mine) <= set(self.sent)
            for identity in self.recent:
                if identity in uids:
                    untagged, _ = connection.ok(f"UID FETCH {uids[identity]} (BODY.PEEK[])")
                    assert untagged[0].literals[0].endswith(self.sent[identity]), identity
        other.close()
        self.sent = dict.fromkeys(self.sent)
        self.recent = []


class Append(Work):
    """APPEND of one and of three messages: with the UIDs that were promised."""

    def prepare(self, server):
        imap = RawImap(server.ports["imap"], self.user)
        imap.ok("CREATE Appended")
        imap.close()
        self.promised, self.open = {}, []

    def step(self):
        identities = [self.new_identity() for _ in range(self.chance.choice([1, 1, 3]))]
        self.open.append(identities)
        sources = [source_of(identity, self.chance) for identity in identities]
        flags = [r"\Flagged", "kept"]
        _, tagged = self.imap.append("Appended", f"({' '.join(flags)})", *sources)
        assert tagged.startswith("OK"), tagged
        uids = number_set(re.search(r"\[APPENDUID \d+ ([\d:,]+)\]", tagged)[1])
        self.promised.update(zip(uids, identities, strict=True))
        self.open.pop()

    def verify(self, imap):
        folder = Folder(imap, "Appended")
        assert {uid: folder.identities.get(uid) for uid in self.promised} == self.promised
        assert all(flags == {r"\Flagged", "kept"} for flags in folder.flags.values())
        left = folder.count - collections.Counter(self.promised.values())
        for identities in self.open:
            found = [left.pop(identity, 0) for identity in identities]
            assert found in ([0] * len(found), [1] * len(found)), "an APPEND was half done"
        assert not left
        self.promised, self.open = folder.identities, []


class Flag(Work):
    """STORE of all flags of several messages: all have what was promised, or all what comes next."""

    def prepare(self, server):
        imap = RawImap(server.ports["imap"], self.user)
        imap.ok("CREATE Flagged")
        imap.append("Flagged", "()", *(plain_message(self.new_identity()) for _ in range(GROUP)))
        imap.close()
        self.number, self.promised, self.open = 0, set(), set()

    def connect(self, server):
        super().connect(server)
        self.imap.ok("SELECT Flagged")

    def step(self):
        self.number += 1
        self.open = {word for bit, word in enumerate(KEYWORDS) if self.number >> bit & 1}
        self.imap.ok(f"STORE 1:{GROUP} FLAGS ({' '.join(self.open)})")
        self.promised = self.open

    def verify(self, imap):
        flags = list(Folder(imap, "Flagged").flags.values())
        assert len(flags) == GROUP and flags in ([self.promised] * GROUP, [self.open] * GROUP)
        self.promised = self.open = flags[0]


class Move(Work):
    """MOVE there and back, and copies: a message is in one of the two folders, never in both or none."""

    def prepare(self, server):
        imap = RawImap(server.ports["imap"], self.user)
        for name in ("Left", "Right", "Copies"):
            imap.ok(f"CREATE {name}")
        identities = [self.new_identity() for _ in range(GROUP)]
        imap.append("Left", "()", *(source_of(identity, self.chance) for identity in identities))
        imap.close()
        self.place = dict.fromkeys(identities, "Left")
        self.copies, self.open_move, self.open_copy = collections.Counter(), [], []

    def step(self):
        here = self.chance.choice(sorted(set(self.place.values())))
        there = "Right" if here == "Left" else "Left"
        untagged, _ = self.imap.ok(f"SELECT {here}")
        folder = Folder(self.imap, here)
        self.imap.ok(f"SELECT {here}")
        uids = sorted(self.chance.sample(sorted(folder.identities), min(3, len(folder.identities))))
        identities = [folder.identities[uid] for uid in uids]
        uid_set = ",".join(map(str, uids))
        if self.chance.random() < 0.2:
            self.open_copy = identities
            self.imap.ok(f"UID COPY {uid_set} Copies")
            self.copies.update(identities)
            self.open_copy = []
        self.open_move = identities
        self.imap.ok(f"UID MOVE {uid_set} {there}")
        self.place.update(dict.fromkeys(identities, there))
        self.open_move = []

    def verify(self, imap):
        found = {}
        for name in ("Left", "Right"):
            for identity, count in Folder(imap, name).count.items():
                assert count == 1 and identity not in found, f"{identity} is there twice"
                found[identity] = name
        moved = {identity for identity in self.place if found.get(identity) != self.place[identity]}
        assert set(found) == set(self.place) and moved in (set(), set(self.open_move))
        copies = Folder(imap, "Copies").count
        assert copies in (self.copies, self.copies + collections.Counter(self.open_copy))
        self.place, self.copies, self.open_move, self.open_copy = found, copies, [], []


class Expunge(Work):
    """Messages that come and go: what was expunged stays away."""

    def prepare(self, server):
        imap = RawImap(server.ports["imap"], self.user)
        imap.ok("CREATE Passing")
        imap.close()
        self.present, self.gone, self.open = set(), set(), set()

    def connect(self, server):
        super().connect(server)
        self.imap.ok("SELECT Passing")

    def step(self):
        identities = {self.new_identity() for _ in range(3)}
        self.open = identities
        _, tagged = self.imap.append("Passing", "()", *(source_of(one, self.chance) for one in identities))
        assert tagged.startswith("OK"), tagged
        self.present |= identities
        uids = re.search(r"\[APPENDUID \d+ ([\d:,]+)\]", tagged)[1]
        self.imap.ok(rf"UID STORE {uids} +FLAGS.SILENT (\Deleted)")
        self.open = identities
        self.imap.ok(f"UID EXPUNGE {uids}")
        self.present -= identities
        self.gone |= identities
        self.open = set()

    def verify(self, imap):
        count = Folder(imap, "Passing").count
        assert set(count.values()) <= {1} and not set(count) & self.gone
        found = set(count) & self.open
        assert found in (set(), self.open), "an APPEND or EXPUNGE was half done"
        assert set(count) - self.open == self.present - self.open
        self.gone |= self.open - found
        self.present, self.open = set(count), set()


class Pop(Work):
    """Deliveries, and DELE of what was delivered: all of it at QUIT."""

    def prepare(self, server):
        self.present, self.gone, self.open, self.delivering = set(), set(), set(), set()

    def connect(self, server):
        self.server = server
        self.lmtp = LmtpClient(server)

    def step(self):
        for _ in range(3):
            identity = self.new_identity()
            self.delivering = {identity}
            assert self.lmtp.deliver([self.user], source_of(identity, self.chance))[0].startswith("250")
            self.present.add(identity)
            self.delivering = set()
        try:
            pop = poplib.POP3("127.0.0.1", self.server.ports["pop3"], timeout=10)
            pop.user(self.user)
            pop.pass_("demo")
            for number in range(1, pop.stat()[0] + 1):
                pop.dele(number)
            self.open = set(self.present)
            pop.quit()
        except poplib.error_proto as refused:
            raise ConnectionError(refused) from refused
        self.gone |= self.present
        self.present, self.open = set(), set()

    def verify(self, imap):
        count = Folder(imap, "INBOX").count
        assert set(count.values()) <= {1} and not set(count) & self.gone
        found = set(count) & self.open
        assert found in (set(), self.open), "a QUIT was half done"
        assert set(count) - self.open - self.delivering == self.present - self.open
        self.gone |= self.open - found
        self.present, self.open, self.delivering = set(count), set(), set()


class Tree(Work):
    """CREATE, RENAME and DELETE of folders with messages in them."""

    def prepare(self, server):
        self.promised, self.open = set(), None

    def step(self):
        if len(self.promised) < 5 or self.chance.random() < 0.4:
            name = f"tree{self.new_identity().rpartition('.')[2]}"
            self.open = self.promised | {name}
            self.imap.ok(f"CREATE {name}")
        else:
            name = self.chance.choice(sorted(self.promised))
            if self.chance.random() < 0.5:
                new = f"{name[:12]}x{self.made}"
                self.open = self.promised - {name} | {new}
                self.imap.ok(f"RENAME {name} {new}")
            else:
                self.open = self.promised - {name}
                self.imap.ok(f"DELETE {name}")
        self.promised = self.open

    def verify(self, imap):
        untagged, _ = imap.ok('LIST "" "tree*"')
        found = {response.line.rpartition(" ")[2] for response in untagged}
        assert found in (self.promised, self.open or self.promised)
        self.promised, self.open = found, None


def mailboxes(server):
    accounts = json.loads(server.admin("--json", "user", "list"))
    return {account["username"]: pathlib.Path(account["mailbox"]) for account in accounts}


def walk(server, users):
    """The integrity walk over mailboxes while no server runs. A kill may leave files that belong to nothing
    (FORMAT.md, I11), nothing else; they are removed by the repair."""
    paths = mailboxes(server)
    command = ["gromox-mbck", "-p", *(paths[user] for user in users)]
    done = subprocess.run(command, executable=BINARY, capture_output=True, text=True, timeout=120)
    shown = done.stdout + done.stderr
    assert done.returncode == 0, shown
    problems = [line for line in done.stdout.splitlines() if not line.endswith((": ok", " repaired"))]
    assert all(": I11: " in line and "belongs to nothing" in line for line in problems), shown
    return len(problems)


def works_of(server, number, chance):
    """Users of their own with all the works on them."""
    first, second, third = (f"{name}{number}@example.test" for name in ("kill", "other", "pop"))
    for user in (first, second, third):
        server.add_user(user)
    works = [Delivery(first, chance, "delivery"), Delivery(first, chance, "more"), Append(first, chance, "append"),
             Flag(first, chance, "flag"), Move(first, chance, "move"), Expunge(first, chance, "expunge"),
             Tree(first, chance, "tree"), Pop(third, chance, "pop")]
    for work in works:
        work.other = second
        work.prepare(server)
    return works, (first, second, third)


def verify(server, works):
    for work in works:
        imap = RawImap(server.ports["imap"], work.user)
        work.verify(imap)
        imap.close()


def test_acknowledged_changes_survive_kill(server):
    seed = int(os.environ.get("RINGPOST_SEED", random.randrange(1 << 30)))
    print(f"RINGPOST_SEED={seed}")
    chance = random.Random(seed)
    everything, orphans = [], 0
    for number in range(KILLS):
        if number % KILLS_A_MAILBOX == 0:
            works, users = works_of(server, number, chance)
            everything += works
        stop = threading.Event()
        for work in works:
            work.connect(server)
        threads = [threading.Thread(target=work.run, args=(stop,)) for work in works]
        for thread in threads:
            thread.start()
        time.sleep(chance.uniform(0.05, 0.8))
        server.kill()
        stop.set()
        for thread in threads:
            thread.join(timeout=30)
            assert not thread.is_alive()
        if chance.random() < 0.3:
            # Another while the first one's mailboxes are opened again.
            server.start()
            for user in users:
                RawImap(server.ports["imap"], user).socket.sendall(b"a SELECT INBOX\r\n")
            time.sleep(chance.uniform(0, 0.02))
            server.kill()
        orphans += walk(server, users)
        server.start()
        verify(server, works)
    verify(server, everything)
    done = collections.Counter()
    for work in everything:
        done[type(work).__name__] += work.acknowledged
    print(f"{KILLS} kills; acknowledged: {dict(done)}; {orphans} files without a row removed")
    assert all(done[type(work).__name__] >= KILLS for work in everything), done
