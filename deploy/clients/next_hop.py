"""A next hop for outgoing mail that misbehaves as it is told: the scripted side of test_queue.py.

What it kept of each message is in `copies`, by (Message-ID, recipient). `settled` counts those of them whose client
went on after the answer, so it has it: another copy of such a one is a mistake. What is kept and not settled is in the
window of RFC 1047. `lost` counts recipients whose message it kept and whose client it never answered.
"""

import collections
import random
import socket
import ssl
import threading
import time

# Places where a dialogue can be cut.
CUTS = ["connect", "banner", "ehlo", "mail", "rcpt", "data", "half", "end"]


class NextHop:
    def __init__(self, seed=1, port=0, extensions=("PIPELINING", "8BITMIME", "DSN", "SIZE 50000000",
                                                   "ENHANCEDSTATUSCODES", "CHUNKING", "SMTPUTF8"),
                 tls=None, implicit=False, login=None):
        self.chance = random.Random(seed)
        self.lock = threading.Lock()
        self.extensions, self.tls, self.implicit, self.login = list(extensions), tls, implicit, login
        self.copies = collections.Counter()
        self.settled = collections.Counter()
        self.messages = []
        self.lost = 0
        self.refused = set()
        self.greylisted = {}
        self.connections = 0
        self.transactions = 0
        self.port = port
        # Probabilities and the like; the test changes them as it runs.
        self.cut = 0.0
        self.slow = 0.0
        self.greylist = False
        self.temporary = 0.0
        self.refuse = lambda recipient: False
        self.listener = None
        self.sockets = set()

    def up(self):
        if self.listener:
            return self
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", self.port))
        self.port = self.listener.getsockname()[1]
        self.listener.listen(100)
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()
        return self

    def down(self):
        """Refuses connections from now on, and cuts those that are there."""
        if self.listener:
            listener, self.listener = self.listener, None
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            with self.lock:
                for connection in list(self.sockets):
                    try:
                        connection.shutdown(socket.SHUT_RDWR)
                    except OSError:
                        pass

    def accept(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with self.lock:
                self.connections += 1
                self.sockets.add(connection)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        raw = connection
        try:
            if self.implicit:
                connection = self.tls.wrap_socket(connection, server_side=True)
            Session(self, connection).run()
        except (Cut, OSError, ssl.SSLError):
            pass
        finally:
            with self.lock:
                self.sockets.discard(raw)
            connection.close()


class Cut(Exception):
    pass


class Session:
    def __init__(self, hop, connection):
        self.hop, self.connection = hop, connection
        self.file = connection.makefile("rb")
        with hop.lock:
            self.cut = hop.chance.choice(CUTS) if hop.chance.random() < hop.cut else None
            self.slow = hop.chance.random() < hop.slow
            # Not always in the first transaction of a connection.
            self.cut_after = hop.chance.randrange(3)
        self.secure, self.authenticated = hop.implicit, False
        self.answered = []

    def at(self, place):
        if self.slow:
            time.sleep(0.05)
        if self.cut == place:
            if self.cut_after == 0 or place in ("connect", "banner", "ehlo"):
                raise Cut(place)
            self.cut_after -= 1

    def say(self, *lines):
        self.connection.sendall("".join(line + "\r\n" for line in lines).encode())

    def line(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise Cut("left")
        return line[:-2].decode()

    def run(self):
        self.at("connect")
        self.say("220 next.hop.test ESMTP")
        self.at("banner")
        sender, recipients, chunks = None, [], b""
        while True:
            line = self.line()
            with self.hop.lock:
                self.hop.settled.update(self.answered)
            self.answered = []
            verb = line.split(" ")[0].upper()
            if verb == "EHLO":
                self.at("ehlo")
                extensions = list(self.hop.extensions)
                if self.hop.tls and not self.secure:
                    extensions.append("STARTTLS")
                if self.hop.login:
                    extensions.append(f"AUTH {self.hop.login[0]}")
                lines = ["next.hop.test", *extensions]
                self.say(*[f"250-{text}" for text in lines[:-1]], f"250 {lines[-1]}")
            elif verb == "STARTTLS":
                self.say("220 go")
                self.connection = self.hop.tls.wrap_socket(self.connection, server_side=True)
                self.file, self.secure = self.connection.makefile("rb"), True
            elif verb == "AUTH":
                import base64
                if line.split(" ")[1] == "PLAIN":
                    given = base64.b64decode(line.split(" ")[2]).decode().split("\0")[1:]
                else:
                    self.say("334 VXNlcm5hbWU6")
                    user = base64.b64decode(self.line()).decode()
                    self.say("334 UGFzc3dvcmQ6")
                    given = [user, base64.b64decode(self.line()).decode()]
                self.authenticated = given == list(self.hop.login[1:])
                self.say("235 2.7.0 ok" if self.authenticated else "535 5.7.8 no")
            elif verb == "MAIL":
                self.at("mail")
                sender, recipients, chunks = line, [], b""
                if self.hop.login and not self.authenticated:
                    self.say("530 5.7.0 authenticate")
                else:
                    self.say("250 2.1.0 ok")
            elif verb == "RCPT":
                self.at("rcpt")
                recipient = line[line.index("<") + 1:line.index(">")]
                self.say(self.rcpt(recipient, recipients, line))
            elif verb == "DATA":
                self.at("data")
                if not recipients:
                    self.say("554 5.5.1 no valid recipients")
                    continue
                self.say("354 go on")
                data = []
                while (text := self.file.readline()) != b".\r\n":
                    if not text.endswith(b"\r\n"):
                        raise Cut("left")
                    data.append(text[1:] if text.startswith(b".") else text)
                    if len(data) == 3:
                        self.at("half")
                self.end(sender, recipients, b"".join(data))
            elif verb == "BDAT":
                words = line.split(" ")
                self.at("data")
                size = int(words[1])
                half = self.file.read(size // 2)
                self.at("half")
                chunk = half + self.file.read(size - size // 2)
                if len(chunk) < size:
                    raise Cut("left")
                chunks += chunk
                if words[-1].upper() == "LAST":
                    self.end(sender, recipients, chunks)
                else:
                    self.say("250 2.0.0 more")
            elif verb in ("RSET", "NOOP"):
                self.say("250 2.0.0 ok")
            elif verb == "QUIT":
                self.say("221 2.0.0 bye")
                return
            else:
                self.say("502 5.5.1 what")

    def rcpt(self, recipient, recipients, line):
        hop = self.hop
        with hop.lock:
            if hop.refuse(recipient):
                hop.refused.add(recipient)
                return "550 5.1.1 no such user here"
            if hop.greylist and hop.greylisted.setdefault(recipient, time.monotonic()) > time.monotonic() - 1:
                return "451 4.7.1 greylisted, try again"
            if hop.chance.random() < hop.temporary:
                return "450 4.2.0 mailbox busy"
        recipients.append((recipient, line))
        return "250 2.1.5 ok"

    def end(self, sender, recipients, data):
        head = data.split(b"\r\n\r\n")[0].decode(errors="replace")
        identity = next((text.split(":", 1)[1].strip() for text in head.split("\r\n")
                         if text.lower().startswith("message-id:")), None)
        with self.hop.lock:
            self.hop.transactions += 1
            for recipient, _ in recipients:
                self.hop.copies[identity, recipient] += 1
            self.hop.messages.append((sender, recipients, data))
            cut = self.cut == "end" and self.cut_after == 0
            if cut:
                self.hop.lost += len(recipients)
        self.at("end")
        self.answered = [(identity, recipient) for recipient, _ in recipients]
        self.say("250 2.0.0 kept")
