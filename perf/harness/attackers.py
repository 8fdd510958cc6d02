"""Clients that mean harm, each kind a process of its own that yields to whoever else wants the processor: they stand
for machines elsewhere. Every one is bounded in connections, in what it sends, and in time."""

import errno
import itertools
import multiprocessing
import os
import random
import resource
import select
import socket
import time

from .mail import address
from .servers import PASSWORD

NICENESS = 19
# They come from so many addresses, none of them the ordinary users'.
ADDRESSES = 200
PASSES_A_SECOND = 50
# Connections begun in one pass.
BATCH = 60


class Attacker:
    """Keeps `connections` open, as they are cut, and lets each do as `begin` and `go_on` say."""

    connections = 64
    services = ("imap",)
    # What all of them together send at most, bytes a second.
    bytes_a_second = 20e6

    def __init__(self, ports, users, seed):
        self.ports, self.users, self.random = ports, users, random.Random(seed)
        self.open, self.cut, self.refused, self.sent = {}, 0, 0, 0
        self.turn = itertools.count(seed * 7919)
        self.poll = select.epoll()

    def begin(self, client):
        """Bytes that a new connection sends at once."""
        return b""

    def go_on(self, client):
        """Bytes that an open connection sends in this pass."""
        return b""

    reads = True

    def connect(self):
        number = next(self.turn)
        client = Client(self.services[number % len(self.services)], number)
        client.user = address(self.random.randrange(self.users))
        plain = socket.socket()
        plain.setblocking(False)
        if not self.reads:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        plain.bind((f"127.0.{1 + number % ADDRESSES}.{1 + os.getpid() % 200}", 0))
        try:
            plain.connect(("127.0.0.1", self.ports[client.service]))
        except BlockingIOError:
            pass
        except OSError as error:
            plain.close()
            if error.errno not in (errno.ECONNREFUSED, errno.EADDRNOTAVAIL, errno.EAGAIN):
                raise
            self.refused += 1
            return
        client.socket = plain
        client.pending = self.begin(client)
        self.open[plain.fileno()] = client
        self.poll.register(plain.fileno(), select.EPOLLIN if self.reads else select.EPOLLRDHUP)

    def drop(self, client):
        self.open.pop(client.socket.fileno(), None)
        client.socket.close()
        self.cut += 1

    def send(self, client, data, allowance):
        if not data or allowance <= 0:
            return data
        try:
            sent = client.socket.send(data[:allowance])
        except (BlockingIOError, InterruptedError):
            return data
        except OSError as error:
            # Not connected yet.
            if error.errno in (errno.EAGAIN, errno.ENOTCONN):
                return data
            self.drop(client)
            return b""
        self.sent += sent
        return data[sent:]

    def run(self, over):
        """Until `over` is set."""
        begun = time.monotonic()
        while not over.is_set():
            began = time.monotonic()
            for _ in range(min(BATCH, self.connections - len(self.open))):
                self.connect()
            for descriptor, _ in self.poll.poll(0, 4096):
                client = self.open.get(descriptor)
                if client is not None:
                    self.listen(client)
            for client in list(self.open.values()):
                allowance = int(self.bytes_a_second * (time.monotonic() - begun + 1) - self.sent)
                client.pending = self.send(client, client.pending or self.go_on(client), allowance)
            over.wait(max(0.0, 1 / PASSES_A_SECOND - (time.monotonic() - began)))

    def listen(self, client):
        try:
            data = client.socket.recv(65536)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self.drop(client)
        else:
            self.heard(client, data)

    def heard(self, client, data):
        """What the server said."""


IP_BIND_ADDRESS_NO_PORT = 24


class Client:
    """One of an attacker's connections."""

    def __init__(self, service, number):
        self.service, self.number, self.socket, self.user, self.pending = service, number, None, "", b""
        self.step = 0


class Silent(Attacker):
    """Connects and says nothing."""

    connections = 9900
    services = ("imap", "imaps", "pop3", "lmtp")


class SlowSender(Attacker):
    """Logs in a byte at a time, and uploads mail as slowly."""

    connections = 600
    services = ("imap", "lmtp", "imap", "pop3")

    def begin(self, client):
        if client.service == "lmtp":
            return (f"LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<{client.user}>\r\nDATA\r\nSubject: slow\r\n\r\n").encode()
        if client.number % 4 == 2:
            return f"a LOGIN {client.user} {PASSWORD}\r\nb APPEND INBOX {{1000000}}\r\n".encode()
        return b""

    def go_on(self, client):
        client.step += 1
        return b"x" if client.step % PASSES_A_SECOND == 0 else b""


class SlowReader(Attacker):
    """Asks for everything and reads nothing."""

    connections = 300
    services = ("imap", "pop3")
    reads = False

    def begin(self, client):
        if client.service == "pop3":
            return (f"USER {client.user}\r\nPASS {PASSWORD}\r\n" + "".join(
                f"RETR {number}\r\n" for number in range(1, 40)) * 20).encode()
        return f"a LOGIN {client.user} {PASSWORD}\r\nb SELECT INBOX\r\n".encode() + b"c FETCH 1:* BODY.PEEK[]\r\n" * 50


class WrongPasswords(Attacker):
    """Tries passwords of all users, as fast as it is answered."""

    connections = 100
    services = ("imap", "pop3")

    def guess(self, client):
        user, word = address(self.random.randrange(self.users)), self.random.randrange(10**9)
        if client.service == "pop3":
            return f"USER {user}\r\nPASS {word}\r\n".encode()
        return f"a LOGIN {user} {word}\r\n".encode()

    def begin(self, client):
        return self.guess(client)

    def heard(self, client, data):
        if data.rstrip().rsplit(b"\r\n", 1)[-1].startswith((b"a NO", b"-ERR")):
            client.pending = self.guess(client)


class HugeLiterals(Attacker):
    """Announces a gigabyte, and sends of it what it can."""

    connections = 64
    services = ("imap", "lmtp")

    def begin(self, client):
        if client.service == "lmtp":
            return f"LHLO x\r\nMAIL FROM:<> SIZE=1073741824\r\nMAIL FROM:<>\r\nRCPT TO:<{client.user}>\r\nDATA\r\n".encode()
        login = f"a LOGIN {client.user} {PASSWORD}\r\n"
        return [f"a LOGIN {{1073741824+}}\r\n", f"a LOGIN {{1073741824}}\r\n",
                f"{login}b APPEND INBOX {{1073741824+}}\r\n", f"{login}b APPEND INBOX {{1073741824}}\r\n",
                f"{login}b SELECT INBOX\r\nc SEARCH SUBJECT {{1073741824+}}\r\n"][client.number // 2 % 5].encode()

    def go_on(self, client):
        return b"x" * 16384


class Garbage(Attacker):
    """Sends bytes that mean nothing, and half-right commands, without waiting for answers."""

    connections = 32
    services = ("imap", "lmtp", "pop3", "imaps")

    def go_on(self, client):
        kind = client.number // 4 % 4
        if kind == 0:
            return self.random.randbytes(16384)
        if kind == 1:
            return b"a NOOP\r\n" * 2000
        if kind == 2:
            return b"\r\n" * 8000
        return b"a FETCH 1:* (((((\r\nMAIL FROM:<" + b"<" * 300 + b">\r\nUSER " + b"%" * 100 + b"\r\n"


KINDS = {
    "20,000 silent connections": (Silent, Silent),
    "slow senders": (SlowSender,),
    "slow readers": (SlowReader,),
    "a storm of wrong passwords": (WrongPasswords,),
    "literals of a gigabyte": (HugeLiterals,),
    "pipelined garbage": (Garbage,),
    "all of it at once": (Silent, SlowSender, SlowReader, WrongPasswords, HugeLiterals, Garbage),
}


class Attack:
    """Attackers of one kind (or all), for the length of a `with` block; `counts` says what they did."""

    def __init__(self, kind, ports, users):
        self.over = multiprocessing.Event()
        self.answers = multiprocessing.Queue()
        self.processes = [multiprocessing.Process(target=self.work, args=(attacker, ports, users, seed))
                          for seed, attacker in enumerate(KINDS[kind])]
        self.counts = {}

    def work(self, attacker, ports, users, seed):
        os.nice(NICENESS)
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        attacker = attacker(ports, users, seed)
        try:
            attacker.run(self.over)
        finally:
            self.answers.put({"open": len(attacker.open), "cut": attacker.cut, "refused": attacker.refused,
                              "sent": attacker.sent})

    def __enter__(self):
        for process in self.processes:
            process.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for _ in self.processes:
            for key, value in self.answers.get(timeout=60).items():
                self.counts[key] = self.counts.get(key, 0) + value
        for process in self.processes:
            process.join()
