"""Whole accounts over IMAP: filling one with what people keep, and all of it as a value, to compare two."""

import datetime
import hashlib
import re

import imapclient

from conftest import plain_message
from messages import corpora

FOLDERS = ["INBOX", "Archive", "Archive/2024", "Projects/alpha/deep", "Gr\u00fc\u00dfe & K\u00fcsse", "\u65e5\u672c\u8a9e", "Empty"]
FLAGS = [[], [b"\\Seen"], [b"\\Seen", b"\\Answered"], [b"\\Flagged"], [b"\\Seen", b"\\Flagged"], [b"\\Draft", b"\\Seen"],
         [b"\\Answered", b"\\Flagged", b"\\Seen"]]
KEYWORDS = [[], [b"$Forwarded"], [b"$label1", b"NonJunk"], [b"$MDNSent"]]
MULTIPART = ("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n"
             "Content-Transfer-Encoding: 8bit\r\n\r\nGr\u00fc\u00dfe\r\n--b\r\nContent-Type: application/octet-stream\r\n"
             "Content-Disposition: attachment; filename=a.bin\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC\r\n--b--\r\n")
# mbsync's own field in each message that it copies, to find it again.
MBSYNC_MARK = re.compile(rb"^X-TUID: .{12}\r\n", re.MULTILINE)


def connected(port, user, password="demo"):
    client = imapclient.IMAPClient("127.0.0.1", port, ssl=False)
    client.normalise_times = False
    client.login(user, password)
    return client


def fill(client, keywords=True, seed_messages=60, from_corpora=True):
    """Fills an empty account: every folder, flag and a spread of dates and zones, messages that people wrote. Each
    message has a Message-ID and a Received field of its own, by which some programs know messages again."""
    sources = []
    for number in range(seed_messages):
        source = plain_message(number, 200 + 700 * (number % 7))
        if number % 3 == 0:
            source = source.partition(b"\r\n\r\n")[0] + b"\r\nMIME-Version: 1.0\r\n" + MULTIPART.encode()
        sources.append(source)
    if from_corpora:
        sources += [source if b"\r\nmessage-id:" in source.lower() else
                    f"Message-ID: <{number}@corpora.example.org>\r\n".encode() + source
                    for number, source in enumerate(filter(plain, corpora().values()))]
    for name in FOLDERS[1:]:
        client.create_folder(name)
        client.subscribe_folder(name)
    start = datetime.datetime(2019, 3, 30, 23, 59, 58)
    for number, source in enumerate(sources):
        zone = datetime.timezone(datetime.timedelta(minutes=(number % 9 - 4) * 105))
        date = (start + datetime.timedelta(hours=37 * number)).replace(tzinfo=zone)
        flags = FLAGS[number % len(FLAGS)] + (KEYWORDS[number % len(KEYWORDS)] if keywords else [])
        source = f"Received: from host{number}.example.org; Tue, 24 Nov 2026 10:00:00 +0000\r\n".encode() + source
        client.append(FOLDERS[number % (len(FOLDERS) - 1)], source, flags, date)
    return len(sources)


def plain(source):
    """Whether no server has a reason to keep the message otherwise than it came: Dovecot knows no NUL and ends the
    last line."""
    header, blank, body = source.partition(b"\r\n\r\n")
    return (b"\0" not in source and blank and body and len(source) < 200_000 and b":" in header.split(b"\r\n")[0]
            and b"\r" not in source.replace(b"\r\n", b"") and source.endswith(b"\r\n"))


def contents(client, names=FOLDERS, uids=False):
    """All of an account: by folder, the sorted messages as (hash of the bytes, flags, arrival as a moment, UID if it
    is asked for)."""
    account = {}
    for name in names:
        client.select_folder(name, readonly=True)
        found = client.search()
        fetched = client.fetch(found, ["FLAGS", "INTERNALDATE", "BODY.PEEK[]"]) if found else {}
        account[name] = sorted(
            (hashlib.sha256(MBSYNC_MARK.sub(b"", items[b"BODY[]"], count=1)).hexdigest(), tuple(sorted(flag for flag in items[b"FLAGS"] if flag != b"\\Recent")),
             items[b"INTERNALDATE"].timestamp(), uid if uids else None) for uid, items in fetched.items())
    return account


def differences(one, other):
    """What a person wants to read where two accounts differ; empty where they don't."""
    lines = []
    for name in sorted({*one, *other}):
        here, there = set(one.get(name, [])), set(other.get(name, []))
        if len(one.get(name, [])) != len(other.get(name, [])):
            lines.append(f"{name}: {len(one.get(name, []))} messages, {len(other.get(name, []))} there")
        lines += [f"{name}: only here {message}" for message in sorted(here - there)[:3]]
        lines += [f"{name}: only there {message}" for message in sorted(there - here)[:3]]
    return lines
