"""IMAP and POP3 over one connection, for rows where a single command is timed.

It does little a byte: an answer is read in large pieces until its last line, then counted.
"""

import re
import socket
import ssl
import time

from .servers import DOMAIN, PASSWORD

RECEIVE_BYTES = 1 << 20
TIMEOUT_S = 300


class WrongAnswer(Exception):
    """A server said something else than what the row needs; the row has no result then."""


class Imap:
    """A logged-in session."""

    def __init__(self, server, user=0, tls=False):
        port = server.ports["imaps" if tls else "imap"]
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.socket = context.wrap_socket(self.socket)
        self.number = 0
        self.read_until(b"\r\n")
        self.command(f'LOGIN "{address(user)}" "{PASSWORD}"')

    def read_until(self, end):
        pieces = []
        while True:
            piece = self.socket.recv(RECEIVE_BYTES)
            if not piece:
                raise WrongAnswer("the connection was closed")
            pieces.append(piece)
            if piece.endswith(end):
                return b"".join(pieces)

    def command(self, text, expect=b"OK", literals=()):
        """Sends a command and returns its whole answer; `literals` follow `text` without waiting (LITERAL+)."""
        return b"".join(self.stream(text, expect, literals))

    def stream(self, text, expect=b"OK", literals=()):
        """The same, piece by piece: for answers that should not be kept."""
        self.number += 1
        tag = b"t%d " % self.number
        self.socket.sendall(tag + text.encode() + b"\r\n" if not literals else tag + text.encode() + b"".join(literals))
        tail = b"\r\n"
        while True:
            piece = self.socket.recv(RECEIVE_BYTES)
            if not piece:
                raise WrongAnswer(f"the connection was closed during {text[:60]!r}")
            yield piece
            tail = (tail + piece)[-4096:] if len(piece) < 4096 else piece[-4096:]
            if tail.endswith(b"\r\n"):
                last = tail[tail.rfind(b"\r\n", 0, -2) + 2:]
                if last.startswith(tag):
                    if not last.startswith(tag + expect):
                        raise WrongAnswer(f"{text[:60]!r}: {last[:200]!r}")
                    return

    def timed(self, text, check=None, literals=()):
        """Seconds that a command took, and the bytes of its answer. `check` gets the answer, after the clock."""
        begin = time.perf_counter()
        pieces = list(self.stream(text, literals=literals))
        took = time.perf_counter() - begin
        answer = b"".join(pieces)
        if check and not check(answer):
            raise WrongAnswer(f"{text[:60]!r} answered {answer[:300]!r}")
        return took, len(answer)

    def select(self, mailbox="INBOX"):
        """Opens a mailbox and returns how many messages it has."""
        answer = self.command(f'SELECT "{mailbox}"')
        return int(re.search(rb"\* (\d+) EXISTS", answer)[1])

    def append_many(self, messages, mailbox="INBOX"):
        """MULTIAPPEND of (INTERNALDATE, source): one transaction, one sync. Only to fill mailboxes."""
        parts = []
        for date, message in messages:
            parts.append(b' "%s" {%d+}\r\n' % (date.encode(), len(message)))
            parts.append(message)
        parts.append(b"\r\n")
        self.command(f'APPEND "{mailbox}"', literals=parts)

    def close(self):
        self.socket.close()


class Pop3:
    """A logged-in session."""

    def __init__(self, server, user=0):
        self.socket = socket.create_connection(("127.0.0.1", server.ports["pop3"]), timeout=TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.read(b"\r\n")
        for line in (f"USER {address(user)}", f"PASS {PASSWORD}"):
            self.command(line)

    def read(self, end):
        data = b""
        while not data.endswith(end):
            piece = self.socket.recv(RECEIVE_BYTES)
            if not piece:
                raise WrongAnswer("the connection was closed")
            data = data + piece if data else piece
        if not data.startswith(b"+OK"):
            raise WrongAnswer(data[:200])
        return data

    def command(self, text, end=b"\r\n"):
        self.socket.sendall(text.encode() + b"\r\n")
        return self.read(end)

    def close(self):
        self.socket.close()


def address(user):
    """A number is one of the many mailboxes (load0, load1, …); a name is itself."""
    return f"{user}@{DOMAIN}" if isinstance(user, str) else f"load{user}@{DOMAIN}"
