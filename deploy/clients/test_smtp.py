"""SMTP between servers and submission: swaks, smtplib, curl, Postfix as MX in front, and raw sockets for what no
honest client does."""

import base64
import contextlib
import email
import email.policy
import imaplib
import os
import smtplib
import socket
import struct
import subprocess
import threading
import time

import pytest

from conftest import need, run, wait_for_log, wait_until
from next_hop import NextHop
from postfix import Postfix
from serving import Serve, make_data
from test_queue import Queue

ALICE, BOB = "alice@example.test", "bob@example.test"


class Mailbox:
    """What is in an inbox, as IMAP shows it."""

    def __init__(self, server, user):
        self.connection = imaplib.IMAP4("127.0.0.1", server.ports["imap"])
        self.connection.login(user, "demo")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.logout()

    def find(self, subject):
        """The sources of the messages with this subject."""
        assert self.connection.select("INBOX")[0] == "OK"
        numbers = self.connection.search(None, "SUBJECT", f'"{subject}"')[1][0].split()
        return [self.connection.fetch(number, "(BODY.PEEK[])")[1][0][1] for number in numbers]

    def count(self):
        return int(self.connection.select("INBOX")[1][0])


def found(server, user, subject):
    with Mailbox(server, user) as mailbox:
        return mailbox.find(subject)


class Raw:
    """A socket and nothing that helps."""

    def __init__(self, port, greeting="EHLO client.example.org"):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.file = self.socket.makefile("rb")
        assert self.reply().startswith("220")
        if greeting:
            assert self.say(greeting).startswith("250")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def start_tls(self, context):
        assert self.say("STARTTLS").startswith("220")
        self.file.close()
        self.socket = context.wrap_socket(self.socket)
        self.file = self.socket.makefile("rb")
        assert self.say("EHLO client.example.org").startswith("250")

    def reply(self):
        """The last line of a reply; empty at the end."""
        while True:
            line = self.file.readline().decode()
            if line[3:4] != "-":
                return line.rstrip()

    def send(self, data):
        self.socket.sendall(data)

    def say(self, line):
        self.send(line.encode() + b"\r\n")
        return self.reply()

    def envelope(self, sender, *recipients, parameters=""):
        assert self.say(f"MAIL FROM:<{sender}>{parameters}").startswith("250")
        return [self.say(f"RCPT TO:<{recipient}>") for recipient in recipients]


def swaks(server, port, *options, expect=0):
    command = [need("swaks"), "--server", "127.0.0.1", "--port", server.ports[port], "--helo", "client.example.org",
               *options]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=60)
    assert done.returncode == expect, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_swaks_between_servers(demo, tmp_path):
    body = tmp_path / "body"
    body.write_text(".\n..\nA line.\n.hidden\n")
    ways = [[], ["--tls"], ["--pipeline"], ["--protocol", "SMTP"], ["--tls", "--pipeline", "--attach", f"@{body}"]]
    for number, options in enumerate(ways):
        swaks(demo, "lmtp", "--from", "sender@example.org", "--to", f"{ALICE},{BOB}", "--body", f"@{body}",
              "--header", f"Subject: swaks {number}", *options)
        for user in (ALICE, BOB):
            sources = found(demo, user, f"swaks {number}")
            assert len(sources) == 1 and b"\r\n.\r\n..\r\nA line.\r\n.hidden\r\n" in sources[0]
    offered = swaks(demo, "lmtp", "--quit-after", "EHLO")
    for extension in ("PIPELINING", "SIZE", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "CHUNKING", "BINARYMIME",
                      "DSN", "STARTTLS"):
        assert extension in offered, offered
    assert "AUTH" not in offered


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("port, tls", [("submission", ["--tls"]), ("submission", []),
                                       ("submissions", ["--tls-on-connect"])])
def test_swaks_submits(demo, mechanism, port, tls):
    subject = f"submitted {mechanism} {port} {len(tls)}"
    swaks(demo, port, *tls, "--auth", mechanism, "--auth-user", ALICE, "--auth-password", "demo", "--from", ALICE,
          "--to", BOB, "--header", f"Subject: {subject}")
    (source,) = found(demo, BOB, subject)
    assert (b"with ESMTPSA id" if tls else b"with ESMTPA id") in source


def test_swaks_is_refused_without_a_right_to_send(demo):
    common = ["--to", BOB, "--auth-user", ALICE, "--auth", "PLAIN"]
    # swaks: 28 is no authentication, 23 a refused MAIL, 26 a refused message.
    swaks(demo, "submission", "--to", BOB, "--from", ALICE, expect=23)
    swaks(demo, "submission", *common, "--auth-password", "wrong", "--from", ALICE, expect=28)
    swaks(demo, "submission", *common, "--auth-password", "demo", "--from", BOB, expect=23)
    swaks(demo, "submission", *common, "--auth-password", "demo", "--from", ALICE, "--header", f"From: {BOB}", expect=26)
    swaks(demo, "lmtp", "--to", "x@example.net", "--from", ALICE, expect=24)


def test_swaks_leaves_at_every_step(demo):
    """In order and by cutting the line: nothing arrives before the last dot, and the server goes on. What is cut
    behind the last dot may arrive, once."""
    common = [need("swaks"), "--server", "127.0.0.1", "--port", demo.ports["lmtp"], "--helo", "client.example.org",
              "--from", "sender@example.org", "--to", BOB]
    steps = {"--quit-after": ["CONNECT", "BANNER", "EHLO", "STARTTLS", "TLS", "MAIL", "RCPT"],
             "--drop-after": ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA"],
             "--drop-after-send": ["EHLO", "MAIL", "RCPT", "DATA", "DOT"]}
    for option, names in steps.items():
        for name in names:
            tls = ["--tls"] if name in ("STARTTLS", "TLS") else []
            # Its exit code tells which step it left at; what it said, that it got there.
            done = subprocess.run([str(word) for word in [*common, *tls, option, name, "--header", f"Subject: left {option} {name}"]],
                                  capture_output=True, text=True, timeout=60)
            assert "220 " in done.stdout, (option, name, done.stdout, done.stderr)
    swaks(demo, "lmtp", "--from", "sender@example.org", "--to", BOB, "--header", "Subject: left nothing undone")
    subjects = [email.message_from_bytes(source)["Subject"] for source in found(demo, BOB, "left ")]
    assert subjects.count("left nothing undone") == 1
    assert set(subjects) <= {"left nothing undone", "left --drop-after-send DOT"}, subjects
    assert len(subjects) == len(set(subjects))


def test_smtplib(demo, client_tls):
    message = email.message.EmailMessage(policy=email.policy.SMTPUTF8)
    message["From"], message["To"], message["Subject"] = f"Älice <{ALICE}>", BOB, "smtplib grüßt"
    message.set_content("Grüße\n")
    with smtplib.SMTP("127.0.0.1", demo.ports["submission"]) as client:
        client.starttls(context=client_tls)
        client.login(ALICE, "demo")
        refused = client.send_message(message, mail_options=["RET=HDRS", "ENVID=a+2Bb", "SMTPUTF8", "BODY=8BITMIME"],
                                      rcpt_options=["NOTIFY=FAILURE,DELAY", f"ORCPT=rfc822;{BOB}"])
        assert refused == {}
        with pytest.raises(smtplib.SMTPSenderRefused) as spoofed:
            client.sendmail("carol@example.test", BOB, b"From: carol@example.test\r\n\r\nx")
        assert spoofed.value.smtp_code == 553
        with pytest.raises(smtplib.SMTPDataError) as spoofed:
            client.sendmail(ALICE, BOB, b"From: carol@example.test\r\n\r\nx")
        assert spoofed.value.smtp_code == 550
    sources = [email.message_from_bytes(source, policy=email.policy.default) for source in found(demo, BOB, "smtplib")]
    (stored,) = [source for source in sources if source["Subject"] == "smtplib grüßt"]
    assert stored["Message-ID"] and stored["Date"] and not stored.defects
    assert stored.get_content().splitlines() == ["Grüße"]
    with smtplib.SMTP_SSL("127.0.0.1", demo.ports["submissions"], context=client_tls) as client:
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login(ALICE, "wrong")
        client.login(ALICE, "demo")
        assert client.verify(BOB)[0] == 252 and client.expn("list")[0] == 502 and client.help()


def test_aliases_and_rights_to_send(server):
    server.admin("alias", "add", ALICE, "sales@example.test")
    server.admin("shared", "add", "info@example.test")
    server.admin("send-as", "add", "info@example.test", ALICE)
    server.admin("list", "add", "board@example.test", "--send-policy", "specified")
    server.admin("member", "add", "board@example.test", BOB)
    server.admin("sender", "add", "board@example.test", "carol@example.test")
    server.wait_for_account("info@example.test")

    def submit(user, sender, recipient):
        with smtplib.SMTP("127.0.0.1", server.ports["submission"]) as client:
            client.login(user, "demo")
            client.sendmail(sender, recipient, f"From: {sender}\r\nSubject: as {sender}\r\n\r\nx".encode())

    for sender in (ALICE, "sales@example.test", "alice+x@example.test", "info@example.test"):
        submit(ALICE, sender, BOB)
        assert len(found(server, BOB, f"as {sender}")) == 1
    with pytest.raises(smtplib.SMTPSenderRefused):
        submit("carol@example.test", "info@example.test", BOB)
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        submit(ALICE, ALICE, "board@example.test")
    assert refused.value.recipients["board@example.test"][0] == 550
    submit("carol@example.test", "carol@example.test", "board@example.test")
    assert len(found(server, BOB, "as carol@example.test")) == 1


def test_curl(demo, tmp_path):
    for number, options in enumerate((
            [f"smtp://127.0.0.1:{demo.ports['lmtp']}/client.example.org"],
            [f"smtp://127.0.0.1:{demo.ports['lmtp']}/client.example.org", "--ssl-reqd"],
            [f"smtp://127.0.0.1:{demo.ports['submission']}/client.example.org", "--ssl-reqd", "-u", f"{ALICE}:demo"],
            [f"smtps://127.0.0.1:{demo.ports['submissions']}/client.example.org", "-u", f"{ALICE}:demo"])):
        message = tmp_path / "message"
        message.write_bytes(f"From: <{ALICE}>\r\nTo: <{BOB}>\r\nSubject: curl {number}\r\n\r\n.dot\r\n".encode())
        run([need("curl"), "-sS", "-k", *options, "--mail-from", ALICE, "--mail-rcpt", BOB, "-T", message])
        (source,) = found(demo, BOB, f"curl {number}")
        assert source.endswith(b"\r\n.dot\r\n")


def test_postfix_as_mx_in_front_speaks_smtp(demo, tmp_path):
    with Postfix(tmp_path / "postfix", demo.base + 25, virtual_mailbox_domains="example.test",
                 virtual_transport=f"smtp:[127.0.0.1]:{demo.ports['lmtp']}") as postfix:
        for number in range(20):
            run([need("swaks"), "--server", "127.0.0.1", "--port", postfix.port, "--from", "sender@example.org",
                 "--to", f"{ALICE},{BOB}", "--header", f"Subject: by smtp {number}"])
        with Mailbox(demo, ALICE) as mailbox:
            try:
                wait_until(lambda: len(mailbox.find("by smtp")) == 20, timeout_s=30)
            except AssertionError:
                raise AssertionError(postfix.log.read_text()) from None
        assert len(found(demo, BOB, "by smtp")) == 20


def test_no_open_relay(demo):
    """The forms that open relays have fallen for."""
    probes = [("sender@example.org", "victim@example.net"), (ALICE, "victim@example.net"),
              ("", "victim@example.net"), ("sender@localhost", "victim@example.net"),
              ("sender@[127.0.0.1]", "victim@example.net"), ("sender@example.org", "victim%example.net@example.test"),
              ("sender@example.org", '"victim@example.net"@example.test'), ("sender@example.org", '"victim%example.net"'),
              ("sender@example.org", "@example.test:victim@example.net"), ("sender@example.org", "example.net!victim"),
              ("sender@example.org", "example.net!victim@example.test"), ("sender@example.org", "victim@[192.0.2.9]"),
              ("sender@example.org", '"victim@example.net"@[127.0.0.1]'), ("sender@example.org", "victim@example.net@example.test"),
              ("sender@example.org", "alice@example.test@example.net"), ("sender@example.org", "victim@example.net\0@example.test")]
    for greeting in ("EHLO example.test", "HELO localhost", "LHLO example.test"):
        for sender, recipient in probes:
            with Raw(demo.ports["lmtp"], greeting) as client:
                (reply,) = client.envelope(sender, recipient)
                assert reply[0] == "5", (sender, recipient, reply)
                assert client.say("DATA").startswith("503")


SMUGGLED = b"MAIL FROM:<admin@example.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nevil"


@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\r\n.\r\r\n",
                                 b"\n.\r", b"\r\r\n.\n", b"\r\n\0.\r\n", b"\r\n. \r\n", b"\r\n.\0\r\n"])
@pytest.mark.parametrize("command_end", [b"\r\n", b"\n", b"\r"])
def test_smuggling(demo, end, command_end):
    """Whatever another server takes for an end of data: only CRLF . CRLF is one."""
    subject = f"carrier {end!r} {command_end!r}".replace("\\", "/")
    with Raw(demo.ports["lmtp"]) as client:
        assert client.envelope("sender@example.org", ALICE)[0].startswith("250")
        assert client.say("DATA").startswith("354")
        client.send(b"Subject: " + subject.encode() + b"\r\n\r\nbody" + end
                    + SMUGGLED.replace(b"\r\n", command_end) + b"\r\n.\r\n")
        assert client.reply().startswith("250")
        assert client.say("NOOP").startswith("250 2.0.0 ok")
    (source,) = found(demo, ALICE, subject)
    assert b"evil" in source and b"\n" not in source.replace(b"\r\n", b"") and b"\r" not in source.replace(b"\r\n", b"")
    assert not found(demo, BOB, "smuggled")


def test_commands_with_bare_line_ends_are_not_executed(demo):
    with Raw(demo.ports["lmtp"]) as client:
        client.send(b"MAIL FROM:<a@b>\nRCPT TO:<bob@example.test>\nNOOP\r\n")
        assert [client.reply()[:3] for _ in range(3)] == ["500", "500", "250"]
        assert client.say("RCPT TO:<bob@example.test>").startswith("503")
        # What follows a refused DATA at once is no command.
        client.send(b"DATA\r\n" + SMUGGLED + b"\r\n.\r\n")
        assert [client.reply()[:3] for _ in range(2)] == ["503", "421"]
    assert not found(demo, BOB, "smuggled")


def test_chunks_and_binary_parts(demo, client_tls):
    blob = bytes(range(256)) * 40 + b"\r\n.\r\n"
    message = (b"From: sender@example.org\r\nSubject: in binary\r\nMIME-Version: 1.0\r\n"
               b"Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: binary\r\n\r\n--b\r\n"
               b"Content-Type: text/plain\r\n\r\nText\r\n--b\r\nContent-Type: application/octet-stream\r\n"
               b"Content-Disposition: attachment; filename=blob\r\nContent-Transfer-Encoding: binary\r\n\r\n"
               + blob + b"\r\n--b--\r\n")
    for tls in (False, True):
        with Raw(demo.ports["lmtp"]) as client:
            if tls:
                client.start_tls(client_tls)
            assert client.envelope("sender@example.org", BOB, parameters=" BODY=BINARYMIME")[0].startswith("250")
            assert client.say("DATA").startswith("503")
            for at in range(0, len(message), 1000):
                chunk = message[at:at + 1000]
                client.send(f"BDAT {len(chunk)}\r\n".encode() + chunk)
            client.send(b"BDAT 0 LAST\r\nQUIT\r\n")
            replies = [client.reply() for _ in range(-(-len(message) // 1000) + 1)]
            assert all(reply.startswith("250") for reply in replies), replies
            assert client.reply().startswith("221")
    sources = found(demo, BOB, "in binary")
    assert len(sources) == 2
    for source in sources:
        parsed = email.message_from_bytes(source, policy=email.policy.default)
        (attachment,) = parsed.iter_attachments()
        assert attachment.get_content() == blob
        assert b"\0" not in source


def test_limits(server):
    with Raw(server.ports["lmtp"]) as client:
        assert client.say(f"MAIL FROM:<a@b> SIZE={(64 << 20) + 1}").startswith("552 5.3.4")
        assert client.say("NOOP " + "x" * 5000).startswith("500 5.5.6")
        assert client.say("MAIL FROM:<" + "x" * 600 + "@b>").startswith("501 5.1.7")
        client.envelope("a@b")
        client.send(b"RCPT TO:<bob@example.test>\r\n" * 2001)
        assert [client.reply()[:3] for _ in range(2001)] == ["250"] * 2000 + ["452"]
        hops = b"Received: from somewhere\r\n" * 101
        assert client.say("DATA").startswith("354")
        client.send(hops + b"Subject: round\r\n\r\nx\r\n.\r\n")
        assert client.reply().startswith("554 5.4.6")


def test_wrong_passwords_ban_the_user(server):
    """user_filter: after submission_auth_times failures even the right password is refused for a while."""
    message = base64.b64encode(f"\0{BOB}\0wrong".encode()).decode()
    with Raw(server.ports["submission"]) as client:
        for _ in range(10):
            assert client.say(f"AUTH PLAIN {message}").startswith("535")
        assert client.reply().startswith("421")
    with smtplib.SMTP("127.0.0.1", server.ports["submission"]) as client:
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login(BOB, "demo")
        client.login(ALICE, "demo")
    wait_for_log(server, r"rhost=\[::ffff:127\.0\.0\.1\]:\d+ user=bob@example\.test SMTP auth rejected: denied")


ZONE = "bl.example.net"


class Dns(threading.Thread):
    """A name server that knows one zone: what is listed has 127.0.0.2, all else does not exist."""

    def __init__(self, listed, address=("127.0.0.77", 53)):
        super().__init__(daemon=True)
        self.names = {".".join(reversed(ip.split("."))) + "." + ZONE: ip for ip in listed}
        self.asked = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(address)

    def run(self):
        while True:
            try:
                query, client = self.socket.recvfrom(512)
            except OSError:
                return
            labels, at = [], 12
            while query[at]:
                labels.append(query[at + 1:at + 1 + query[at]].decode())
                at += query[at] + 1
            name, question = ".".join(labels), query[12:at + 5]
            kind = struct.unpack(">H", query[at + 1:at + 3])[0]
            self.asked.append(name)
            known = name.lower() in self.names
            answer = b""
            if known and kind == 1:
                answer = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + bytes([127, 0, 0, 2])
            header = query[:2] + struct.pack(">HHHHH", 0x8180 if known else 0x8183, 1, bool(answer), 0, 0)
            with contextlib.suppress(OSError):
                self.socket.sendto(header + question + answer, client)


def proxied(port, client):
    """Connects as this client, by PROXY v2; the first line, or what there is of it."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        addresses = socket.inet_aton(client) + socket.inet_aton("127.0.0.1") + struct.pack(">HH", 4000, port)
        connection.sendall(b"\r\n\r\n\0\r\nQUIT\n" + b"\x21\x11" + struct.pack(">H", len(addresses)) + addresses)
        return connection.makefile("rb").readline().decode()


def test_clients_on_a_block_list_are_refused(tmp_path):
    """dnsbl_client, with a resolver configuration that only this server sees."""
    data, base = make_data(tmp_path)
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.77\noptions timeout:1 attempts:1\n")
    ports = {"lda": base + 24, "imap": base + 143, "pop3": base + 110}
    directives = {"data_path": data, "dnsbl_client": ZONE, "lda_support_haproxy": 2, "imap_accept_haproxy": 2,
                  "pop3_accept_haproxy": 2, **{f"{name}_listen": f"127.0.0.1:{port}" for name, port in ports.items()}}
    mount = ["unshare", "--mount", "--propagation", "private", "sh", "-c",
             'mount --bind "$0" "$(readlink -f /etc/resolv.conf)" && exec "$@"', tmp_path / "resolv.conf"]
    dns = Dns({"192.0.2.66"})
    dns.start()
    with Serve(tmp_path, directives, wrapper=mount) as server:
        for name, refused, welcome in (("lda", "554 5.7.1", "220"), ("imap", "* BYE", "* OK"), ("pop3", "-ERR", "+OK")):
            assert proxied(ports[name], "192.0.2.66").startswith(refused), name
            assert proxied(ports[name], "192.0.2.7").startswith(welcome), name
        asked = len(dns.asked)
        assert "66.2.0.192." + ZONE in dns.asked
        # This machine is not asked for, and an answer is good for a while (each core keeps its own).
        assert proxied(ports["lda"], "127.0.0.1").startswith("220")
        for _ in range(20):
            assert proxied(ports["lda"], "192.0.2.66").startswith("554")
        assert len(dns.asked) <= asked + 4 * (os.cpu_count() or 1)
        # Without an answer nobody is listed, and nobody waits for long.
        dns.socket.close()
        began = time.monotonic()
        assert proxied(ports["lda"], "192.0.2.99").startswith("220")
        assert time.monotonic() - began < 10
        wait_for_log(server, "192.0.2.66.*refused: listed by dnsbl_client")


class Sending(Queue):
    """A server whose users submit mail, and a next hop."""

    def __init__(self, folder, hop, **directives):
        super().__init__(folder, f"smtp://127.0.0.1:{hop.port}", **directives)
        self.port = self.base + 587
        self.serve.directives.update({"submission_listen": f"127.0.0.1:{self.port}",
                                      "lda_listen": f"127.0.0.1:{self.base + 24}"})

    def submit(self, sender, recipients, subject, mail=(), rcpt=()):
        with smtplib.SMTP("127.0.0.1", self.port) as client:
            client.login(sender, "demo")
            message = f"From: {sender}\r\nSubject: {subject}\r\nMessage-ID: <{subject}@test>\r\n\r\nx\r\n"
            assert client.sendmail(sender, recipients, message.encode(), mail, rcpt) == {}

    def subjects(self, user):
        return [str(message["Subject"]) for message in self.mailbox(user)]


def test_users_send_elsewhere_and_are_told(tmp_path):
    """Submission to here and elsewhere at once: mailboxes, queue, next hop, and the reports that were asked for."""
    hop = NextHop().up()
    hop.refuse = lambda recipient: recipient.startswith("gone@")
    sending = Sending(tmp_path, hop)
    with sending.serve:
        sending.submit(ALICE, [BOB, "one@remote.test", "two@remote.test"], "both")
        sending.submit(ALICE, ["gone@remote.test"], "refused", ["RET=HDRS", "ENVID=Q1"])
        sending.submit(ALICE, [BOB], "reported", ["ENVID=Q2"], ["NOTIFY=SUCCESS"])
        sending.submit(ALICE, ["gone@remote.test"], "silent", (), ["NOTIFY=NEVER"])
        sending.wait_until_empty()
        assert {recipient for about, recipient in hop.copies if "both" in about} == {"one@remote.test", "two@remote.test"}
        mine = {"both", "refused", "reported", "silent"}
        assert sorted(subject for subject in sending.subjects("bob") if subject in mine) == ["both", "reported"]
        reports = {(about, recipient, action) for about, recipient, action in sending.reports("alice")}
        assert reports == {("<refused@test>", "gone@remote.test", "failed"), ("<reported@test>", BOB, "delivered")}


def test_relay_from_names_who_may_send_without_a_login(tmp_path):
    hop = NextHop().up()
    sending = Sending(tmp_path, hop, relay_from="192.0.2.1")
    with sending.serve as serve:
        with Raw(sending.ports["lmtp"]) as client:
            assert client.envelope("sender@example.org", "x@remote.test")[0].startswith("550 5.7.1")
        serve.reload(relay_from="192.0.2.1 127.0.0.0/8")
        with Raw(sending.ports["lmtp"]) as client:
            assert client.envelope("sender@example.org", "x@remote.test")[0].startswith("250")
            assert client.say("DATA").startswith("354")
            client.send(b"From: sender@example.org\r\nMessage-ID: <relayed@test>\r\n\r\nx\r\n.\r\n")
            assert client.reply().startswith("250 2.6.0")
        sending.wait_until_empty()
        assert hop.copies[("<relayed@test>", "x@remote.test")] == 1


def test_a_full_mailbox_and_a_warning(tmp_path):
    sending = Sending(tmp_path, NextHop().up())
    sending.admin("user", "change", "carol@example.test", "--quota", "1")
    with sending.serve:
        def deliver(number):
            with Raw(sending.ports["lmtp"]) as client:
                (reply,) = client.envelope("sender@example.org", "carol@example.test", parameters=" SIZE=100000")
                if reply.startswith("250"):
                    assert client.say("DATA").startswith("354")
                    client.send(b"Subject: filling\r\n\r\n" + (b"x" * 96 + b"\r\n") * 1000 + b".\r\n")
                    reply = client.reply()
                return reply
        replies = [deliver(number) for number in range(12)]
        assert replies[0].startswith("250") and replies[-1].startswith("552 5.2.2"), replies
        assert sending.subjects("carol").count("Your mailbox is almost full") == 1
        assert not sending.reports("alice") and sending.metrics()["queue_size"] == 0


def test_junk_by_the_headers_of_spam_filters(tmp_path):
    sending = Sending(tmp_path, NextHop().up(), junk_folder="Spam",
                      lda_junk_rules="X-Spam=Yes;X-Spam-Flag=YES;X-Spam-Status=Yes;X-Rspamd-Action=add header")
    imap = sending.base + 143
    sending.serve.directives["imap_listen"] = f"127.0.0.1:{imap}"
    with sending.serve:
        bob = imaplib.IMAP4("127.0.0.1", imap)
        bob.login(BOB, "demo")
        assert bob.create("Spam")[0] == "OK"
        for number, header in enumerate(("X-Spam: Yes", "X-Spam-Status: Yes, score=6.3 required=5.0",
                                         "X-Rspamd-Action: add header", "X-Spam-Status: No, score=0.1", "X-Spam-Flag: NO")):
            with Raw(sending.ports["lmtp"]) as client:
                client.envelope("sender@example.org", BOB, ALICE)
                client.say("DATA")
                client.send(f"{header}\r\nSubject: judged {number}\r\n\r\nx\r\n.\r\n".encode())
                assert client.reply().startswith("250")
        alice = imaplib.IMAP4("127.0.0.1", imap)
        alice.login(ALICE, "demo")

        def judged(connection, folder):
            assert connection.select(f'"{folder}"')[0] == "OK"
            return len(connection.search(None, "SUBJECT", "judged")[1][0].split())
        assert (judged(bob, "Spam"), judged(bob, "INBOX")) == (3, 2)
        junk = next(line.decode().rpartition(' "/" ')[2].strip('"') for line in alice.list()[1] if b"\\Junk" in line)
        assert (judged(alice, junk), judged(alice, "INBOX")) == (3, 2)
        bob.logout()
        alice.logout()
