"""Starts rspamd on a port of its own, has it look at every message of a folder, and tells of those that it finds
malformed. Nothing but the message itself is looked at: no DNS, no network, no statistics.

    rspamd.py FOLDER
"""
import collections
import email
import email.policy
import http.client
import json
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

# Symbols for what no well-formed message has. Others judge content, senders or recipients.
MALFORMED = """
R_BAD_CTE_7BIT CTYPE_MIXED_BOGUS CTYPE_MISSING_DISPOSITION MIME_HEADER_CTYPE_ONLY BROKEN_CONTENT_TYPE
BROKEN_HEADERS BROKEN_HEADERS_MAILLIST MULTIPLE_UNIQUE_HEADERS MV_CASE HEADER_CC_EMPTY_DELIMITER
HEADER_CC_DELIMITER_TAB HEADER_TO_EMPTY_DELIMITER HEADER_TO_DELIMITER_TAB HEADER_FROM_EMPTY_DELIMITER
HEADER_FROM_DELIMITER_TAB HEADER_DATE_EMPTY_DELIMITER HEADER_REPLYTO_EMPTY_DELIMITER
INVALID_DATE INVALID_MSGID INVALID_FROM_8BIT SUBJECT_NEEDS_ENCODING FROM_NEEDS_ENCODING TO_NEEDS_ENCODING
MISSING_DATE MISSING_FROM MISSING_MID MISSING_MIME_VERSION MISSING_SUBJECT MISSING_CHARSET R_MISSING_CHARSET
MULTIPLE_FROM FROM_INVALID BAD_CTE_7BIT MIME_BASE64_TEXT_BOGUS MIME_BAD MIME_UNKNOWN_CTE
SUBJ_EXCESS_BASE64 SUBJ_EXCESS_QP FROM_EXCESS_BASE64 FROM_EXCESS_QP TO_EXCESS_BASE64 TO_EXCESS_QP
REPLYTO_EXCESS_BASE64 REPLYTO_EXCESS_QP CC_EXCESS_BASE64 CC_EXCESS_QP REPLYTO_UNPARSEABLE
R_NO_SPACE_IN_FROM ENVFROM_INVALID
""".split()

CONFIGURATION = """
lua = "/usr/share/rspamd/rules/rspamd.lua";
.include "/etc/rspamd/metrics.conf"
options {
    filters = "chartable,regexp";
    dns { nameserver = ["127.0.0.1:1"]; timeout = 0.01s; retransmits = 1; }
    rundir = "%(folder)s"; tempdir = "%(folder)s"; dynamic_conf = "%(folder)s/dynamic"; hs_cache_dir = "%(folder)s";
    pidfile = "%(folder)s/pid"; history_file = "";
}
logging { type = "file"; filename = "%(folder)s/log"; level = "warning"; }
worker "normal" { bind_socket = "127.0.0.1:%(port)d"; count = 1; }
modules { path = "/usr/share/rspamd/plugins/"; fallback_path = "/usr/share/rspamd/lua"; try_path = "/nowhere"; }
"""
STARTS_WITHIN_SECONDS = 300  # A few, but the machine may be busy.


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port, server):
    for _ in range(STARTS_WITHIN_SECONDS * 10):
        if server.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.1)
    sys.exit("rspamd did not start")


def needed(symbol, path):
    """Whether a field that is encoded though it is ASCII would be read as something else if it were not; or whether
    text was encoded by whoever signed it."""
    if symbol == "MIME_BASE64_TEXT_BOGUS":
        return b"multipart/signed" in path.read_bytes()
    if "_EXCESS_" not in symbol:
        return False
    field = {"SUBJ": "Subject", "REPLYTO": "Reply-To"}.get(symbol.split("_")[0], symbol.split("_")[0])
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    text = str(message[field])
    names = [address.display_name for address in getattr(message[field], "addresses", [])]
    return any("=?" in part or "  " in part or part != part.strip() for part in names or [text])


def judge(port, paths):
    found, wrong = collections.Counter(), []
    connection = None
    for path in paths:
        for attempt in (1, 2, 3):
            connection = connection or http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            try:
                connection.request("POST", "/checkv2", path.read_bytes())
                answer = json.loads(connection.getresponse().read())
                break
            except (http.client.HTTPException, ConnectionError):
                connection.close()
                connection = None
        else:
            sys.exit(f"rspamd does not answer for {path}")
        symbols = answer["symbols"]
        found.update(list(symbols))
        wrong += [f"{path.name}: {name} {symbols[name].get('options', '')}" for name in symbols
                  if name in MALFORMED and not needed(name, path)]
    return found, wrong


def main():
    paths = sorted(pathlib.Path(sys.argv[1]).glob("*.eml"))
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        configuration = pathlib.Path(folder) / "rspamd.conf"
        configuration.write_text(CONFIGURATION % {"folder": folder, "port": port})
        server = subprocess.Popen(["rspamd", "-i", "-f", "-c", configuration], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(port, server)
            # That it sees what is malformed at all.
            bad = pathlib.Path(folder) / "bad.eml"
            bad.write_bytes(b"From: a@example.test\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
                            b"Content-Transfer-Encoding: 7bit\r\n\r\n\xc3\xbc\r\n")
            seen, _ = judge(port, [bad])
            assert {"MISSING_DATE", "MISSING_MID", "MISSING_SUBJECT", "R_BAD_CTE_7BIT"} <= set(seen), seen
            found, wrong = judge(port, paths)
        finally:
            server.terminate()
            server.wait()
    print(f"{len(paths)} messages, {len(wrong)} wrong; what rspamd says: {dict(found.most_common())}")
    print("\n".join(wrong[:40]))
    sys.exit(bool(wrong) or not paths)


main()
