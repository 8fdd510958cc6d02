"""Rows that one connection measures: a command on a large mailbox, from its last byte sent to its last received."""

import hashlib
import re
import time

from .mail import Imap

# Who has what: see populate.py.
BODIES, MANY, CHANGED = "box0", "box1", "box2"
# STOREs that are sent ahead of their answers.
PIPELINED = 100


def select(server, scale, temperature):
    """A session's first; warm: after another session's, just before."""
    if temperature == "warm":
        session = Imap(server, MANY)
        session.select()
        session.close()
    session = Imap(server, MANY)
    took, _ = session.timed("SELECT INBOX", lambda answer: b"* %d EXISTS" % scale.many in answer)
    session.close()
    return {f"select-{temperature}": took * 1e3}


def fetch_bodies(server, scale, digests):
    """All content, in order; its hash must be that of what was put in."""
    session = Imap(server, BODIES)
    session.select()
    begin = time.perf_counter()
    answer = session.command("FETCH 1:* BODY.PEEK[]")
    took = time.perf_counter() - begin
    if hash_of_literals(answer) != digests[BODIES]:
        raise AssertionError("FETCH BODY[] gave other content than was stored")
    session.close()
    return {"fetch-body": len(answer) / took / 1e6}


def hash_of_literals(answer):
    digest, position = hashlib.sha256(), 0
    header = re.compile(rb"\{(\d+)\}\r\n")
    while found := header.search(answer, position):
        begin, end = found.end(), found.end() + int(found[1])
        digest.update(memoryview(answer)[begin:end])
        position = end
    return digest.hexdigest()


def fetch_lists(server, scale):
    session = Imap(server, MANY)
    session.select()
    commands = [
        ("envelope-first", "FETCH 1:* (UID FLAGS ENVELOPE BODYSTRUCTURE)"),
        ("envelope", "FETCH 1:* (UID FLAGS ENVELOPE BODYSTRUCTURE)"),
        ("flags", "FETCH 1:* (UID FLAGS)"),
        ("sizes", "UID FETCH 1:* (FLAGS RFC822.SIZE INTERNALDATE)"),
        ("header-fields", "FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (SUBJECT FROM DATE)])"),
    ]
    results = {}
    for name, command in commands:
        took, _ = session.timed(command, lambda answer: answer.count(b" FETCH (") == scale.many)
        results[name] = scale.many / took
    session.close()
    return results


def found(answer):
    """How many numbers a SEARCH, SORT or THREAD answered."""
    line = next((line for line in answer.split(b"\r\n") if re.match(rb"\* (SEARCH|SORT|THREAD)", line)), b"")
    return len(re.findall(rb"\d+", line))


def search(server, user, messages, label):
    """Every command three times on one session; the fastest of the last two counts (warm)."""
    session = Imap(server, user)
    session.select()
    commands = {
        "search-flag": ("UID SEARCH UNSEEN", messages),
        "search-date": ("UID SEARCH SINCE 5-Jan-2024 BEFORE 10-Jan-2024", min(messages, 9 * 144) - min(messages, 4 * 144)),
        "search-from": ("UID SEARCH FROM nobody-has-this", 0),
        "search-header": ("UID SEARCH HEADER Message-ID <17.3@", 1),
        "search-subject": ("UID SEARCH SUBJECT needle", messages // 100),
        "sort-date": ("UID SORT (DATE) UTF-8 ALL", messages),
        "sort-subject": ("UID SORT (SUBJECT) UTF-8 ALL", messages),
        "thread": ("UID THREAD REFERENCES UTF-8 ALL", messages),
    }
    results = {}
    for name, (command, wanted) in commands.items():
        times = [session.timed(command, lambda answer: found(answer) == wanted)[0] for _ in range(3)]
        results[f"{name}-{label}"] = min(times[1:]) * 1e3
    session.close()
    return results


def search_body(server, scale):
    session = Imap(server, BODIES)
    session.select()
    took, _ = session.timed("UID SEARCH BODY haystack", lambda answer: found(answer) == scale.bodies // 1000)
    session.close()
    return {"search-body": took * 1e3}


def change(server, scale, round):
    """STORE, COPY, MOVE and EXPUNGE of whole mailboxes; leaves the first mailbox as it was."""
    session, count = Imap(server, CHANGED), scale.changed
    session.select()
    results, flag = {}, "$Perf"
    answered = lambda answer: answer.count(b" FETCH (") == count
    took, _ = session.timed(f"STORE 1:* +FLAGS.SILENT (\\Flagged {flag})")
    results["store"] = count / took
    took, _ = session.timed(f"STORE 1:* -FLAGS (\\Flagged {flag})", answered)
    results["store-answered"] = count / took
    singles = min(count, 5000)
    took = pipelined(session, [f"STORE {n} +FLAGS.SILENT (\\Flagged)" for n in range(1, singles + 1)])
    results["store-single"] = singles / took
    session.command("STORE 1:* -FLAGS.SILENT (\\Flagged)")
    copied, moved = f"copied{round}", f"moved{round}"
    session.command(f"CREATE {copied}")
    session.command(f"CREATE {moved}")
    took, _ = session.timed(f"COPY 1:* {copied}")
    results["copy"] = count / took
    session.select(copied)
    took, _ = session.timed(f"MOVE 1:* {moved}")
    results["move"] = count / took
    if session.select(moved) != count:
        raise AssertionError("MOVE lost messages")
    session.command("STORE 1:* +FLAGS.SILENT (\\Deleted)")
    took, _ = session.timed("EXPUNGE", lambda answer: answer.count(b" EXPUNGE\r\n") == count)
    results["expunge"] = count / took
    session.select()
    session.command(f"DELETE {copied}")
    session.command(f"DELETE {moved}")
    session.close()
    return results


def pipelined(session, commands):
    """Seconds for commands of which PIPELINED are under way at a time."""
    begin = time.perf_counter()
    for start in range(0, len(commands), PIPELINED):
        part = commands[start:start + PIPELINED]
        session.socket.sendall(b"".join(b"p%d %s\r\n" % (n, command.encode()) for n, command in enumerate(part)))
        answers = b""
        while answers.count(b" OK ") < len(part):
            piece = session.socket.recv(1 << 20)
            if not piece or b" NO " in piece or b" BAD " in piece:
                raise AssertionError(f"pipelined commands failed: {piece[:200]!r}")
            answers += piece
    return time.perf_counter() - begin
