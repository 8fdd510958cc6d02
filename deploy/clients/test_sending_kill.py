"""Mail that comes by SMTP and by submission, for mailboxes here and for others, with kill -9 at any moment: what was
acknowledged is in its mailbox, in the queue as `gromox-mailq` lists it, or at its next hop, at every moment.

RINGPOST_QUEUED says how many messages (300; 10000 is the whole test), RINGPOST_SEED repeats the choices.
"""

import base64
import collections
import imaplib
import random
import re
import subprocess
import threading
import time

from conftest import dot_stuffed
from next_hop import NextHop
from test_queue import MESSAGES, SEED, source, uncertain
from test_smtp import ALICE, Raw, Sending

LOCAL = ["bob@example.test", "carol@example.test"]
KILLS = max(8, MESSAGES // 300)
CLIENTS = 4
# A client's between two messages, so that all kills find it at work.
PAUSE_S = 0.5 * KILLS * CLIENTS / MESSAGES


class Client(threading.Thread):
    """Sends messages until there are enough. One without an answer is sent again, as every SMTP client does."""

    def __init__(self, work, submits, seed):
        super().__init__(daemon=True)
        self.work, self.submits, self.chance = work, submits, random.Random(seed)
        self.connection = None
        self.start()

    def connect(self):
        self.connection = Raw(self.work.sending.port if self.submits else self.work.sending.ports["lmtp"])
        if self.submits:
            secret = base64.b64encode(f"\0{ALICE}\0demo".encode()).decode()
            assert self.connection.say(f"AUTH PLAIN {secret}").startswith("235")

    def run(self):
        while (identity := self.work.take()) is not None:
            recipients = [one for one in LOCAL if self.chance.random() < 0.6]
            if self.submits:
                names = [name for name in "ab" if self.chance.random() < 0.7]
                names += ["no"] if self.chance.random() < 0.1 else []
                recipients += [f"{identity}.{name}@remote.test" for name in names]
            recipients = recipients or LOCAL[:1]
            self.chance.shuffle(recipients)
            time.sleep(self.chance.expovariate(1 / PAUSE_S))
            while not self.send(identity, recipients):
                time.sleep(0.05)

    def send(self, identity, recipients):
        at_end = False
        try:
            if self.connection is None:
                self.connect()
            sender = ALICE if self.submits else "somebody@elsewhere.test"
            replies = self.connection.envelope(sender, *recipients)
            assert all(reply.startswith("250") for reply in replies), replies
            assert self.connection.say("DATA").startswith("354")
            at_end = True
            self.connection.send(dot_stuffed(source(identity)) + b".\r\n")
            if self.connection.reply().startswith("250"):
                self.work.promise(identity, recipients)
                return True
        except (OSError, AssertionError):
            if self.connection:
                self.connection.file.close()
                self.connection.socket.close()
            self.connection = None
        if at_end:
            with self.work.lock:
                self.work.resent[f"<{identity}@test>"] += 1
        return False


class Work:
    def __init__(self, sending):
        self.sending, self.lock = sending, threading.Lock()
        self.next, self.promised, self.resent = 0, {}, collections.Counter()

    def take(self):
        with self.lock:
            if self.next == MESSAGES:
                return None
            self.next += 1
            return f"m{self.next}"

    def promise(self, identity, recipients):
        with self.lock:
            self.promised[f"<{identity}@test>"] = recipients


def listed(sending):
    """Whom the queue has mail for, as `gromox-mailq` says."""
    link = sending.data.parent / "gromox-mailq"
    if not link.exists():
        from conftest import BINARY
        link.symlink_to(BINARY)
    shown = subprocess.run([link, "--json", "-c", sending.serve.configuration], check=True, capture_output=True,
                           text=True).stdout
    return set(re.findall(r"[a-z0-9.]+@remote\.test", shown))


def in_mailbox(sending, user):
    """How often each message is in an inbox."""
    imap = imaplib.IMAP4("127.0.0.1", sending.base + 143)
    imap.login(user, "demo")
    count = int(imap.select("INBOX")[1][0])
    answer = imap.fetch(f"1:{count}", "(BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")[1]
    imap.logout()
    fields = [part[1].decode() for part in answer if isinstance(part, tuple)]
    return collections.Counter(field.split(":", 1)[1].strip() for field in fields if ":" in field)


def test_acknowledged_mail_is_in_a_mailbox_in_the_queue_or_at_the_next_hop(tmp_path):
    chance = random.Random(SEED)
    hop = NextHop(SEED).up()
    hop.refuse = lambda recipient: ".no@" in recipient
    sending = Sending(tmp_path, hop, log_level="4")
    sending.serve.directives["imap_listen"] = f"127.0.0.1:{sending.base + 143}"
    serve = sending.serve.__enter__()
    kills, moments, started = 0, 0, time.monotonic()
    try:
        work = Work(sending)
        clients = [Client(work, number % 2 == 0, SEED * 100 + number) for number in range(CLIENTS)]
        while any(client.is_alive() for client in clients) or kills < KILLS:
            hop.cut, hop.slow = chance.choice([0, 0, 0.3]), chance.choice([0, 0, 0.3])
            hop.temporary, hop.greylist = chance.choice([0, 0, 0.3]), chance.random() < 0.2
            hop.down() if chance.random() < 0.3 else hop.up()
            time.sleep(chance.uniform(0.1, 1.0))
            # Promised before, so it must be somewhere at the moment of the kill.
            with work.lock:
                promised = dict(work.promised)
            sending.kill()
            kills += 1
            queued = listed(sending)
            with hop.lock:
                copies = set(hop.copies)
            for identity, recipients in promised.items():
                for recipient in recipients:
                    if recipient not in LOCAL and ".no@" not in recipient:
                        moments += 1
                        assert (identity, recipient) in copies or recipient in queued, (kills, identity, recipient)
            serve.__enter__()
        hop.cut, hop.slow, hop.temporary, hop.greylist = 0, 0, 0, False
        hop.up()
        sending.wait_until_empty(300)
        reports = collections.Counter(sending.reports("alice"))
        boxes = {user: in_mailbox(sending, user) for user in LOCAL}
        seconds = time.monotonic() - started
    finally:
        log = serve.log.read_text(errors="replace")
        serve.__exit__()
    counted = sum(uncertain(log).values())
    lost, twice, again = [], 0, 0
    for identity, recipients in work.promised.items():
        # A client that got no answer sent it so often before.
        resent = work.resent[identity]
        for recipient in recipients:
            if recipient in LOCAL:
                found = boxes[recipient][identity]
            elif ".no@" in recipient:
                found = reports[identity, recipient, "failed"]
            else:
                found = hop.copies[identity, recipient]
                twice += max(0, found - 1 - resent)
                assert hop.settled[identity, recipient] <= 1 + resent, (identity, recipient)
                found = min(found, 1 + resent)
            if not found:
                lost.append((identity, recipient))
            assert found <= 1 + resent, (identity, recipient, found)
            again += max(0, found - 1)
    print(f"{len(work.promised)} promised of {MESSAGES}, {sum(len(to) for to in work.promised.values())} recipients, "
          f"{sum(hop.copies.values())} copies sent on, {sum(sum(box.values()) for box in boxes.values())} in mailboxes, "
          f"{sum(reports.values())} reports, {kills} kills with {moments} looks, {sum(work.resent.values())} sent again "
          f"by clients of which {again} twice, {twice} sent twice to the next hop, {counted} counted, {seconds:.0f} s")
    assert not lost, lost[:10]
    assert len(work.promised) == MESSAGES
    assert twice <= counted
