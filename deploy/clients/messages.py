"""Messages to test with: the corpora's, CPython's, and generated monsters."""

import base64
import pathlib
import random

from conftest import CORPORA, with_crlf

CPYTHON = pathlib.Path("/usr/lib/python3.11/test/test_email/data")
WORDS = ("alpha beta gamma Gr\u00fc\u00dfe \u65e5\u672c\u8a9e \u043f\u0440\u0438\u0432\u0435\u0442 e\u0301 tab\tstop "
         "dot . =3D =?utf-8?q?x?= \"quote\" (paren) <angle> a=b; --dash {12} * % \\").split(" ")


def corpora():
    """Every file of the corpora as a message, by its name: those that are one, the messages of mbox files, and
    what is data as the attachment or body it once was. With CRLF line ends."""
    found = {}
    for folder in ("mail-parser/rfc", "mail-parser/legacy", "mail-parser/thirdparty", "mail-parser/malformed",
                   "mimekit/messages", "mimekit/partial", "mimekit/dkim", "mimekit/mbox", "mimekit/tnef",
                   "mimekit/html", "mimekit/text", "mimekit/encoders"):
        for path in sorted(p for p in (CORPORA / folder).rglob("*") if p.is_file()):
            name, data = str(path.relative_to(CORPORA)), path.read_bytes()
            if folder == "mimekit/mbox" and data.startswith(b"From "):
                found.update((f"{name}/{n:03}", with_crlf(one)) for n, one in enumerate(mbox(data)))
            elif path.suffix == ".html":
                found[name] = html(name, data)
            elif folder.rpartition("/")[2] in ("tnef", "encoders", "mbox", "text", "html"):
                found[name] = attached(name, data)
            else:
                found[name] = with_crlf(data)
    for path in sorted(CPYTHON.glob("*.txt")):
        found[f"cpython/{path.name}"] = with_crlf(path.read_bytes())
    assert len(found) > 500, f"only {len(found)} messages found below {CORPORA} and {CPYTHON}"
    return found


def mbox(data):
    """The messages of an mbox file: what is between lines that begin with `From `."""
    messages = []
    for line in data.splitlines(keepends=True):
        if line.startswith(b"From "):
            messages.append([])
        else:
            messages[-1].append(line)
    return [b"".join(message) for message in messages]


def header(name, kind):
    return (f"From: Corpora <corpora@example.org>\r\nTo: alice@example.test\r\nSubject: {name}\r\n"
            f"Date: Tue, 24 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{name.replace('/', '.')}@example.org>\r\n"
            f"MIME-Version: 1.0\r\n{kind}").encode()


def html(name, data):
    return header(name, "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n") + lines(data)


def attached(name, data):
    kind = "application/ms-tnef" if data[:4] == b"\x78\x9f\x3e\x22" else "application/octet-stream"
    return (header(name, 'Content-Type: multipart/mixed; boundary="=_corpora"\r\n\r\n--=_corpora\r\n'
                   "Content-Type: text/plain\r\n\r\nattached\r\n--=_corpora\r\n"
                   f'Content-Type: {kind}; name="{pathlib.Path(name).name}"\r\n'
                   "Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment\r\n\r\n")
            + lines(data) + b"--=_corpora--\r\n")


def lines(data):
    return base64.encodebytes(data).replace(b"\n", b"\r\n")


class Monsters:
    """Invented messages, well-formed and none like another; a seed repeats them."""

    def __init__(self, seed):
        self.dice = random.Random(seed)
        self.boundaries = 0

    def message(self, depth=0):
        dice = self.dice
        fields = ["MIME-Version: 1.0"]
        for name in dice.sample(["From", "Sender", "Reply-To", "To", "Cc", "Bcc"], dice.randint(1, 6)):
            fields.append(f"{name}: {self.people()}")
        for name, value in (("Subject", self.text(12)), ("Date", "Tue, 24 Nov 2026 10:00:00 +0000"),
                            ("Message-ID", f"<{dice.getrandbits(60):x}@monsters.example>"),
                            ("In-Reply-To", f"<{dice.getrandbits(60):x}@monsters.example>"),
                            ("References", self.folded([f"<{n}@monsters.example>" for n in range(dice.randint(1, 30))])),
                            ("X-" + "Long" * dice.randint(1, 10), self.text(200))):
            if dice.random() < 0.8:
                fields.append(f"{name}:{dice.choice([' ', '', '   '])}{value}")
        dice.shuffle(fields)
        return self.entity(fields, depth)

    def entity(self, fields, depth):
        dice = self.dice
        kind = dice.random()
        if depth < 9 and kind < (0.6 if depth < 3 else 0.25):
            own, body = self.multipart(depth)
        elif depth < 9 and kind < 0.85 and depth:
            own, body = ["Content-Type: message/rfc822"], self.message(depth + 1)
        else:
            own, body = self.leaf()
        for name, value in (("Content-ID", f"<{dice.getrandbits(40):x}@monsters.example>"),
                            ("Content-Description", self.text(4)), ("Content-Language", dice.choice(["de", "de, en"])),
                            ("Content-Location", "https://example.org/a b"), ("Content-MD5", "Q2hlY2sgSW50ZWdyaXR5IQ=="),
                            ("Content-Disposition", dice.choice(["inline", self.with_name("attachment", "filename")]))):
            if dice.random() < 0.2:
                own.append(f"{name}: {value}")
        return "\r\n".join(fields + own).encode() + b"\r\n\r\n" + body

    def multipart(self, depth):
        dice = self.dice
        self.boundaries += 1
        boundary = dice.choice(["=_", "----=_Part_", "'", "a b ", "b:"]) + f"{self.boundaries:04}"
        subtype = dice.choice(["mixed", "alternative", "related", "signed", "report", "x-odd"])
        parts = [self.entity([], depth + 1) for _ in range(dice.choice([1, 2, 2, 3]))]
        delimiter = b"\r\n--" + boundary.encode()
        preamble = dice.choice([b"", b"preamble", b"two\r\nlines\r\n", b"--not a delimiter"])
        epilogue = dice.choice([b"", b"\r\n", b"\r\nepilogue\r\n"])
        blank = dice.choice([b"", b" ", b"\t "])
        body = preamble + b"".join(delimiter + blank + b"\r\n" + part for part in parts) + delimiter + b"--" + epilogue
        # Without a preamble the first delimiter may begin the body.
        return [f'Content-Type: multipart/{subtype};\r\n boundary="{boundary}"'], body.removeprefix(b"\r\n")

    def leaf(self):
        dice = self.dice
        encoding = dice.choice(["7bit", "8bit", "base64", "quoted-printable", None])
        if dice.random() < 0.6:
            kind = dice.choice(["text/plain", "text/html", "text/calendar; method=REQUEST", "TEXT/Plain"])
            content = "\r\n".join(self.text(8, encode=False) for _ in range(dice.randint(0, 30))).encode()
            kind += "; charset=utf-8"
        else:
            kind = dice.choice(["application/octet-stream", "image/png", "audio/x-odd", "message/delivery-status"])
            content = dice.randbytes(dice.choice([0, 1, 57, 500, 4000] * 20 + [100_000]))
            # What isn't text needs an encoding; so do composite types not.
            encoding = "base64"
            if kind.startswith("message/"):
                encoding, content = "7bit", b"Reporting-MTA: dns; example.org\r\n\r\nAction: failed\r\n"
        if dice.random() < 0.3:
            kind = self.with_name(kind, "name")
        fields = [f"Content-Type: {kind}"]
        if encoding:
            fields.append(f"Content-Transfer-Encoding: {dice.choice([encoding, encoding.upper()])}")
        return fields, self.encoded(content, encoding)

    def encoded(self, content, encoding):
        if encoding == "base64":
            width = self.dice.choice([57, 30, 3, 700])
            pieces = [content[at:at + width] for at in range(0, len(content), width)]
            return b"".join(base64.b64encode(piece) + b"\r\n" for piece in pieces)
        if encoding == "quoted-printable":
            out = []
            for line in content.split(b"\r\n"):
                coded = "".join(chr(c) if 33 <= c < 127 and c != 61 or c == 32 and self.dice.random() < 0.9
                                else f"={c:02X}" for c in line)
                if coded.endswith(" "):
                    coded = coded[:-1] + "=20"
                while len(coded) > 70:
                    cut = 68 - (coded[66:68].rfind("=") != -1) * (68 - 66 - coded[66:68].rfind("="))
                    out.append(coded[:cut] + "=")
                    coded = coded[cut:]
                out.append(coded)
            return "\r\n".join(out).encode()
        return content

    def with_name(self, value, attribute):
        name = self.dice.choice(["plain.txt", "two words.pdf", "semi;colon.doc", 'quo\\"te.xls'])
        form = self.dice.random()
        if form < 0.5:
            return f'{value}; {attribute}="{name}"'
        if form < 0.75:
            return f"{value};\r\n\t{attribute}*=utf-8''%C3%9Cbung%20{self.dice.randint(1, 99)}.pdf"
        return f'{value}; {attribute}*0="first part of a";\r\n {attribute}*1=" long name.txt"'

    def text(self, most, encode=True):
        words = self.dice.choices(WORDS, k=self.dice.randint(1, most))
        if encode:
            coded = lambda word: f"=?utf-8?b?{base64.b64encode(word.encode()).decode()}?="
            words = [word.replace("\t", "") if word.isascii() else coded(word) for word in words]
            return self.folded(words)
        return " ".join(words)

    def folded(self, words):
        text = ""
        for word in words:
            text += word + ("\r\n " if len(text.rpartition("\n")[2]) > 60 else " ")
        return text.rstrip()

    def people(self):
        dice = self.dice
        forms = [lambda n: f"user{n}@example.org", lambda n: f"<user{n}@example.org>",
                 lambda n: f'"Last, First {n}" <user{n}@example.org>', lambda n: f"Some Body <user{n}@sub.example.org>",
                 lambda n: f"=?utf-8?q?J=C3=B6rg_{n}?= <user{n}@example.org>", lambda n: f'"odd local {n}"@example.org',
                 lambda n: f"user{n}@[192.0.2.{n % 256}]"]
        some = [dice.choice(forms)(dice.randint(0, 999)) for _ in range(dice.choice([1, 1, 1, 2, 3] * 20 + [50]))]
        if dice.random() < 0.1:
            some.append(f"Group: {', '.join(some[:2])};")
        return self.folded([one + "," for one in some]).rstrip(",")


def beyond_limits():
    """Larger, deeper and wider than anybody reads; they are kept all the same."""
    begin = b"From: a@example.org\r\nSubject: beyond\r\nMIME-Version: 1.0\r\n"
    level = "Content-Type: multipart/mixed; boundary=b{0}\r\n\r\n--b{0}\r\n"
    return {
        "deep multiparts": begin + "".join(level.format(n) for n in range(300)).encode() + b"\r\nx\r\n",
        "deep messages": begin + b"Content-Type: message/rfc822\r\n\r\n" * 300 + b"x\r\n",
        "parts": begin + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 12_000 + b"--b--\r\n",
        "recipients": begin + b"To: " + b",\r\n ".join(b"u%d@example.org" % n for n in range(21_000)) + b"\r\n\r\nx\r\n",
        "fields": begin + b"".join(b"X-%d: 1\r\n" % n for n in range(11_000)) + b"\r\nx\r\n",
        "a field": begin + b"X-Long: " + b"a" * 2_000_000 + b"\r\n\r\nx\r\n",
        "a line": begin + b"\r\n" + b"a" * 3_000_000 + b"\r\n",
        "parameters": begin + b"Content-Type: text/plain" + b"".join(b"; p%d=1" % n for n in range(1000)) + b"\r\n\r\nx\r\n",
        "size": begin + b"\r\n" + (b"a line of text, not of mail\r\n" * 300_000),
    }
