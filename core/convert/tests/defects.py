"""Reads every message of a folder with Python's default policy, walks all of it, and tells of defects that the
message it was made from (the same name, .original) has not."""

import email
import email.policy
import pathlib
import sys


def defects(path):
    try:
        message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
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


wrong = []
messages = sorted(pathlib.Path(sys.argv[1]).glob("*.eml"))
inherited = 0
for path in messages:
    found = defects(path)
    if found and defects(path.with_suffix(".original")):
        inherited += 1
    elif found:
        wrong += [f"{path.name}: {text}" for text in found]
print(f"{len(messages)} messages, {inherited} with defects of the original, {len(wrong)} defects of our own")
print("\n".join(wrong[:60]))
sys.exit(bool(wrong) or len(messages) < 100)
