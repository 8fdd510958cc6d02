"""The queue: everything that was taken over reaches its next hop or is reported, whatever happens on the way.

RINGPOST_QUEUED says how many messages (300; 10000 is the whole test), RINGPOST_SEED repeats the choices.
"""

import collections
import contextlib
import email
import email.policy
import os
import poplib
import random
import re
import ssl
import struct
import subprocess
import threading
import time
import urllib.request

import pytest

from conftest import BINARY, ROOT, LmtpClient, dot_stuffed, need
from next_hop import NextHop
from postfix import Postfix
from serving import Serve, make_certificate, make_data

MESSAGES = int(os.environ.get("RINGPOST_QUEUED", 300))
SEED = int(os.environ.get("RINGPOST_SEED", 1))
GROUP = 4
FAST = {"queue_retry_first": "1s", "queue_retry_longest": "2s", "cache_scan_interval": "1s",
        "response_interval": "0"}


class Queue:
    """A server whose outgoing mail goes to `url`."""

    def __init__(self, tmp_path, url, **directives):
        self.data, self.base = make_data(tmp_path)
        self.serve = Serve(tmp_path, {
            "data_path": self.data, "lda_listen": f"[::1]:{self.base + 24}", "pop3_listen": f"[::1]:{self.base + 110}",
            "admin_listen": f"[::1]:{self.base + 99}", "outgoing_smtp_url": url, "shards": "2",
            "delivery.cfg:host_id": "mx.example.test", **FAST, **directives}).as_demo(self.base)
        self.ports = self.serve.ports

    def admin(self, *arguments):
        subprocess.run([BINARY, "admin", "--data", self.data, *arguments], check=True, capture_output=True)

    def group(self, name, members):
        self.admin("list", "add", f"{name}@example.test")
        for member in members:
            self.admin("member", "add", f"{name}@example.test", member)

    def client(self):
        return Lmtp6(self)

    def kill(self):
        self.serve.process.kill()
        self.serve.process.wait()

    def metrics(self):
        with urllib.request.urlopen(f"http://[::1]:{self.ports['admin']}/metrics") as answer:
            text = answer.read().decode()
        values = collections.Counter()
        for name, value in re.findall(r"^ringpost_(\w+)\{[^}]*\} ([0-9.e+-]+)$", text, re.M):
            values[name] += float(value)
        return values

    def mailq(self):
        link = self.data.parent / "gromox-mailq"
        if not link.exists():
            link.symlink_to(BINARY)
        return subprocess.run([link, "-c", self.serve.configuration], check=True, capture_output=True,
                              text=True).stdout

    def wait_until_empty(self, limit=120):
        deadline = time.monotonic() + limit
        while self.metrics()["queue_size"] > 0:
            assert time.monotonic() < deadline, self.mailq()[-3000:] + self.serve.log.read_text()[-3000:]
            time.sleep(0.2)

    def mailbox(self, user="alice"):
        """All messages of a user's inbox that are not the demo's."""
        pop = poplib.POP3("::1", self.ports["pop3"])
        pop.user(f"{user}@example.test")
        pop.pass_("demo")
        found = []
        for number in range(1, pop.stat()[0] + 1):
            source = b"\r\n".join(pop.retr(number)[1])
            found.append(email.message_from_bytes(source, policy=email.policy.default))
        pop.quit()
        return found

    def reports(self, user="alice"):
        """Every report in a user's inbox: (Message-ID that it is about, recipient, action)."""
        reports = []
        for message in self.mailbox(user):
            if message.get_content_type() != "multipart/report":
                continue
            assert not message.defects and message["Auto-Submitted"] == "auto-replied"
            assert message["Return-Path"] == "<>"
            status, original = list(message.iter_parts())[1:]
            assert status.get_content_type() == "message/delivery-status"
            blocks = status.get_payload()
            about = str(original.get_payload()[0]["Message-ID"]) if original.is_multipart() else \
                re.search(r"(?im)^message-id:\s*(\S+)", original.get_payload())[1]
            for block in blocks[1:]:
                recipient = block["Final-Recipient"].split(";")[1].strip()
                reports.append((about, recipient, block["Action"]))
        return reports


class Lmtp6(LmtpClient):
    def __init__(self, queue):
        import socket
        self.socket = socket.create_connection(("::1", queue.ports["lmtp"]))
        self.file = self.socket.makefile("rb")
        self.reply()
        assert self.command("LHLO client.example.org").startswith("250")


def source(identity, size=600):
    return (f"From: <alice@example.test>\r\nTo: <somebody@remote.test>\r\nSubject: {identity}\r\n"
            f"Message-ID: <{identity}@test>\r\n\r\n" + ".dot first\r\n" + "text \r\n" * (size // 7)).encode()


def members(identity=""):
    return [f"r{n}@remote.test" for n in range(GROUP)]


def test_a_message_goes_out_and_its_sender_is_told(tmp_path):
    hop = NextHop().up()
    hop.refuse = lambda recipient: recipient.startswith("r1@")
    with (queue := Queue(tmp_path, f"smtp://127.0.0.1:{hop.port}")).serve:
        queue.group("out", members())
        client = queue.client()
        wait_for(lambda: client.command("RSET") and client.command("MAIL FROM:<alice@example.test>") and
                 client.command("RCPT TO:<out@example.test>").startswith("250"))
        client.command("RSET")
        assert client.deliver(["out@example.test"], source("first"), "alice@example.test")[0].startswith("250")
        queue.wait_until_empty()
        assert {recipient for _, recipient in hop.copies} == {"r0@remote.test", "r2@remote.test", "r3@remote.test"}
        sender, recipients, data = hop.messages[0]
        assert sender.startswith("MAIL FROM:<alice@example.test>")
        assert data.endswith(source("first")) and b"Return-Path" not in data and data.startswith(b"Received: from ")
        assert queue.reports() == [("<first@test>", "r1@remote.test", "failed")]
        metrics = queue.metrics()
        assert metrics["queue_delivered_total"] == GROUP and metrics["queue_bounced_total"] == 1
        # The report itself is delivered, and reported by nobody.
        assert metrics["queue_reports_total"] == 1 and metrics["queue_messages_total"] == 2


def wait_for(condition, limit=20):
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Load:
    """Clients that send and remember what they were promised; they come back after a crash."""

    def __init__(self, queue, messages, clients=4):
        self.queue, self.total = queue, messages
        self.lock = threading.Lock()
        self.next, self.promised, self.unknown = 0, set(), set()
        self.threads = [threading.Thread(target=self.work) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def take(self):
        with self.lock:
            if self.next == self.total:
                return None
            self.next += 1
            return f"m{self.next}"

    def work(self):
        client, chance = None, random.Random(SEED)
        while (identity := self.take()) is not None:
            while True:
                try:
                    client = client or self.queue.client()
                    group = "out" if chance.random() < 0.9 else "mixed"
                    with self.lock:
                        self.unknown.add(identity)
                    reply = client.deliver([f"{group}@example.test"], source(identity), "alice@example.test")
                    if reply and reply[0].startswith("250"):
                        with self.lock:
                            self.promised.add(identity)
                        break
                    time.sleep(0.1)
                except (OSError, AssertionError):
                    client = None
                    time.sleep(0.1)
                    # Whether it was taken nobody knows: another one is sent in its place.
                    break

    def is_done(self):
        return not any(thread.is_alive() for thread in self.threads)


def test_nothing_is_lost_whatever_the_next_hop_does_and_however_often_the_server_dies(tmp_path):
    chance = random.Random(SEED)
    hop = NextHop(SEED).up()
    hop.refuse = lambda recipient: recipient.startswith("r1@")
    queue = Queue(tmp_path, f"smtp://127.0.0.1:{hop.port}", log_level="4")
    server = queue.serve.__enter__()
    try:
        queue.group("out", members())
        queue.group("mixed", ["bob@example.test", "r0@remote.test", "r1@remote.test", "nobody@remote.test"])
        client = queue.client()
        for group in ("out", "mixed"):
            wait_for(lambda: client.command("RSET") and client.command("MAIL FROM:<alice@example.test>") and
                     client.command(f"RCPT TO:<{group}@example.test>").startswith("250"))
        client.close()
        load = Load(queue, MESSAGES)
        kills, started = 0, time.monotonic()
        while not load.is_done() or kills < max(8, MESSAGES // 300):
            hop.cut = chance.choice([0, 0.3, 0.9])
            hop.slow = chance.choice([0, 0, 0.3])
            hop.temporary = chance.choice([0, 0.3])
            hop.greylist = chance.random() < 0.3
            if chance.random() < 0.2:
                hop.down()
            time.sleep(chance.uniform(0.1, 1.2))
            hop.up()
            time.sleep(chance.uniform(0.1, 0.6))
            queue.kill()
            kills += 1
            queue.serve.__enter__()
        hop.cut, hop.slow, hop.temporary, hop.greylist = 0, 0, 0, False
        hop.up()
        queue.wait_until_empty(300)
        reports = collections.Counter(queue.reports())
        seconds = time.monotonic() - started
    finally:
        log = queue.serve.log.read_text(errors="replace")
        server.__exit__()
    counted = sum(uncertain(log).values())
    bounced = {(identity, recipient) for identity, recipient, action in reports if action == "failed"}
    copies, lost, twice = hop.copies, [], 0
    for identity in load.promised:
        identity = f"<{identity}@test>"
        groups = [members(), ["r0@remote.test", "r1@remote.test", "nobody@remote.test"]]
        # Which group it went to shows by its copies.
        expected = groups[1] if copies[identity, "nobody@remote.test"] else groups[0]
        for recipient in expected:
            got = copies[identity, recipient]
            told = reports[identity, recipient, "failed"]
            if got == 0 and told == 0:
                lost.append((identity, recipient))
            assert not (got and told), (identity, recipient)
            twice += max(0, got - 1)
    print(f"{len(load.promised)} promised of {MESSAGES}, {sum(copies.values())} copies, "
          f"{sum(reports.values())} reports, {kills} kills, {hop.connections} connections, {hop.lost} answers lost, "
          f"{twice} got twice, {counted} counted, {seconds:.0f} s")
    assert not lost, lost[:10]
    assert all(recipient.startswith("r1@") for _, recipient in bounced)
    assert not any(recipient.startswith("r1@") for _, recipient in copies)
    # Twice only where the next hop had kept a copy and its client can't have known: RFC 1047's window.
    assert max(hop.settled.values()) == 1
    assert twice <= counted
    # A mailbox can be asked whether it has one: a report comes once.
    assert set(reports.values()) == {1}


class Clock:
    """A clock for a server that a test sets: perf/durability's, preloaded."""

    def __init__(self, folder):
        library, self.page = folder / "disturb.so", folder / "disturbance"
        code = ROOT / "perf/durability/src/disturb.c"
        subprocess.run([need("cc"), "-O2", "-shared", "-fPIC", "-o", library, code], check=True)
        self.page.write_bytes(bytes(48))
        self.wrapper = ["env", f"LD_PRELOAD={library}", f"DISTURB={self.page}"]

    def jump(self, seconds):
        with open(self.page, "r+b") as page:
            page.write(struct.pack("=q", seconds))

    def looks(self):
        return struct.unpack("=q", self.page.read_bytes()[8:16])[0]


def test_a_clock_that_jumps_keeps_no_mail_back_and_returns_none(tmp_path):
    hop, clock = NextHop().up(), Clock(tmp_path)
    day, years = 86_400, 10 * 365 * 86_400
    queue = Queue(tmp_path, f"smtp://127.0.0.1:{hop.port}", queue_retry_first="2s", queue_lifetime="5d")
    queue.serve.wrapper = clock.wrapper

    def deferred():
        hop.temporary = 1.0
        number = len(hop.copies)
        assert client.deliver(["out@example.test"], source(f"m{number}"), "alice@example.test")[0].startswith("250")
        wait_for(lambda: queue.metrics()["queue_waiting"] > 0)

    with queue.serve:
        client = accepts(queue, "out", "r0@remote.test")
        for jump in (-day, 0, years, -years):
            deferred()
            clock.jump(jump)
            hop.temporary = 0.0
            queue.wait_until_empty(20)
        # What was written when the clock was ahead is not kept until then.
        clock.jump(years)
        deferred()
        queue.kill()
        clock.jump(0)
        hop.temporary = 0.0
        queue.serve.__enter__()
        queue.wait_until_empty(20)
        assert sorted(hop.copies.values()) == [1] * 5 and not queue.reports() and clock.looks() > 0


def uncertain(log):
    """By queue id, how many recipients the server counted that got a copy and may have had one before."""
    counted = collections.Counter()
    for line in log.splitlines():
        if "last answer was lost" in line or "a copy may have been sent before" in line:
            counted[re.search(r"queue_id=(\S+)", line)[1]] += int(re.search(r"recipients=(\d+)", line)[1])
    return counted


def accepts(queue, group, *members):
    """Makes a group, and waits until the server knows it."""
    queue.group(group, members)
    client = queue.client()
    wait_for(lambda: client.command("RSET") and client.command("MAIL FROM:<alice@example.test>") and
             client.command(f"RCPT TO:<{group}@example.test>").startswith("250"))
    client.command("RSET")
    return client


def leaf_certificate(folder, name):
    """A self-signed certificate that is no authority's."""
    chain, key = folder / "leaf.pem", folder / "leaf.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2",
                    "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-addext",
                    "basicConstraints=critical,CA:FALSE", "-keyout", key, "-out", chain, "-nodes"],
                   check=True, capture_output=True)
    return chain, key


def tls_context(chain, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    return context


@pytest.mark.parametrize("scheme, implicit, login", [
    ("smtp", False, None), ("smtp", False, ("PLAIN", "me@x", "a:b")), ("smtp+unverifiedtls", False, None),
    ("smtp+tls", False, ("LOGIN", "me@x", "a:b")), ("smtps", True, ("PLAIN LOGIN", "me@x", "a:b"))])
def test_every_scheme(tmp_path, monkeypatch, scheme, implicit, login):
    chain, key = leaf_certificate(tmp_path, "localhost")
    tls = tls_context(chain, key) if scheme != "smtp" else None
    hop = NextHop(tls=tls, implicit=implicit, login=login).up()
    user = "me%40x:a%3Ab@" if login else ""
    monkeypatch.setenv("SSL_CERT_FILE", str(chain))
    with (queue := Queue(tmp_path, f"{scheme}://{user}localhost:{hop.port}/")).serve:
        client = accepts(queue, "out", "r0@remote.test")
        for number in range(3):
            assert client.deliver(["out@example.test"], source(f"m{number}"), "alice@example.test")[0][:3] == "250"
            queue.wait_until_empty(20)
        assert sorted(hop.copies.values()) == [1, 1, 1]
        assert hop.connections == 1, "a connection is used again"


def test_a_certificate_that_nobody_vouches_for_keeps_mail_here(tmp_path):
    hop = NextHop(tls=tls_context(*make_certificate(tmp_path, "localhost"))).up()
    directives = {"queue_lifetime": "3s", "queue_delay_notice": "1s"}
    with (queue := Queue(tmp_path, f"smtp+tls://localhost:{hop.port}/", **directives)).serve:
        client = accepts(queue, "out", "r0@remote.test")
        assert client.deliver(["out@example.test"], source("secret"), "alice@example.test")[0].startswith("250")
        wait_for(lambda: "r0@remote.test" in queue.mailq() and "4.7.5" in queue.mailq())
        queue.wait_until_empty()
        assert not hop.copies
        assert queue.reports() == [("<secret@test>", "r0@remote.test", "delayed"),
                                   ("<secret@test>", "r0@remote.test", "failed")]


def test_a_next_hop_without_extensions_gets_seven_bits(tmp_path):
    hop = NextHop(extensions=()).up()
    with (queue := Queue(tmp_path, f"smtp://127.0.0.1:{hop.port}")).serve:
        client = accepts(queue, "out", "r0@remote.test")
        text = "Grüße, größer als 7 Bit\r\n.\r\n"
        eight = source("eight", 0).replace(b"Message-ID", b"Content-Type: text/plain; charset=utf-8\r\nMessage-ID")
        eight += text.encode()
        assert client.deliver(["out@example.test"], eight, "alice@example.test")[0].startswith("250")
        queue.wait_until_empty()
        data = hop.messages[0][2]
        assert data.isascii()
        kept = email.message_from_bytes(data, policy=email.policy.default)
        assert text.replace("\r", "") in kept.get_content().replace("\r", "")


def test_postfix_is_the_smart_host(tmp_path):
    with contextlib.ExitStack() as stack:
        queue = Queue(tmp_path, "smtp://127.0.0.1:PORT")
        postfix = Postfix(tmp_path / "postfix", queue.base + 25, virtual_mailbox_domains="remote.test")
        table = postfix.table("mailboxes", {f"r{n}@remote.test": f"r{n}/" for n in range(3)})
        with open(postfix.configuration / "main.cf", "a") as main:
            main.write(f"virtual_mailbox_maps = {table}\nsmtpd_recipient_restrictions = "
                       "reject_unlisted_recipient,permit_mynetworks,reject\n")
        queue.serve.directives["outgoing_smtp_url"] = f"smtp://127.0.0.1:{postfix.port}"
        stack.enter_context(queue.serve)
        client = accepts(queue, "out", "r0@remote.test", "r1@remote.test", "nobody@remote.test")
        for number in range(20):
            if number == 5:
                # Down for the first ones: they wait.
                stack.enter_context(postfix)
            assert client.deliver(["out@example.test"], source(f"m{number}"), "alice@example.test")[0][:3] == "250"
        queue.wait_until_empty()
        wait_for(lambda: len(postfix.kept("r0")) == 20 and len(postfix.kept("r1")) == 20)
        subjects = {re.search(rb"Subject: (\S+)", kept)[1] for kept in postfix.kept("r0")}
        assert subjects == {f"m{number}".encode() for number in range(20)}
        reports = queue.reports()
        assert len(reports) == 20 and {report[1:] for report in reports} == {("nobody@remote.test", "failed")}


def test_out_of_office_is_answered_once_and_never_to_robots(tmp_path):
    hop = NextHop().up()
    with (queue := Queue(tmp_path, f"smtp://127.0.0.1:{hop.port}")).serve:
        config = queue.data / "mailboxes/example.test/bob/config"
        config.mkdir(exist_ok=True)
        (config / "autoreply.cfg").write_text("oof_state=1\nallow_external_oof=1\n")
        (config / "internal-reply").write_text("Subject: away\n\n<p>inside</p>")
        (config / "external-reply").write_text("Content-Type: text/plain\n\noutside")
        letter = (b"From: <x@remote.test>\r\nTo: Bob <bob@example.test>\r\nMessage-ID: <l@remote>\r\n"
                  b"Subject: =?utf-8?q?Bcc=0D=0ABcc:_evil@remote.test?=\r\n")
        client = queue.client()
        for sender, extra in [("x@remote.test", b""), ("x@remote.test", b""), ("alice@example.test", b""), ("", b""),
                              ("list-request@remote.test", b""), ("y@remote.test", b"List-Id: <l.remote>\r\n"),
                              ("z@remote.test", b"Auto-Submitted: auto-replied\r\n"), ("bob@example.test", b"")]:
            assert client.deliver(["bob@example.test"], letter + extra + b"\r\nhello\r\n", sender)[0][:3] == "250"
        queue.wait_until_empty()
        assert [key[1] for key in hop.copies.elements()] == ["x@remote.test"]
        sender, _, data = hop.messages[0]
        answer = email.message_from_bytes(data, policy=email.policy.default)
        assert sender.startswith("MAIL FROM:<>") and answer["Auto-Submitted"] == "auto-replied"
        assert answer["Bcc"] is None and answer["In-Reply-To"] == "<l@remote>"
        assert answer.get_content() == "outside" and answer["Subject"].startswith("Automatic reply: ")
        [inside] = [message for message in queue.mailbox() if message["Subject"] == "away"]
        assert inside["Return-Path"] == "<>" and "inside" in inside.get_content()


def test_a_delivery_is_reported_where_that_was_asked_for(tmp_path):
    hop = NextHop(extensions=("PIPELINING",)).up()
    with (queue := Queue(tmp_path, f"smtp://127.0.0.1:{hop.port}")).serve:
        client = accepts(queue, "out", "r0@remote.test")
        assert client.command("MAIL FROM:<alice@example.test> RET=HDRS ENVID=e1").startswith("250")
        for recipient in ("out", "bob", "carol"):
            notify = "SUCCESS" if recipient != "carol" else "NEVER"
            reply = client.command(f"RCPT TO:<{recipient}@example.test> NOTIFY={notify} ORCPT=rfc822;{recipient}@old")
            assert reply.startswith("250"), reply
        assert client.command("DATA").startswith("354")
        client.socket.sendall(dot_stuffed(source("wanted")) + b".\r\n")
        assert all(client.reply().startswith("250") for _ in range(3))
        queue.wait_until_empty()
        assert sorted(queue.reports()) == [("<wanted@test>", "bob@example.test", "delivered"),
                                           ("<wanted@test>", "r0@remote.test", "relayed")]
        report = next(message for message in queue.mailbox() if message.get_content_type() == "multipart/report")
        assert "Original-Envelope-Id: e1" in report.as_string() and "Original-Recipient: rfc822;" in report.as_string()
        assert len([m for m in queue.mailbox("bob") if m["Subject"] == "wanted"]) == 1
