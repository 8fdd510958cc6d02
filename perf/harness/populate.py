"""Mailboxes with the same messages on every server, from a seed.

Filled by MULTIAPPEND, hundreds of messages a transaction: what is measured later does not depend on how
the messages came, and one sync a message would take most of a run's time.
"""

import hashlib
import random
import time

from .mail import Imap

BATCH = 250
SYLLABLES = ("ka lo mi ter un san vel dor pre ing ation er ly con de fra gul hem is jo kel lin mar nes op pal qui "
             "ras sto tur us ver wen xi yor zel ab cu ef ho").split()
KINDS = ("plain", "plain", "alternative", "attachment")


def words(seed, count=6000):
    """A vocabulary as long as a person's, so that text compresses about as mail does."""
    dice = random.Random(seed)
    return ["".join(dice.choices(SYLLABLES, k=dice.choice((1, 2, 2, 3, 3, 4)))) for _ in range(count)]


class Messages:
    """Messages by number; each is made from the seed and its number alone.

    A fifth begin a conversation that the next four answer; one in a hundred says "needle" in its subject, one
    in a thousand says "haystack" in its body.
    """

    def __init__(self, size, seed=1):
        self.size, self.seed, self.words = size, seed, words(seed)
        # Zipf's law: the word of rank n is used in proportion to 1/n.
        total, cumulated = 0.0, []
        for rank in range(len(self.words)):
            total += 1 / (rank + 2)
            cumulated.append(total)
        self.cumulated = cumulated
        # Text is cut from a page at random places: making each word of each message would take minutes.
        dice = random.Random(seed + 1)
        self.page = " ".join(dice.choices(self.words, cum_weights=cumulated, k=120_000))

    def text(self, dice, size):
        lines = []
        while size > 0:
            begin = dice.randrange(len(self.page) - 80)
            line = self.page[begin:begin + 40 + dice.randrange(36)].strip()
            lines.append(line)
            size -= len(line) + 2
        return "\r\n".join(lines) + "\r\n"

    def message(self, number):
        dice = random.Random(self.seed * 1_000_003 + number)
        thread, reply = divmod(number, 5)
        word = self.words[(thread * 7919) % len(self.words)]
        subject = f"{word} {self.words[(thread * 104729) % len(self.words)]} {thread}"
        needle = " needle" if number % 100 == 7 else ""
        references = "".join(f" <{thread}.{earlier}@load.example.org>\r\n" for earlier in range(reply))
        header = (
            f"Return-Path: <{word}@example.org>\r\n"
            f"Received: from mx.example.org (mx.example.org [192.0.2.{number % 250}])\r\n"
            f"\tby mail.example.test with ESMTPS id {dice.getrandbits(60):x};\r\n"
            f"\t{date(number)}\r\n"
            f"Date: {date(number)}\r\n"
            f"From: {word.capitalize()} Example <{word}@example.org>\r\n"
            f"To: Somebody Else <load@example.test>, \"Team, {word}\" <team@example.test>\r\n"
            f"Subject: {'Re: ' if reply else ''}{subject}{needle}\r\n"
            f"Message-ID: <{thread}.{reply}@load.example.org>\r\n"
            + (f"In-Reply-To: <{thread}.{reply - 1}@load.example.org>\r\nReferences:{references}" if reply else "")
            + "User-Agent: Mozilla Thunderbird\r\nX-Spam-Status: No, score=-2.1\r\nMIME-Version: 1.0\r\n")
        rest = max(self.size - len(header) - 120, 60)
        straw = "haystack\r\n" if number % 1000 == 9 else ""
        kind = KINDS[number % 4]
        boundary = f"=_{number:08x}"
        if kind == "plain":
            body = f"Content-Type: text/plain; charset=utf-8\r\n\r\n{straw}{self.text(dice, rest)}"
        elif kind == "alternative":
            text = self.text(dice, rest // 3)
            html = self.text(dice, rest // 2)
            body = (f"Content-Type: multipart/alternative; boundary=\"{boundary}\"\r\n\r\n--{boundary}\r\n"
                    f"Content-Type: text/plain; charset=utf-8\r\n\r\n{straw}{text}\r\n--{boundary}\r\n"
                    f"Content-Type: text/html; charset=utf-8\r\n\r\n<html><body><p>{html}</p></body></html>\r\n"
                    f"--{boundary}--\r\n")
        else:
            text = self.text(dice, rest // 3)
            bits = "\r\n".join(f"{dice.getrandbits(288):072x}" for _ in range(max(rest // 2 // 74, 1)))
            body = (f"Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\n--{boundary}\r\n"
                    f"Content-Type: text/plain; charset=utf-8\r\n\r\n{straw}{text}\r\n--{boundary}\r\n"
                    f"Content-Type: application/octet-stream; name=\"data-{number}.bin\"\r\n"
                    f"Content-Disposition: attachment; filename=\"data-{number}.bin\"\r\n"
                    f"Content-Transfer-Encoding: base64\r\n\r\n{bits}\r\n--{boundary}--\r\n")
        return (header + body).encode()


def date(number, form="%a, %d %b %Y %H:%M:%S +0000"):
    """Ten minutes apart, from the 1st of January 2024 on."""
    return time.strftime(form, time.gmtime(1_704_067_200 + number * 600))


def fill(server, user, messages, count, mailbox="INBOX"):
    """Appends the first `count` of `messages`; returns the hash of their content, one behind the other."""
    digest = hashlib.sha256()
    session = Imap(server, user)
    if mailbox != "INBOX":
        session.command(f'CREATE "{mailbox}"')
    batch = []
    for number in range(count):
        message = messages.message(number)
        digest.update(message)
        batch.append((date(number, "%d-%b-%Y %H:%M:%S +0000"), message))
        if len(batch) == BATCH:
            session.append_many(batch, mailbox)
            batch = []
    if batch:
        session.append_many(batch, mailbox)
    session.close()
    return digest.hexdigest()
