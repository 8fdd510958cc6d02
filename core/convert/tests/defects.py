"""Reads every message of a folder with Python's default policy, walks all of it, and tells of defects. The message that
it was made from has the same name: with the ending .original its defects may be there too, with .same it must mean the
same. Reports have to say what their standards ask for."""
import email
import email.policy
import pathlib
import re
import sys


def parsed(path):
    return email.message_from_bytes(path.read_bytes(), policy=email.policy.default)


def defects(path):
    try:
        message = parsed(path)
        found = []
        for part in message.walk():
            found += part.defects
            for _, value in part.items():
                found += value.defects
            if not part.is_multipart():
                part.get_payload(decode=True)
                if part.get_content_maintype() == "text":
                    part.get_content()
                found += part.defects
        return [f"{type(defect).__name__} {defect}" for defect in found]
    except Exception as error:
        return [f"{type(error).__name__} {error}"]


def one_line(value):
    return " ".join(str(value).split())


def people(message, name):
    found = []
    for field in message.get_all(name, []):
        # Without a name, or called by the address, is the same. Python keeps blanks between encoded words.
        found += [("" if a.display_name == a.addr_spec else "".join(a.display_name.split()), a.addr_spec)
                  for a in field.addresses]
    return found


def leaves(part, found, messages=None):
    """What there is to read: text as text, files with their names as bytes. Texts say in which message they are."""
    messages = messages or [0]
    kind = part.get_content_type()
    this = len(messages)
    if kind in ("message/delivery-status", "message/disposition-notification"):
        # Python reads the first as messages; both are lines of fields.
        blocks = [sorted(f"{n.lower()}:{one_line(v)}" for n, v in block.items()) for block in part.iter_parts()] \
            if kind == "message/delivery-status" else [part.get_payload(0).as_string()]
        found.append((kind, None, repr(blocks)))
    elif part.is_multipart():
        if kind == "message/rfc822":
            messages.append(len(messages))
        this = len(messages)
        for inner in part.iter_parts():
            # What follows an embedded message belongs to the outer one again.
            before = len(found)
            leaves(inner, found, messages)
            found[before:] = [(k if isinstance(k, tuple) else (this, k), n, t) for k, n, t in found[before:]]
    elif part.get_content_maintype() == "text" and not part.get_filename() and kind in ("text/plain", "text/html"):
        found.append((kind, None, re.sub(r"\s+", " ", part.get_content()).strip()))
    else:
        name = part.get_filename()
        name = name and re.sub(r'["<>?*|:]', "", one_line(name))
        found.append((kind, name, (part.get_payload(decode=True) or b"").strip()))


def difference(path, original):
    ours, theirs = parsed(path), parsed(original)
    for name in ("from", "sender", "reply-to", "to", "cc", "bcc"):
        a, b = people(ours, name), people(theirs, name)
        if a != b:
            return f"{name}: {a} instead of {b}"
    for name in ("subject", "message-id", "in-reply-to", "references", "importance", "sensitivity", "thread-topic",
                 "x-mailer", "x-long", "x-message-flag", "list-unsubscribe"):
        if name not in theirs:
            continue
        a, b = one_line(ours.get(name, "")), one_line(theirs.get(name, ""))
        if a.lower() != b.lower() and not (name == "subject" and len(a) >= 253 and b.startswith(a)):
            return f"{name}: {a} instead of {b}"
    if ours["date"].datetime != theirs["date"].datetime:
        return f"date: {ours['date']} instead of {theirs['date']}"
    a, b = [], []
    leaves(ours, a)
    leaves(theirs, b)
    if theirs.get_content_type() in ("multipart/signed", "multipart/encrypted") or theirs.get_content_subtype().endswith("pkcs7-mime"):
        # Nothing is added, and none of it is changed.
        return None if a == b else f"{a} instead of {b}"
    if a == b:
        return None
    a = [(k if isinstance(k, tuple) else (1, k), n, t) for k, n, t in a]
    b = [(k if isinstance(k, tuple) else (1, k), n, t) for k, n, t in b]
    # Files without a name get one; HTML gets a text beside it; pictures come before what else is attached.
    wanted = {kind for kind, name, _ in b if name is None}

    def reduced(list_):
        pieces = {kind: one_line(" ".join(text for k, n, text in list_ if k == kind and n is None and isinstance(text, str))) for kind in wanted}
        files = sorted((data for _, _, data in list_ if isinstance(data, bytes)))
        names = sorted(name for _, name, _ in list_ if name)
        return pieces, files, names

    (texts, files, names), (their_texts, their_files, their_names) = reduced(a), reduced(b)
    if files != their_files:
        return f"files: {[len(f) for f in files]} instead of {[len(f) for f in their_files]}"
    if not set(their_names) <= set(names):
        return f"names: {names} instead of {their_names}"
    for kind, text in their_texts.items():
        if texts[kind].strip() != text.strip():
            at = next((i for i, (x, y) in enumerate(zip(texts[kind], text)) if x != y), min(len(texts[kind]), len(text)))
            return f"{kind} at {at}: {texts[kind][max(at - 40, 0):at + 40]!r} instead of {text[max(at - 40, 0):at + 40]!r}"
    return None


def report(path):
    """What is wrong with a report (RFC 3464, RFC 8098, RFC 6522); None for other messages."""
    message = parsed(path)
    if message.get_content_type() != "multipart/report":
        return None
    parts = list(message.iter_parts())
    kind = message["content-type"].params.get("report-type")
    if len(parts) < 2 or parts[1].get_content_type() not in (f"message/{kind}", f"message/global-{kind}"):
        return f"the second of {len(parts)} parts is not what {kind} says"
    if parts[1].get_content_type().startswith("message/global"):
        return None
    blocks = list(parts[1].iter_parts())
    if kind == "delivery-status":
        first, *rows = blocks
        if not str(first["reporting-mta"]).startswith("dns;"):
            return f"Reporting-MTA is {first['reporting-mta']}"
        for row in rows:
            if "@" not in str(row["final-recipient"]) or not str(row["final-recipient"]).startswith("rfc822;"):
                return f"Final-Recipient is {row['final-recipient']}"
            if str(row["action"]).lower() not in ("failed", "delayed", "delivered", "relayed", "expanded"):
                return f"Action is {row['action']}"
            if not re.fullmatch(r"[245]\.\d{1,3}\.\d{1,3}.*", str(row["status"])):
                return f"Status is {row['status']}"
            if (str(row["action"]) == "failed") != str(row["status"]).startswith("5") and "original" not in path.name \
                    and not str(row["status"]).startswith("4"):
                return f"Action {row['action']} and status {row['status']}"
            if row["diagnostic-code"] and ";" not in str(row["diagnostic-code"]):
                return f"Diagnostic-Code is {row['diagnostic-code']}"
        return None if rows else "no recipient"
    fields = blocks[0]
    if "@" not in str(fields["final-recipient"]):
        return f"Final-Recipient is {fields['final-recipient']}"
    mode = r"(manual|automatic)-action/MDN-sent-(manually|automatically)"
    if not re.fullmatch(mode + r"; ?(displayed|deleted|dispatched|processed|denied|failed)(/.*)?", str(fields["disposition"])):
        return f"Disposition is {fields['disposition']}"
    return None


wrong = []
reports = 0
messages = sorted(pathlib.Path(sys.argv[1]).glob("*.eml"))
inherited = same = 0
for path in messages:
    found = defects(path)
    original = path.with_suffix(".original")
    if found and original.exists() and defects(original):
        inherited += 1
    elif found:
        wrong += [f"{path.name}: {text}" for text in found]
    if not path.with_suffix(".original").exists():
        try:
            reports += b"multipart/report" in path.read_bytes()
            found = report(path)
        except Exception as error:
            found = f"{type(error).__name__} {error}"
        if found:
            wrong.append(f"{path.name} is no report: {found}")
    original = path.with_suffix(".same")
    if original.exists():
        try:
            found = difference(path, original)
        except Exception as error:
            found = f"{type(error).__name__} {error}"
        if found:
            wrong.append(f"{path.name} means something else: {found[:600]}")
        else:
            same += 1
print(f"{len(messages)} messages, {same} mean the same as the original, {reports} with reports, "
      f"{inherited} with defects of the original, {len(wrong)} wrong")
print("\n".join(wrong[:60]))
sys.exit(bool(wrong) or len(messages) < 100)
