"""Prints what Python's email package says of the messages named on the command line, as one JSON object."""

import email
import email.utils
import json
import sys


def text(value):
    """Bytes as the tests show them: those beyond ASCII as question marks."""
    return "".join(c if ord(c) < 128 else "?" for c in value)


def unfolded(value):
    return text(value.replace("\r", "").replace("\n", "").strip(" \t\f\r\n"))


def raw(message, name):
    """The first field of this name, unfolded, or null."""
    for known, value in message._headers:
        if known.strip().lower() == name:
            return unfolded(value)
    return None


def people(message, name):
    value = raw(message, name)
    if not value:
        return []
    try:
        found = email.utils.getaddresses([value])
    except RecursionError:
        # A group that doesn't end.
        return None
    return [[name, address] for name, address in found if name or address]


def parameters(part):
    known = {}
    for name, value in part.get_params([], "content-type")[1:]:
        if isinstance(value, tuple):
            value = email.utils.collapse_rfc2231_value(value)
        if name:
            known.setdefault(name.lower(), text(value))
    return known


def described(part):
    kind = part.get_content_type()
    this = {
        "kind": kind,
        "names": [text(name.strip().lower()) for name, _ in part._headers],
        "parameters": parameters(part),
    }
    # Python turns other message types into messages too; to IMAP they are leaves.
    if kind in ("message/rfc822", "message/global") and part.is_multipart():
        inner = part.get_payload(0)
        this["envelope"] = envelope(inner)
        this["parts"] = [described(inner)]
    elif part.get_content_maintype() == "multipart":
        # Without a delimiter its payload is text.
        this["parts"] = [described(child) for child in part.get_payload()] if part.is_multipart() else []
    elif not part.is_multipart():
        # get_payload() would decode 8-bit text by its charset; the bytes as they came are here.
        body = part._payload.encode("ascii", "surrogateescape")
        this["size"] = len(body)
        this["lines"] = body.count(b"\n")
    return this


def envelope(message):
    strings = ("date", "subject", "message-id", "in-reply-to", "references")
    lists = ("from", "sender", "reply-to", "to", "cc", "bcc")
    this = {name: raw(message, name) for name in strings} | {name: people(message, name) for name in lists}
    for name in ("sender", "reply-to"):
        # That is what they are where the header has none.
        if this[name] == this["from"]:
            this[name] = []
    return this


def main():
    found = {}
    for path in sys.argv[1:]:
        with open(path, "rb") as source:
            message = email.message_from_bytes(source.read())
        found[path] = {"envelope": envelope(message), "root": described(message), "defects": sorted(
            {type(defect).__name__ for part in message.walk() for defect in part.defects})}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
