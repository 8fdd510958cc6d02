"""One, two and four cores on the same data: the same answers, byte for byte, to everything a client asks."""

import http.client
import json
import pathlib
import poplib
import re
import shutil
import sqlite3

import pytest

from conftest import LmtpClient, Server, plain_message
from raw_imap import RawImap

USERS = ("alice@example.test", "bob@example.test", "carol@example.test")
VISIT = "bob@example.test!carol@example.test"
# FORMAT.md, `permissions`; [MS-OXCPERM] 2.2.7.
INBOX, PUBLIC_SUBTREE = 0x0D, 0x02
REVIEWER, AUTHOR, EDITOR, OWNER = 0x401, 0x41B, 0x47B, 0x7FB
EVERYBODY = 0


def grant(mailbox, folder, user, rights):
    """What no protocol that is served yet can do: a right in the table of the mailbox, while it is closed."""
    database = sqlite3.connect(mailbox / "exmdb/exchange.sqlite3")
    with database:
        if isinstance(folder, str):
            folder, = database.execute("SELECT id FROM folders WHERE name = ?", (folder,)).fetchone()
        principal = EVERYBODY
        if user:
            database.execute("INSERT OR IGNORE INTO principals (name) VALUES (?)", (user,))
            principal, = database.execute("SELECT id FROM principals WHERE name = ?", (user,)).fetchone()
        database.execute("INSERT OR REPLACE INTO permissions (folder, principal, rights) VALUES (?, ?, ?)",
                         (folder, principal, rights))
    database.close()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Users who see each other's folders, a public folder, an owner of another's mailbox, and some mail."""
    server = Server(tmp_path_factory.mktemp("shards") / "data")
    server.admin("domain", "add-public-store", "example.test")
    server.admin("owner", "add", "carol@example.test", "bob@example.test")
    server.stop()
    places = {user: pathlib.Path(json.loads(server.admin("--json", "user", "show", user))["mailbox"]) for user in USERS}
    domain, = json.loads(server.admin("--json", "domain", "list"))
    public = next(pathlib.Path(value) for key, value in domain.items() if "public" in key and value)
    grant(places["alice@example.test"], INBOX, "bob@example.test", REVIEWER)
    grant(places["bob@example.test"], INBOX, "alice@example.test", EDITOR)
    grant(public, PUBLIC_SUBTREE, "alice@example.test", OWNER)
    server.start()
    alice = RawImap(server.ports["imap"], "alice@example.test")
    for folder in ("Public Folders/example.test/News", "Projects", "Projects/Deep"):
        alice.ok(f'CREATE "{folder}"')
    for number in range(5):
        alice.ok('APPEND "Public Folders/example.test/News" () "24-Nov-2026 10:00:00 +0000"', plain_message(number))
    alice.close()
    lmtp = LmtpClient(server)
    for number in range(10):
        assert all(reply.startswith("250") for reply in lmtp.deliver(USERS, plain_message(number, 300 * 3 ** number)))
    lmtp.close()
    server.stop()
    grant(public, "News", None, AUTHOR)
    snapshot = server.data.with_name("snapshot")
    shutil.copytree(server.data, snapshot)
    return server, snapshot


def restarted(data, shards):
    server, snapshot = data
    shutil.rmtree(server.data)
    shutil.copytree(snapshot, server.data)
    server.extra = ["--shards", str(shards)]
    server.start()
    return server


def figure(server, name):
    """A counter of all cores together."""
    connection = http.client.HTTPConnection("127.0.0.1", server.ports["admin"])
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return sum(float(value) for value in re.findall(rf"^ringpost_{name}(?:\{{[^}}]*\}})? (\S+)$", text, re.MULTILINE))


class Transcript:
    """What was asked and answered, of any number of sessions."""

    def __init__(self):
        self.lines = []

    def ask(self, imap, command, literal=None):
        untagged, tagged = imap.command(command, literal)
        self.lines.append((command, [(one.line, one.literals) for one in untagged], tagged))
        return untagged


def walk_imap(transcript, imap):
    """Every folder and message that a session can see."""
    ask = transcript.ask
    ask(imap, "CAPABILITY")
    ask(imap, "NAMESPACE")
    ask(imap, "LSUB \"\" *")
    lists = ('LIST "" * RETURN (SUBSCRIBED CHILDREN SPECIAL-USE STATUS (MESSAGES UIDNEXT UIDVALIDITY UNSEEN SIZE '
             'HIGHESTMODSEQ MAILBOXID))', 'LIST "Other Users/" *', 'LIST "Public Folders/" *')
    names = [match[1] for command in lists for response in ask(imap, command)
             if (match := re.match(r'\* LIST \((?!.*\\Noselect).*?\) "/" (.*?)(?: \(.*\))?$', response.line))]
    for name in names:
        ask(imap, f"STATUS {name} (MESSAGES UIDNEXT UIDVALIDITY UNSEEN SIZE HIGHESTMODSEQ MAILBOXID)")
        exists = next(one for one in ask(imap, f"EXAMINE {name} (CONDSTORE)") if one.line.endswith(" EXISTS"))
        if exists.line == "* 0 EXISTS":
            continue
        for command in ("FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE MODSEQ EMAILID ENVELOPE)",
                        "FETCH 1:* (BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS (SUBJECT FROM)])",
                        "UID FETCH 1:* (BODY.PEEK[] BODY.PEEK[1]<10.500> BINARY.SIZE[1])",
                        "SEARCH RETURN (MIN MAX COUNT ALL) UNSEEN", "SEARCH TEXT message OR FROM alice BODY 1",
                        "SEARCH MODSEQ 5 NOT SEEN", "SORT (REVERSE DATE SUBJECT) UTF-8 ALL", "SORT (SIZE) UTF-8 LARGER 999",
                        "THREAD REFERENCES UTF-8 ALL", "THREAD ORDEREDSUBJECT UTF-8 ALL"):
            ask(imap, command)
    return names


def walk_pop3(transcript, port, user):
    pop = poplib.POP3("127.0.0.1", port)
    pop.user(user)
    pop.pass_("demo")
    lines = transcript.lines
    lines += [(user, pop.stat(), pop.list(), pop.uidl())]
    for number in range(1, pop.stat()[0] + 1):
        lines += [(user, number, pop.retr(number), pop.top(number, 2))]
    # Without QUIT, nothing changes.
    pop.close()


def read_everything(server, tls):
    transcript = Transcript()
    seen = {}
    # A user with TLS, whose state moves to the other core, too.
    for user, context in ((USERS[0], None), (USERS[0], tls), (USERS[1], tls), (USERS[2], None), (VISIT, tls)):
        imap = RawImap(server.ports["imaps" if context else "imap"], user, tls=context)
        seen[user] = walk_imap(transcript, imap)
        imap.close()
    for user in (USERS[0], VISIT):
        walk_pop3(transcript, server.ports["pop3"], user)
    refused = RawImap(server.ports["imap"])
    transcript.ask(refused, 'LOGIN "alice@example.test!carol@example.test" demo')
    refused.close()
    lmtp = LmtpClient(server)
    commands = ["MAIL FROM:<a@b.test>", *(f"RCPT TO:<{user}>" for user in (*USERS, "nobody@example.test", "x@y.test"))]
    transcript.lines += [(command, lmtp.command(command)) for command in commands]
    lmtp.close()
    # What the walk is about is in it.
    assert '"Other Users/bob@example.test/INBOX"' in seen["alice@example.test"], seen
    assert '"Other Users/alice@example.test/INBOX"' in seen["bob@example.test"], seen
    assert '"Public Folders/example.test/News"' in seen["carol@example.test"], seen
    assert seen[VISIT] == seen["carol@example.test"]
    return transcript.lines


def change_everything(server):
    """Changes within and between mailboxes, by their owner, by a visitor and by an owner of another's mailbox;
    what each session is told of the others' changes."""
    transcript = Transcript()
    ask = transcript.ask
    bob, visitor, alice = (RawImap(server.ports["imap"], user) for user in ("bob@example.test", *["alice@example.test"] * 2))
    ask(bob, "ENABLE QRESYNC")
    ask(bob, "SELECT INBOX")
    ask(visitor, 'SELECT "Other Users/bob@example.test/INBOX"')
    ask(alice, "SELECT INBOX")
    date = '"24-Nov-2026 11:00:00 +0000"'
    steps = [
        (alice, "STORE 1:5 +FLAGS (\\Flagged work)"),
        (alice, "COPY 1:20 Projects/Deep"),
        (alice, 'COPY 7,9,11:15 "Other Users/bob@example.test/INBOX"'),
        (bob, "NOOP"),
        (visitor, "NOOP"),
        (alice, 'MOVE 30:35 "Other Users/bob@example.test/INBOX"'),
        (alice, 'MOVE 40:45 "Public Folders/example.test/News"'),
        (bob, "NOOP"),
        (visitor, "STORE 3:8 +FLAGS.SILENT (\\Deleted)"),
        (bob, "NOOP"),
        (visitor, "MOVE 20:22 Projects"),
        (visitor, "EXPUNGE"),
        (bob, "STORE 1:4 (UNCHANGEDSINCE 3) +FLAGS (late)"),
        (bob, "EXPUNGE"),
        (visitor, "NOOP"),
        (visitor, f'APPEND "Other Users/bob@example.test/INBOX" (\\Seen) {date}', plain_message("visitor", 100_000)),
        (bob, "NOOP"),
        (bob, 'APPEND "Other Users/alice@example.test/INBOX" ()', plain_message("refused")),
        (bob, 'SELECT "Other Users/alice@example.test/INBOX"'),
        (bob, "STORE 1 +FLAGS (\\Seen)"),
        (bob, "SELECT INBOX (QRESYNC (1 1))"),
        (alice, "RENAME Projects Past"),
        (alice, "SELECT Past/Deep"),
        (alice, "FETCH 1:* (UID FLAGS MODSEQ)"),
        (alice, 'STATUS "Other Users/bob@example.test/INBOX" (MESSAGES UNSEEN UIDNEXT SIZE HIGHESTMODSEQ)'),
    ]
    for step in steps:
        ask(*step)
    for imap in (bob, visitor, alice):
        imap.close()
    return transcript.lines


def test_any_number_of_cores_gives_the_same_answers(data, client_tls):
    answers, elsewhere = {}, {}
    for shards in (1, 2, 4):
        server = restarted(data, shards)
        read = read_everything(server, client_tls)
        changed = change_everything(server)
        moved, forwarded = figure(server, "handed_over_total"), figure(server, "forwarded_calls_total")
        # What the changes led to, from the disk.
        assert server.stop() == 0
        server.start()
        after = read_everything(server, client_tls)
        assert server.stop() == 0
        answers[shards] = (read, changed, after)
        print(f"{shards} cores: {len(read) + len(changed) + len(after)} answers, {moved:.0f} connections handed over, "
              f"{forwarded:.0f} calls forwarded")
        elsewhere[shards] = (moved, forwarded)
    # Which mailboxes share one of two cores is chance.
    assert elsewhere[1] == (0, 0) and all(one + other > 0 for one, other in zip(elsewhere[2], elsewhere[4])), elsewhere
    for shards in (2, 4):
        for one, other in zip(answers[1], answers[shards], strict=True):
            assert len(one) == len(other)
            for a, b in zip(one, other, strict=True):
                assert a == b, f"{shards} cores"
