"""Delivery with swaks, Postfix and openssl, to many and to full mailboxes."""

import concurrent.futures
import imaplib
import json
import pathlib
import sqlite3
import time

from conftest import LmtpClient, need, plain_message, run
from postfix import Postfix


def messages(server, user, folder="INBOX"):
    connection = imaplib.IMAP4("127.0.0.1", server.ports["imap"])
    connection.login(user, "demo")
    kind, data = connection.select(folder)
    assert kind == "OK", data
    count = int(data[0])
    ids = set()
    if count:
        for item in connection.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")[1]:
            if isinstance(item, tuple):
                ids.add(item[1].decode().partition(":")[2].strip())
    connection.logout()
    return count, ids


def test_swaks_over_lmtp_plain_and_tls(server):
    before, _ = messages(server, "alice@example.test")
    common = [need("swaks"), "--protocol", "LMTP", "--server", "127.0.0.1", "--port", server.ports["lmtp"],
              "--from", "sender@example.org", "--to", "alice@example.test,bob@example.test"]
    run(common)
    run([*common, "--tls"])
    assert messages(server, "alice@example.test")[0] == before + 2


def test_unknown_recipient_is_refused_alone(server):
    lmtp = LmtpClient(server)
    assert lmtp.command("MAIL FROM:<sender@example.org>").startswith("250")
    assert lmtp.command("RCPT TO:<nobody@example.test>").startswith("550 5.1.1")
    assert lmtp.command("RCPT TO:<alice+tag@example.test>").startswith("250")
    assert lmtp.command("DATA").startswith("354")
    lmtp.socket.sendall(plain_message(1) + b".\r\n")
    assert lmtp.reply().startswith("250")
    lmtp.close()


def test_openssl_speaks_starttls(server):
    for protocol, port in (("lmtp", "lmtp"), ("imap", "imap"), ("pop3", "pop3")):
        shown = run([need("openssl"), "s_client", "-starttls", protocol, "-connect",
                     f"127.0.0.1:{server.ports[port]}"], input="QUIT\n")
        assert "TLSv1.3" in shown, shown


def test_postfix_hands_over_by_lmtp(server, tmp_path):
    with Postfix(tmp_path / "postfix", server.base + 25, virtual_mailbox_domains="example.test",
                 virtual_transport=f"lmtp:inet:127.0.0.1:{server.ports['lmtp']}") as postfix:
        before, _ = messages(server, "bob@example.test")
        for number in range(20):
            run([need("swaks"), "--server", "127.0.0.1", "--port", postfix.port, "--from", "sender@example.org",
                 "--to", "bob@example.test", "--header", f"Subject: by postfix {number}"])
        deadline = time.monotonic() + 20
        while messages(server, "bob@example.test")[0] < before + 20:
            assert time.monotonic() < deadline, postfix.log.read_text()
            time.sleep(0.2)


def content_of(mailbox, subject):
    """How often a message is in a mailbox's database, and how many contents its copies have."""
    database = sqlite3.connect(f"file:{mailbox / 'exmdb/exchange.sqlite3'}?mode=ro", uri=True)
    rows = database.execute("SELECT source FROM messages WHERE subject = ?", (subject,)).fetchall()
    contents = database.execute("SELECT count(*) FROM contents").fetchone()[0]
    database.close()
    return len(rows), contents


def test_a_thousand_recipients(server):
    """One transaction for 1,000 recipients: a reply for each, the message once in each mailbox, its content
    kept once there."""
    recipients = [f"u{number}@example.test" for number in range(1000)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda address: server.admin("user", "add", address), recipients))
    server.wait_for_account(recipients[-1])
    lmtp = LmtpClient(server)
    source = plain_message("to all", 200_000)
    started = time.monotonic()
    replies = lmtp.deliver(recipients, source)
    print(f"1,000 mailboxes in {time.monotonic() - started:.2f} s")
    assert len(replies) == 1000 and all(reply.startswith("250 2.1.5") for reply in replies), set(replies)
    lmtp.close()
    assert server.stop() == 0
    accounts = {account["username"]: account for account in json.loads(server.admin("--json", "user", "list"))}
    for address in recipients:
        mailbox = pathlib.Path(accounts[address]["mailbox"])
        assert content_of(mailbox, "message to all") == (1, 1), address
    server.start()


def test_quota_of_the_account(server):
    """The quota in the directory: enforced at delivery and at APPEND, for this recipient alone."""
    server.admin("user", "change", "carol@example.test", "--quota", "1")
    lmtp = LmtpClient(server)
    source = plain_message("quota", 2 << 20)
    deadline = time.monotonic() + 20
    while True:
        replies = lmtp.deliver(["carol@example.test", "bob@example.test"], source)
        assert replies[1].startswith("250")
        if replies[0].startswith("552 5.2.2"):
            break
        # The change has not been noticed yet.
        assert replies[0].startswith("250") and time.monotonic() < deadline, replies
        time.sleep(0.2)
    connection = imaplib.IMAP4("127.0.0.1", server.ports["imap"])
    connection.login("carol@example.test", "demo")
    kind, data = connection.append("INBOX", None, None, source)
    assert kind == "NO" and b"[OVERQUOTA]" in data[0], data
    connection.logout()
    server.admin("user", "change", "carol@example.test", "--quota", "none")
    while not lmtp.deliver(["carol@example.test"], source)[0].startswith("250"):
        assert time.monotonic() < deadline + 20
        time.sleep(0.2)
    lmtp.close()
