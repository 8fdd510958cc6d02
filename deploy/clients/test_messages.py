"""A thousand messages over the wire: their source byte for byte, and their structure as Python's `email` sees it.

RINGPOST_SEED makes other monsters than the usual ones.
"""

import email
import os
import re
import socket
import sys

import pytest

from conftest import ROOT, LmtpClient, dot_stuffed
from messages import Monsters, beyond_limits, corpora
from raw_imap import RawImap, values

sys.path.insert(0, str(ROOT / "core/convert/tests"))
import structures  # noqa: E402

SEED = int(os.environ.get("RINGPOST_SEED", 5322))
MONSTERS = 480
USER = "messages@example.test"


@pytest.fixture(scope="module")
def sources():
    found = corpora()
    monsters = Monsters(SEED)
    found.update((f"monster {number}", monsters.message()) for number in range(MONSTERS))
    found.update(beyond_limits())
    assert len(found) >= 1000, len(found)
    return found


@pytest.fixture(scope="module")
def kept(demo, sources):
    """All of them in a folder, in order; their names. A literal has no NUL (RFC 9051 section 9, CHAR8): those
    with one are refused."""
    demo.add_user(USER)
    imap = RawImap(demo.ports["imap"], USER)
    names = []
    for name, source in sources.items():
        _, tagged = imap.append("INBOX", "()", source)
        if b"\0" in source:
            assert tagged.startswith(("NO", "BAD")) and "NUL" in tagged, tagged
        else:
            assert tagged.startswith("OK"), (name, tagged)
            names.append(name)
    imap.close()
    assert len(names) >= 1000 - 10
    return names


def fetched(imap, command):
    """The FETCH responses of a command, by number."""
    untagged, _ = imap.ok(command)
    return {int(one.line.split()[1]): items(one) for one in untagged if " FETCH " in one.line}


def items(response):
    found = values(response)[3]
    return dict(zip(found[::2], found[1::2], strict=True))


def test_sources_over_imap(demo, sources, kept):
    imap = RawImap(demo.ports["imap"], USER)
    imap.ok("SELECT INBOX")
    for number, name in enumerate(kept, 1):
        found = fetched(imap, f"FETCH {number} (RFC822.SIZE BODY.PEEK[] BODY.PEEK[HEADER] BODY.PEEK[TEXT] "
                              "BODY.PEEK[]<100.1000> BINARY.PEEK[])")[number]
        source = sources[name]
        assert found["BODY[]"] == found["BINARY[]"] == source, name
        assert int(found["RFC822.SIZE"]) == len(source), name
        assert found["BODY[HEADER]"] + found["BODY[TEXT]"] == source, name
        assert found["BODY[]<100>"] == source[100:1100], name
    imap.close()


def retrieve(pop, number):
    pop.sendall(b"RETR %d\r\n" % number)
    file = pop.makefile("rb")
    assert file.readline().startswith(b"+OK")
    lines = []
    while (line := file.readline()) != b".\r\n":
        lines.append(line[1:] if line.startswith(b".") else line)
    return b"".join(lines)


def test_sources_over_pop3(demo, sources, kept):
    with socket.create_connection(("127.0.0.1", demo.ports["pop3"]), timeout=30) as pop:
        file = pop.makefile("rb")
        # UTF8: nothing is made ASCII for this client.
        pop.sendall(b"UTF8\r\nUSER %s\r\nPASS demo\r\n" % USER.encode())
        assert all(file.readline().startswith(b"+OK") for _ in range(4))
        for number, name in enumerate(kept, 1):
            source = sources[name]
            # The end of a POP3 reply is a line of its own.
            ended = source if source.endswith(b"\r\n") else source + b"\r\n"
            assert retrieve(pop, number) == ended, name


def test_delivered_sources(demo, sources):
    """Before what was sent there are only fields of the delivery's own."""
    demo.add_user("delivered@example.test")
    lmtp = LmtpClient(demo)
    imap = RawImap(demo.ports["imap"], "delivered@example.test")
    imap.ok("SELECT INBOX")
    for number, (name, source) in enumerate((n, s) for n, s in sources.items() if b"\0" not in s):
        replies = lmtp.deliver(["delivered@example.test"], source)
        assert replies[0].startswith("250"), (name, replies)
        imap.ok("NOOP")
        body = fetched(imap, f"FETCH {number + 1} (BODY.PEEK[])")[number + 1]["BODY[]"]
        sent = dot_stuffed(source).replace(b"\r\n.", b"\r\n").removeprefix(b".") if not source.endswith(b"\r\n") else source
        assert body.endswith(sent), name
        added = body[:len(body) - len(sent)]
        assert re.fullmatch(rb"(?:(?:Return-Path|Delivered-To|Received):.*\r\n(?:[ \t].*\r\n)*)+", added), (name, added)
    lmtp.close()
    imap.close()


def text(value):
    """Bytes as `structures` shows them."""
    return None if value is None else "".join(chr(b) if b < 128 else "?" for b in value)


def envelope(answer):
    """ENVELOPE as `structures.envelope` has it (but for References)."""
    date, subject, *lists, in_reply_to, message_id = answer
    found = {"date": date, "subject": subject, "in-reply-to": in_reply_to, "message-id": message_id}
    found = {name: text(value) for name, value in found.items()}
    for name, people in zip(("from", "sender", "reply-to", "to", "cc", "bcc"), lists, strict=True):
        found[name] = [[text(name) or "", "@".join(filter(None, [text(local), text(host)]))]
                       for name, _, local, host in people or [] if host is not None]
    for name in ("sender", "reply-to"):
        if found[name] == found["from"]:
            found[name] = []
    return found


def parameters(flat):
    # Python's strings have one character where UTF-8 has several bytes.
    shown = lambda value: "".join(c if ord(c) < 128 else "?" for c in value.decode("utf-8", "replace"))
    return {text(name).lower(): shown(value) for name, value in zip((flat or [])[::2], (flat or [])[1::2], strict=True)}


def described(answer):
    """BODYSTRUCTURE as `structures.described` has it, without the names of fields."""
    if isinstance(answer[0], list):
        parts = [part for part in answer if isinstance(part, list)]
        parts = answer[:next(i for i, part in enumerate(answer) if not isinstance(part, list))]
        rest = answer[len(parts):]
        return {"kind": f"multipart/{text(rest[0]).lower()}", "parameters": parameters(rest[1]),
                "parts": [described(part) for part in parts]}
    kind = f"{text(answer[0])}/{text(answer[1])}".lower()
    this = {"kind": kind, "parameters": parameters(answer[2])}
    if kind in ("message/rfc822", "message/global") and isinstance(answer[7], list):
        return {**this, "envelope": envelope(answer[7]), "parts": [described(answer[8])]}
    if not kind.startswith("message/"):
        this["size"] = int(answer[6])
    if kind.startswith("text/"):
        this["lines"] = int(answer[7])
    return this


def of_python(part):
    """The same of Python's message."""
    kind = part.get_content_type()
    this = {"kind": kind, "parameters": structures.parameters(part)}
    if kind in ("message/rfc822", "message/global") and part.is_multipart():
        inner = part.get_payload(0)
        this.update(envelope=python_envelope(inner), parts=[of_python(inner)])
    elif part.get_content_maintype() == "multipart":
        # The grammar wants a part at least.
        nothing = {"kind": "text/plain", "parameters": {}, "size": 0, "lines": 0}
        this["parts"] = [of_python(inner) for inner in part.get_payload()] if part.is_multipart() else [nothing]
    elif not kind.startswith("message/"):
        # Python turns other message types into messages too; to IMAP they are leaves.
        body = part._payload.encode("ascii", "surrogateescape")
        this["size"] = len(body)
        if kind.startswith("text/"):
            this["lines"] = body.count(b"\n")
    return this


def python_envelope(message):
    """Without quotes: RFC 9051 section 7.5.2 wants a local part as it means."""
    found = {key: value for key, value in structures.envelope(message).items() if key != "references"}
    for people in found.values():
        for person in people if isinstance(people, list) else []:
            if quoted := re.fullmatch(r'"(.*)"@(.*)', person[1]):
                person[1] = re.sub(r"\\(.)", r"\1", quoted[1]) + "@" + quoted[2]
    return found


def differences(ours, theirs, at=""):
    """The innermost values that differ."""
    if isinstance(ours, dict) and isinstance(theirs, dict) and ours.keys() == theirs.keys():
        return [found for key in ours for found in differences(ours[key], theirs[key], f"{at}.{key}")]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [found for n, pair in enumerate(zip(ours, theirs)) for found in differences(*pair, f"{at}.{n}")]
    return [] if ours == theirs else [f"{at}: {ours!r}, but {theirs!r} in Python"]


# Messages of which Python's answer is another one, and why ours is meant.
DIFFERENT = {
    "envelope": {
        "mimekit/messages/stack-overflow.txt": "Python gives up on a group that doesn't end",
        "mimekit/mbox/content-length.mbox.txt/006": "what isn't an address is shown all the same",
    },
    "structure": {
        "mail-parser/rfc/001.eml": "parameters that no semicolon parts",
        "mail-parser/rfc/002.eml": "a comment isn't part of a name",
        "mail-parser/rfc/009.eml": "what isn't an address is shown all the same",
        "mail-parser/thirdparty/010.eml": "parameters that no semicolon parts",
        "mail-parser/malformed/000.eml": "a boundary that looks like a header field ends a header too",
        "cpython/msg_37.txt": "between two delimiters there is a part, if an empty one",
    },
}


@pytest.fixture(scope="module")
def understood(sources, kept):
    """Number, name and Python's message of all that Python finds nothing wrong with."""
    beyond = beyond_limits()
    messages = [(number, name, email.message_from_bytes(sources[name])) for number, name in enumerate(kept, 1)
                if name not in beyond]
    sound = [one for one in messages if not any(part.defects for part in one[2].walk())]
    assert len(sound) > 900
    return sound


def known(what, name):
    return name in DIFFERENT.get(what, ())


def leaves(message, path=()):
    """Every part that has a number, with Python's part."""
    if message.get_content_maintype() == "multipart" and message.is_multipart():
        for number, part in enumerate(message.get_payload(), 1):
            yield from parts_of(part, (*path, number))
    else:
        yield from parts_of(message, (*path, 1))


def parts_of(part, path):
    yield path, part
    kind = part.get_content_type()
    if part.get_content_maintype() == "multipart" and part.is_multipart():
        for number, inner in enumerate(part.get_payload(), 1):
            yield from parts_of(inner, (*path, number))
    elif kind in ("message/rfc822", "message/global") and part.is_multipart():
        yield from leaves(part.get_payload(0), path)


def test_structures_agree_with_python(demo, understood):
    imap = RawImap(demo.ports["imap"], USER)
    imap.ok("SELECT INBOX")
    report, agree = [], {(what, name) for what, names in DIFFERENT.items() for name in names}
    for number, name, message in understood:
        answer = fetched(imap, f"FETCH {number} (ENVELOPE BODYSTRUCTURE)")[number]
        found = {"envelope": differences(envelope(answer["ENVELOPE"]), python_envelope(message)),
                 "structure": differences(described(answer["BODYSTRUCTURE"]), of_python(message))}
        for what, differ in found.items():
            if differ:
                agree.discard((what, name))
                report += [f"{name} {what}{one}" for one in differ if not known(what, name)]
    imap.close()
    assert not report, f"{len(report)} differ\n" + "\n".join(report)
    assert not agree, f"these agree now: {agree}"


def test_parts_agree_with_python(demo, understood):
    """BODY[n], BODY[n.MIME], BODY[n.HEADER], BODY[n.TEXT], BINARY[n] and BINARY.SIZE[n] of every part."""
    imap = RawImap(demo.ports["imap"], USER)
    imap.ok("SELECT INBOX")
    report, compared = [], 0
    for number, name, message in understood:
        if known("structure", name):
            continue
        for path, part in leaves(message):
            compared += 1
            report += [f"{name} {'.'.join(map(str, path))} {one}" for one in part_differs(imap, number, path, part)]
    imap.close()
    assert not report, f"{len(report)} of {compared} differ\n" + "\n".join(report)
    assert compared > 5000, compared


def part_differs(imap, number, path, part):
    at = ".".join(map(str, path))
    kind = part.get_content_type()
    inner = part.get_payload(0) if kind in ("message/rfc822", "message/global") and part.is_multipart() else None
    leaf = not part.is_multipart() and not kind.startswith("multipart/")
    wanted = [f"BODY.PEEK[{at}]", f"BODY.PEEK[{at}.MIME]"]
    if inner is not None:
        wanted += [f"BODY.PEEK[{at}.HEADER]", f"BODY.PEEK[{at}.TEXT]"]
    encoding = str(part.get("content-transfer-encoding", "7bit")).strip().lower()
    decodes = leaf and encoding in ("7bit", "8bit", "binary", "base64", "quoted-printable")
    if decodes:
        wanted += [f"BINARY.PEEK[{at}]", f"BINARY.SIZE[{at}]"]
    untagged, _ = imap.ok(f"FETCH {number} ({' '.join(wanted)})")
    found = items(untagged[0])
    if fields(found[f"BODY[{at}.MIME]"]) != headers(part):
        yield f"MIME: {found[f'BODY[{at}.MIME]']!r}, but {part._headers!r} in Python"
    if inner is not None:
        if fields(found[f"BODY[{at}.HEADER]"]) != headers(inner):
            yield f"HEADER: {found[f'BODY[{at}.HEADER]']!r}, but {inner._headers!r} in Python"
        if found[f"BODY[{at}.HEADER]"] + found[f"BODY[{at}.TEXT]"] != found[f"BODY[{at}]"]:
            yield "HEADER and TEXT are not the part"
    if leaf:
        raw = part._payload.encode("ascii", "surrogateescape")
        if found[f"BODY[{at}]"] != raw:
            yield f"BODY: {found[f'BODY[{at}]'][:200]!r}, but {raw[:200]!r} in Python"
    if decodes:
        ours, theirs = found[f"BINARY[{at}]"], part.get_payload(decode=True)
        if encoding != part.get("content-transfer-encoding", "7bit").lower():
            # Python decodes nothing whose encoding has white space behind it.
            theirs = ours
        if not part.defects and ours != theirs:
            yield f"BINARY {encoding}: {ours[:200]!r}, but {theirs[:200]!r} in Python"
        if int(found[f"BINARY.SIZE[{at}]"]) != len(ours):
            yield f"BINARY.SIZE: {found[f'BINARY.SIZE[{at}]']}, but there are {len(ours)} bytes"


def headers(part):
    return [(name.strip().lower(), value) for name, value in part._headers]


def fields(data):
    return headers(email.message_from_bytes(data))
