"""Rows about memory: what a server holds, counted by the kernel (Pss of all its processes)."""

import gc
import select as readiness
import socket
import ssl
import threading
import time

from .mail import RECEIVE_BYTES, Imap, WrongAnswer, address
from .servers import PASSWORD

# Logins that are under way at once: enough to be quick, too few to meet a limit.
LOGINS_AT_ONCE = 50
SETTLE_S = 3
# Connections from one address of loopback, of which there are 16 million: a connection takes a port of its source, and Linux
# gives out 28,000 of an address.
PER_ADDRESS = 20_000


class Sessions:
    """Many IMAP sessions that do nothing after a login (or SELECT, or IDLE)."""

    def __init__(self, server, count, mailboxes, tls=False, then=()):
        self.sockets = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        for begin in range(0, count, LOGINS_AT_ONCE):
            batch = []
            for number in range(begin, min(begin + LOGINS_AT_ONCE, count)):
                plain = socket.create_connection(("127.0.0.1", server.ports["imaps" if tls else "imap"]), timeout=60,
                                                 source_address=source_address(number))
                batch.append((context.wrap_socket(plain) if tls else plain, number % mailboxes))
            for connection, _ in batch:
                expect(connection, b"* OK")
            for command in ('LOGIN "{}" "{}"', *then):
                for connection, user in batch:
                    connection.sendall(f"a {command}\r\n".format(address(user), PASSWORD).encode())
                for connection, _ in batch:
                    expect(connection, b"+ " if command == "IDLE" else b"a OK")
            self.sockets += [connection for connection, _ in batch]

    def close(self):
        for connection in self.sockets:
            connection.close()
        gc.collect()


def source_address(number):
    """Where connection `number` comes from, with a port that the kernel chooses."""
    return f"127.0.0.{1 + number // PER_ADDRESS}", 0


def expect(connection, begin):
    """Reads whole lines until one begins so."""
    data = b""
    while True:
        data += connection.recv(65536)
        if not data:
            raise WrongAnswer("the connection was closed")
        lines = data.split(b"\r\n")
        if any(line.startswith(begin) for line in lines[:-1]):
            return
        if any(line.startswith((b"a NO", b"a BAD", b"* BYE")) for line in lines):
            raise WrongAnswer(repr(data[:200]))


def idle_connections(server, count, mailboxes, tls=False, then=()):
    """Bytes a session: the growth from a fifth of `count` sessions to all of them.

    What is there once (pools, open mailboxes, the password hash's working memory) is there at the first look.
    Where each session has a mailbox of its own, the mailbox is part of what it costs, and the growth is from none.
    """
    own = mailboxes >= count
    Sessions(server, 1 if own else mailboxes, mailboxes, tls, then).close()
    first = Sessions(server, 0 if own else count // 5, mailboxes, tls, then)
    time.sleep(SETTLE_S)
    before = server.memory()
    rest = Sessions(server, count - len(first.sockets), mailboxes, tls, then)
    time.sleep(SETTLE_S)
    used = server.memory() - before
    answer = used / len(rest.sockets)
    first.close()
    rest.close()
    return answer


class Peak:
    """The largest resident memory in bytes while a `with` block runs, looked at 20 times a second."""

    def __init__(self, server, interval_s=0.05):
        self.server, self.interval_s, self.peak = server, interval_s, 0

    def __enter__(self):
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def watch(self):
        while not self.over.wait(self.interval_s):
            self.peak = max(self.peak, self.server.memory())


def download_by_many(server, user, connections, command="FETCH 1:* BODY.PEEK[]"):
    """All messages of a mailbox over several connections at once; yields now and then."""
    sessions = []
    for _ in range(connections):
        session = Imap(server, user)
        session.select()
        sessions.append(session)
    tails = {}
    for session in sessions:
        session.socket.sendall(f"z {command}\r\n".encode())
        tails[session.socket] = b""
    while tails:
        for connection in readiness.select(list(tails), [], [], 60)[0]:
            piece = connection.recv(RECEIVE_BYTES)
            if not piece:
                raise WrongAnswer("the connection was closed")
            tail = tails[connection] = (tails[connection] + piece)[-200:]
            if tail.endswith(b"\r\n") and tail[tail.rfind(b"\r\n", 0, -2) + 2:].startswith(b"z "):
                if not tail[tail.rfind(b"\r\n", 0, -2) + 2:].startswith(b"z OK"):
                    raise WrongAnswer(repr(tail))
                del tails[connection]
            yield
    for session in sessions:
        session.close()
