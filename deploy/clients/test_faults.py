"""Faults: one mailbox is broken, everybody else is served."""

import base64
import imaplib
import json
import os
import pathlib
import re
import resource
import socket
import sqlite3
import subprocess
import time

import pytest

from conftest import BINARY, LmtpClient, plain_message, wait_for_log, wait_until
from raw_imap import RawImap


def database(server, address):
    """The mailbox's database file, found by the directory's own tool."""
    shown = json.loads(server.admin("--json", "user", "show", address))
    return pathlib.Path(shown["mailbox"]) / "exmdb" / "exchange.sqlite3"


def works(server, user):
    connection = imaplib.IMAP4("127.0.0.1", server.ports["imap"])
    connection.login(user, "demo")
    kind, data = connection.select("INBOX")
    assert kind == "OK", data
    assert connection.fetch("1", "(BODY.PEEK[])")[0] == "OK"
    connection.logout()


def fails_clearly(server, user):
    connection = imaplib.IMAP4("127.0.0.1", server.ports["imap"])
    try:
        connection.login(user, "demo")
        kind, data = connection.select("INBOX")
        assert kind == "NO", (kind, data)
    except imaplib.IMAP4.error as refused:
        assert "EOF" not in str(refused)


def broken(server, address, damage):
    """Stops, damages the mailbox, starts again: `address` fails, bob is served, mail for it is deferred."""
    path = database(server, address)
    server.stop()
    damage(path)
    server.start()
    fails_clearly(server, address)
    works(server, "bob@example.test")
    replies = LmtpClient(server).deliver([address, "bob@example.test"], plain_message(1))
    assert replies[0].startswith("4"), replies
    assert replies[1].startswith("250"), replies
    wait_for_log(server, f"{re.escape(path.parent.parent.name)}|{re.escape(address)}")


def test_corrupt_database(server):
    def damage(path):
        with open(path, "r+b") as file:
            file.write(b"\xff" * 8192)
    broken(server, "alice@example.test", damage)


def test_database_from_a_newer_version(server):
    def damage(path):
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA user_version = 99999")
        connection.commit()
        connection.close()
    broken(server, "alice@example.test", damage)


def test_missing_database(server):
    broken(server, "alice@example.test", lambda path: path.unlink())


def test_corrupt_pages(server):
    """Damage in the midst of the database: what needs those pages fails clearly, the walk finds it, nobody else
    sees any of it."""
    path = database(server, "alice@example.test")
    server.stop()
    size = path.stat().st_size
    with open(path, "r+b") as file:
        # All but the first pages, which hold the schema, and some.
        for page in range(12, size // 4096, 2):
            file.seek(page * 4096)
            file.write(os.urandom(4096))
    server.start()
    failed = 0
    for command in ('LIST "" "*"', "SELECT INBOX", "FETCH 1:* (FLAGS ENVELOPE BODYSTRUCTURE)", "FETCH 1:* BODY.PEEK[]",
                    "SEARCH BODY a", "SORT (SUBJECT) UTF-8 ALL", "STORE 1:* +FLAGS (\\Flagged)", "EXPUNGE", "CREATE new"):
        imap = RawImap(server.ports["imap"], "alice@example.test")
        if command.split()[0] not in ("LIST", "SELECT", "CREATE"):
            imap.command("SELECT INBOX")
        # An answer always; none is a lost connection or a hung one.
        _, tagged = imap.command(command)
        failed += not tagged.startswith("OK")
        imap.close()
    assert failed >= 4
    replies = LmtpClient(server).deliver(["alice@example.test", "bob@example.test"], plain_message(1))
    assert replies[0].startswith("4") or replies[0].startswith("250"), replies
    assert replies[1].startswith("250"), replies
    works(server, "bob@example.test")
    wait_for_log(server, "alice")
    wait_for_log(server, "malformed|corrupt|damaged")
    server.stop()
    done = subprocess.run(["gromox-mbck", path], executable=BINARY, capture_output=True, text=True)
    assert done.returncode == 1 and ("I1" in done.stdout or "can't" in done.stderr), done.stdout + done.stderr
    server.start()


def test_missing_and_damaged_content_files(server):
    """The messages whose content is gone fail, all others of the mailbox are served."""
    noise = lambda: base64.encodebytes(os.urandom(150_000)).replace(b"\n", b"\r\n")
    imap = RawImap(server.ports["imap"], "alice@example.test")
    for number in range(3):
        _, tagged = imap.append("Drafts", "()", plain_message(f"large.{number}") + noise())
        assert tagged.startswith("OK"), tagged
    imap.append("Drafts", "()", plain_message("small"))
    imap.close()
    server.stop()
    mailbox = database(server, "alice@example.test").parent.parent
    files = sorted((mailbox / "cid").iterdir(), key=lambda path: path.stat().st_mtime)[-3:]
    missing, damaged, _ = files
    missing.unlink()
    with open(damaged, "r+b") as file:
        file.seek(1000)
        file.write(os.urandom(1000))
    server.start()
    imap = RawImap(server.ports["imap"], "alice@example.test")
    imap.ok("SELECT Drafts")
    # What needs no content is there of all.
    assert len(imap.ok("FETCH 1:4 (FLAGS ENVELOPE BODYSTRUCTURE)")[0]) == 4
    fine = 0
    for number in range(1, 5):
        untagged, tagged = imap.command(f"FETCH {number} BODY.PEEK[]")
        if tagged.startswith("OK"):
            fine += 1
            assert b"clients.example.org" in untagged[0].literals[0]
        else:
            assert tagged.startswith("NO"), tagged
    assert fine == 2
    # One that can't be read keeps the others of the same command from nobody.
    untagged, tagged = imap.command("FETCH 1:4 BODY.PEEK[]")
    assert sum(bool(one.literals) for one in untagged) == 2 and tagged.startswith("NO"), (untagged, tagged)
    _, tagged = imap.command("SEARCH BODY nothing")
    assert tagged.startswith(("OK", "NO")), tagged
    imap.ok("STORE 1:4 +FLAGS (\\Deleted)")
    imap.ok("EXPUNGE")
    imap.close()
    for file in (missing, damaged):
        wait_for_log(server, file.name)
    works(server, "bob@example.test")


def test_descriptors_run_out(server):
    """Connections that can't be accepted wait; those that are there go on, and afterwards all is well."""
    inside = RawImap(server.ports["imap"], "alice@example.test")
    pid = server.ready["pid"]
    used = len(os.listdir(f"/proc/{pid}/fd"))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 20, resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]))
    others = []
    for _ in range(60):
        others.append(socket.create_connection(("127.0.0.1", server.ports["imap"]), timeout=10))
    inside.ok("NOOP")
    # A mailbox that is not open yet needs descriptors, too.
    _, tagged = inside.command('STATUS INBOX (MESSAGES)')
    assert tagged.startswith(("OK", "NO")), tagged
    wait_until(lambda: "accept on" in server.log.read_text())
    for one in others:
        one.close()
    works(server, "bob@example.test")
    replies = LmtpClient(server).deliver(["carol@example.test"], plain_message(1))
    assert replies[0].startswith("250"), replies
    inside.ok("SELECT INBOX")
    inside.close()


@pytest.mark.parametrize("garbage", [
    b"\x00" * 1000 + b"\r\n", b"\xff\xfe" * 5000 + b"\r\n", b"a" * 200_000, b"a LOGIN {99999999999}\r\n",
    b"a APPEND INBOX {2000000000}\r\n", b"(((((" * 10_000 + b"\r\n", b"\r\n" * 10_000,
])
def test_garbage_costs_one_connection(demo, garbage):
    for port in ("imap", "pop3", "lmtp"):
        with socket.create_connection(("127.0.0.1", demo.ports[port]), timeout=10) as connection:
            connection.recv(1000)
            try:
                connection.sendall(garbage)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass
            except OSError:
                # Reset, or gone already.
                pass
    works(demo, "bob@example.test")
