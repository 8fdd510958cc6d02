"""An IMAP client that shows every response as it came, for tests that must see what clients hide."""

import re
import socket


class Response:
    """One response: its line, with literals replaced by `{n}` and kept in `literals`."""

    def __init__(self, line, literals):
        self.line, self.literals = line, literals

    def __repr__(self):
        return f"{self.line!r} {self.literals!r}"


class RawImap:
    def __init__(self, port, user=None, password="demo", tls=None):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        if tls:
            self.socket = tls.wrap_socket(self.socket)
        self.file = self.socket.makefile("rb")
        self.number = 0
        self.greeting = self.response()
        if user:
            self.ok(f'LOGIN "{user}" "{password}"')

    def response(self):
        line, literals = "", []
        while True:
            part = self.file.readline()
            if not part:
                raise ConnectionError(f"closed after {line!r}")
            line += part.decode("utf-8", "surrogateescape").rstrip("\r\n")
            literal = re.search(r"\{(\d+)\}$", line)
            if not literal:
                return Response(line, literals)
            literals.append(self.file.read(int(literal[1])))

    def command(self, text, literal=None):
        """Sends a command; (untagged responses, tagged line)."""
        self.number += 1
        tag = f"t{self.number}"
        if literal is None:
            self.socket.sendall(f"{tag} {text}\r\n".encode())
        else:
            self.socket.sendall(f"{tag} {text} {{{len(literal)}+}}\r\n".encode() + literal + b"\r\n")
        return self.answers(tag)

    def answers(self, tag):
        """What comes until the command is done; (untagged responses, tagged line)."""
        untagged = []
        while True:
            response = self.response()
            if response.line.startswith(f"{tag} "):
                return untagged, response.line[len(tag) + 1:]
            untagged.append(response)

    def append(self, folder, flags, *sources):
        """APPEND of one message or of several at once."""
        self.number += 1
        tag = f"t{self.number}"
        command = f'{tag} APPEND "{folder}"'.encode()
        for source in sources:
            command += f" {flags} {{{len(source)}+}}\r\n".encode() + source
        self.socket.sendall(command + b"\r\n")
        return self.answers(tag)

    def ok(self, text, literal=None):
        untagged, tagged = self.command(text, literal)
        assert tagged.startswith("OK"), (text, tagged)
        return untagged, tagged

    def close(self):
        self.socket.close()


TOKEN = re.compile(r'\(|\)|"(?:[^"\\]|\\.)*"|~?\{\d+\}|[A-Za-z0-9.]+\[[^\]]*\](?:<\d+>)?|[^ ()"]+')


def values(response):
    """A response as nested lists: atoms as text, strings as bytes, NIL as None."""
    literals = iter(response.literals)
    stack = [[]]
    for match in TOKEN.finditer(response.line):
        token = match[0]
        if token == "(":
            stack.append([])
        elif token == ")":
            done = stack.pop()
            stack[-1].append(done)
        elif token[0] == '"':
            text = re.sub(r"\\(.)", r"\1", token[1:-1])
            stack[-1].append(text.encode("utf-8", "surrogateescape"))
        elif token[-1] == "}" and token[0] in "~{":
            stack[-1].append(next(literals))
        else:
            stack[-1].append(None if token == "NIL" else token)
    assert len(stack) == 1, response
    return stack[0]


def number_set(text):
    """`1:3,7` as a list."""
    numbers = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition(":")
        numbers += range(int(first), int(last or first) + 1)
    return numbers


class Selected:
    """A session's picture of its folder, made only of what the server told it."""

    def __init__(self, port, user, folder):
        self.imap = RawImap(port, user)
        self.uids, self.flags = [], {}
        self.select(f'SELECT "{folder}"')

    def select(self, command):
        untagged, _ = self.imap.ok(command)
        exists = next(int(r.line.split()[1]) for r in untagged if r.line.endswith(" EXISTS"))
        self.uids = [None] * exists
        self.learn()

    def take(self, untagged):
        for response in untagged:
            line = response.line
            if match := re.match(r"\* (\d+) EXISTS$", line):
                assert int(match[1]) >= len(self.uids), "EXISTS must not shrink"
                self.uids += [None] * (int(match[1]) - len(self.uids))
            elif match := re.match(r"\* (\d+) EXPUNGE$", line):
                self.flags.pop(self.uids.pop(int(match[1]) - 1), None)
            elif match := re.match(r"\* VANISHED ([\d:,]+)$", line):
                for uid in number_set(match[1]):
                    self.uids.remove(uid)
                    self.flags.pop(uid, None)
            elif match := re.match(r"\* (\d+) FETCH \((.*)\)$", line):
                uid = re.search(r"UID (\d+)", match[2])
                at = int(match[1]) - 1
                if uid:
                    assert self.uids[at] in (None, int(uid[1])), (line, self.uids[at])
                    self.uids[at] = int(uid[1])
                if flags := re.search(r"FLAGS \(([^)]*)\)", match[2]):
                    kept = set(flags[1].split()) - {r"\Recent"}
                    if self.uids[at] is not None:
                        self.flags[self.uids[at]] = kept

    def learn(self):
        """Asks for what it was not told yet."""
        if None in self.uids:
            first = self.uids.index(None) + 1
            self.take(self.imap.ok(f"FETCH {first}:* (UID FLAGS)")[0])

    def refresh(self):
        self.take(self.imap.ok("NOOP")[0])
        self.learn()

    def picture(self):
        assert self.uids == sorted(self.uids)
        return {uid: self.flags[uid] for uid in self.uids}
