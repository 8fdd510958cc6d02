"""Four IMAP sessions, a POP3 session and deliveries on one mailbox against a model; QRESYNC from earlier states."""

import os
import poplib
import random
import re

from conftest import LmtpClient, plain_message
from raw_imap import RawImap, Selected, number_set

STEPS = int(os.environ.get("RINGPOST_STEPS", 300))
FLAGS = [r"\Seen", r"\Answered", r"\Flagged", r"\Deleted", r"\Draft", "$Junk", "work"]
USER = "model@example.test"


class World:
    def __init__(self, server, seed):
        self.server, self.random = server, random.Random(seed)
        setup = RawImap(server.ports["imap"], USER)
        setup.ok("CREATE Other")
        setup.close()
        self.sessions = [Selected(server.ports["imap"], USER, "INBOX") for _ in range(4)]
        for session in self.sessions[2:]:
            session.imap.ok("ENABLE QRESYNC")
        self.lmtp = LmtpClient(server)
        self.messages, self.uid_next, self.past, self.made = {}, 1, [], 0

    def some_uids(self):
        known = sorted(self.messages)
        return sorted(self.random.sample(known, self.random.randint(1, min(4, len(known))))) if known else []

    def some_flags(self):
        return self.random.sample(FLAGS, self.random.randint(0, 3))

    def step(self):
        action = self.random.choice([self.append, self.deliver, self.store, self.store, self.copy, self.move_away,
                                     self.expunge, self.pop])
        action(self.random.choice(self.sessions))
        return action.__name__

    def arrived(self, flags):
        self.messages[self.uid_next] = set(flags)
        self.uid_next += 1

    def append(self, session):
        flags = self.some_flags()
        self.made += 1
        untagged, tagged = session.imap.ok(f"APPEND INBOX ({' '.join(flags)})", plain_message(self.made))
        assert int(re.search(r"\[APPENDUID \d+ (\d+)\]", tagged)[1]) == self.uid_next
        session.take(untagged)
        self.arrived(flags)

    def deliver(self, _):
        self.made += 1
        assert self.lmtp.deliver([USER], plain_message(self.made))[0].startswith("250")
        self.arrived([])

    def store(self, session):
        session.refresh()
        uids, flags = self.some_uids(), set(self.some_flags())
        if not uids:
            return
        kind = self.random.choice(["", "+", "-"])
        untagged, _ = session.imap.ok(f"UID STORE {','.join(map(str, uids))} {kind}FLAGS ({' '.join(flags)})")
        session.take(untagged)
        for uid in uids:
            known = self.messages[uid]
            self.messages[uid] = {"": flags, "+": known | flags, "-": known - flags}[kind].copy()

    def copy(self, session):
        session.refresh()
        if uids := self.some_uids():
            untagged, _ = session.imap.ok(f"UID COPY {','.join(map(str, uids))} INBOX")
            session.take(untagged)
            for uid in uids:
                self.arrived(self.messages[uid])

    def move_away(self, session):
        session.refresh()
        if uids := self.some_uids():
            untagged, _ = session.imap.ok(f"UID MOVE {','.join(map(str, uids))} Other")
            session.take(untagged)
            for uid in uids:
                del self.messages[uid]

    def expunge(self, session):
        session.refresh()
        untagged, _ = session.imap.ok("EXPUNGE")
        session.take(untagged)
        self.messages = {uid: flags for uid, flags in self.messages.items() if r"\Deleted" not in flags}

    def pop(self, _):
        pop = poplib.POP3("127.0.0.1", self.server.ports["pop3"])
        pop.user(USER)
        pop.pass_("demo")
        count = pop.stat()[0]
        assert count == len(self.messages)
        if count:
            number = self.random.randint(1, count)
            pop.dele(number)
            del self.messages[sorted(self.messages)[number - 1]]
        pop.quit()

    def compare(self, what):
        for number, session in enumerate(self.sessions):
            session.refresh()
            assert session.picture() == self.messages, (what, number)

    def resynchronise(self):
        """QRESYNC from every remembered state gives the difference to now."""
        for validity, modseq, known in self.past:
            imap = RawImap(self.server.ports["imap"], USER)
            imap.ok("ENABLE QRESYNC")
            untagged, _ = imap.ok(f"SELECT INBOX (QRESYNC ({validity} {modseq}))")
            picture = {uid: set(flags) for uid, flags in known.items()}
            for response in untagged:
                if match := re.match(r"\* VANISHED \(EARLIER\) ([\d:,]+)", response.line):
                    for uid in number_set(match[1]):
                        picture.pop(uid, None)
                elif " FETCH " in response.line:
                    uid = int(re.search(r"UID (\d+)", response.line)[1])
                    flags = re.search(r"FLAGS \(([^)]*)\)", response.line)[1].split()
                    picture[uid] = set(flags) - {r"\Recent"}
            assert picture == self.messages, modseq
            imap.close()
        imap = RawImap(self.server.ports["imap"], USER)
        _, line = imap.ok("ENABLE CONDSTORE")
        status = imap.ok("STATUS INBOX (HIGHESTMODSEQ UIDVALIDITY)")[0][0].line
        state = [int(re.search(rf"{name} (\d+)", status)[1]) for name in ("UIDVALIDITY", "HIGHESTMODSEQ")]
        self.past.append((*state, {uid: set(flags) for uid, flags in self.messages.items()}))
        imap.close()


def test_sessions_agree_with_the_model(server):
    seed = int(os.environ.get("RINGPOST_SEED", random.randrange(1 << 30)))
    print(f"RINGPOST_SEED={seed}")
    server.add_user(USER)
    world = World(server, seed)
    for number in range(STEPS):
        what = world.step()
        world.compare((number, what))
        if number % 25 == 0:
            world.resynchronise()
