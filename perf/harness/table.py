"""The table: what each row is called, what it is measured in, and what it must reach."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A row of the table.

    `better` is "higher" or "lower". With `ratio`, ringpost must be so many times as good as the better of Dovecot's
    layouts; with `limit`, its value must not exceed it.
    """

    key: str
    what: str
    unit: str
    better: str = "higher"
    ratio: float | None = None
    limit: float | None = None


DELIVERY = [
    Row("deliver-8", "LMTP, 10 kB, 8 connections, many mailboxes", "deliveries/s", ratio=5),
    Row("deliver-64", "the same, 64 connections", "deliveries/s", ratio=5),
    Row("crowded-8", "the same into one mailbox of 20,000 messages, 8 connections", "deliveries/s", ratio=8),
    Row("crowded-64", "the same, 64 connections", "deliveries/s", ratio=8),
    Row("deliver-1-p50", "one connection, latency p50", "ms", "lower", ratio=2.5),
    Row("apart-8", "LMTP, 8 connections, the server on one core and the load on another", "deliveries/s", ratio=5),
    Row("apart-64", "the same, 64 connections", "deliveries/s", ratio=5),
    Row("apart-1-p50", "the same, one connection, latency p50", "ms", "lower", ratio=2.5),
    Row("deliver-1", "one connection", "deliveries/s"),
    Row("deliver-8-p99", "8 connections, latency p99", "ms", "lower"),
    Row("deliver-64-p99", "64 connections, latency p99", "ms", "lower"),
    Row("append-8", "APPEND, 8 connections, one mailbox", "messages/s", ratio=3),
    Row("append-8-p99", "the same, latency p99", "ms", "lower"),
]
READING = [
    Row("fetch-body", "FETCH BODY[] of 20,000 messages of 10 kB", "MB/s", ratio=1.5),
    Row("envelope-first", "FETCH (UID FLAGS ENVELOPE BODYSTRUCTURE) of 100,000, first time", "messages/s"),
    Row("envelope", "the same, warm", "messages/s", ratio=2),
    Row("flags", "FETCH (UID FLAGS) of 100,000", "messages/s"),
    Row("sizes", "UID FETCH (FLAGS RFC822.SIZE INTERNALDATE) of 100,000", "messages/s"),
    Row("header-fields", "FETCH (UID BODY[HEADER.FIELDS (SUBJECT FROM DATE)]) of 100,000", "messages/s"),
    Row("select-cold", "SELECT of 100,000 messages, page cache empty", "ms", "lower", ratio=1),
    Row("select-warm", "SELECT of 100,000 messages, warm", "ms", "lower", ratio=1),
    Row("pop3", "POP3, whole mailboxes", "MB/s", ratio=4),
    Row("logins", "logins (connect, LOGIN, LOGOUT), 16 connections", "logins/s", ratio=2),
    Row("cold-start", "cold start: mailboxes opened and listed once, page cache empty, 64 connections", "mailboxes/s",
        ratio=2),
]
SEARCHING = [
    row for count, name in (("20k", "20,000"), ("100k", "100,000")) for row in (
        Row(f"search-flag-{count}", f"UID SEARCH by flag, {name}", "ms", "lower", ratio=1),
        Row(f"search-date-{count}", f"UID SEARCH by date, {name}", "ms", "lower", ratio=1),
        Row(f"search-from-{count}", f"UID SEARCH FROM, {name}", "ms", "lower", ratio=1),
        Row(f"search-header-{count}", f"UID SEARCH HEADER Message-ID, {name}", "ms", "lower", ratio=1),
        Row(f"search-subject-{count}", f"UID SEARCH SUBJECT, {name}", "ms", "lower", ratio=2),
        Row(f"sort-date-{count}", f"UID SORT (DATE), {name}", "ms", "lower", ratio=1),
        Row(f"sort-subject-{count}", f"UID SORT (SUBJECT), {name}", "ms", "lower", ratio=1),
        Row(f"thread-{count}", f"UID THREAD REFERENCES, {name}", "ms", "lower", ratio=2),
    )
] + [Row("search-body", "UID SEARCH BODY, 20,000 messages of 10 kB, no index", "ms", "lower", ratio=4)]
CHANGING = [
    Row("store", "STORE of a flag on 10,000, one command", "messages/s", ratio=2),
    Row("store-answered", "the same, each change answered", "messages/s", ratio=2),
    Row("store-single", "STORE of a flag on one message each, pipelined (synced by ringpost only)", "commands/s"),
    Row("copy", "COPY of 10,000", "messages/s", ratio=2),
    Row("move", "MOVE of 10,000", "messages/s", ratio=2),
    Row("expunge", "EXPUNGE of 10,000", "messages/s"),
]
RESOURCES = [
    Row("idle-plain", "memory of an idle logged-in IMAP connection, plain", "KiB", "lower", limit=12),
    Row("idle-tls", "the same, TLS", "KiB", "lower", limit=40),
    Row("idle-own", "the same, plain, each in IDLE on a mailbox of its own", "KiB", "lower"),
    Row("many-mailboxes", "resident memory with 10,000 mailboxes served in turn, most", "MiB", "lower", limit=100),
    Row("downloads", "resident memory while 5 connections download 240,000 messages, most", "MiB", "lower", limit=200),
    Row("notify-p99", "IDLE: new mail to untagged EXISTS, 10,000 connections to 1,000 mailboxes, 500 deliveries/s, p99", "ms", "lower",
        limit=20),
    Row("held-p999", "a core held by one task, all loads, p99.9", "ms", "lower", limit=10),
    Row("held-longest", "the same, longest", "ms", "lower"),
    Row("noop-p99", "NOOP of a warm user while 8 cold mailboxes on his core (the only one) are read, p99", "ms", "lower", limit=10),
    Row("noop-p50", "the same, p50", "ms", "lower"),
    Row("shards-deliver", "2 shards against 1, deliveries a second of processor time", "times", limit=None),
    Row("shards-fetch", "2 shards against 1, fetches a second of processor time", "times", limit=None),
    Row("forwarded", "cost of a forwarded request over a local one, p50", "µs", "lower", limit=15),
    Row("disk", "bytes on disk for a byte of mail, realistic mix, after checkpoint", "times", "lower", limit=0.75),
]
SENDING = [
    Row("queueing", "SMTP into the queue, durable, 50 sessions, next hop down", "messages/s"),
    Row("queueing-postfix", "the same, Postfix", "messages/s"),
    Row("queueing-ratio", "the one against the other", "times"),
    Row("outgoing", "from the queue to the next hop by SMTP, 20 connections that are used again", "messages/s"),
    Row("outgoing-postfix", "the same, Postfix", "messages/s"),
    Row("outgoing-ratio", "the one against the other", "times"),
]
# At least so much, where `limit` says at most.
AT_LEAST = {"queueing-ratio": 5, "outgoing-ratio": 5, "shards-deliver": 1.7, "shards-fetch": 1.7}
SECTIONS = [
    ("Deliveries and APPEND", DELIVERY),
    ("Reading", READING),
    ("Searching", SEARCHING),
    ("Changing", CHANGING),
    ("Sending", SENDING),
    ("Memory, latency under load, cores, disk", RESOURCES),
]
ALL = {row.key: row for _, rows in SECTIONS for row in rows}
