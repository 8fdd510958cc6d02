"""Faults: one mailbox is broken, everybody else is served."""

import imaplib
import os
import pathlib
import sqlite3

import pytest

from conftest import LmtpClient, plain_message


def database(server, address):
    """The mailbox's database file, found by the directory's own tool."""
    import json
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
    log = server.log.read_text()
    assert str(path.parent.parent.name) in log or address in log


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


@pytest.mark.parametrize("garbage", [
    b"\x00" * 1000 + b"\r\n", b"\xff\xfe" * 5000 + b"\r\n", b"a" * 200_000, b"a LOGIN {99999999999}\r\n",
    b"a APPEND INBOX {2000000000}\r\n", b"(((((" * 10_000 + b"\r\n", b"\r\n" * 10_000,
])
def test_garbage_costs_one_connection(demo, garbage):
    import socket
    for port in ("imap", "pop3", "lmtp"):
        with socket.create_connection(("127.0.0.1", demo.ports[port]), timeout=10) as connection:
            connection.recv(1000)
            try:
                connection.sendall(garbage)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass
            except ConnectionError:
                pass
    works(demo, "bob@example.test")
