"""Prints what Python's email package says of the messages named on the command line, as one JSON object."""

import email
import json
import sys


def shape(part):
    kind = part.get_content_type()
    # Python turns other message types into messages too; to IMAP they are leaves.
    if kind in ("message/rfc822", "message/global") and part.is_multipart():
        return [kind, [shape(part.get_payload(0))]]
    if part.get_content_maintype() == "multipart":
        # Without a delimiter its payload is text.
        return [kind, [shape(child) for child in part.get_payload()] if part.is_multipart() else []]
    if part.is_multipart():
        return [kind, None]
    # get_payload() would decode 8-bit text by its charset; the bytes as they came are here.
    body = part._payload.encode("ascii", "surrogateescape")
    return [kind, len(body)]


found = {}
for path in sys.argv[1:]:
    with open(path, "rb") as source:
        message = email.message_from_bytes(source.read())
    found[path] = {"shape": shape(message), "defects": sorted(
        {type(defect).__name__ for part in message.walk() for defect in part.defects})}
json.dump(found, sys.stdout)
