"""Writes what Python's codecs say of bytes, for charsets.rs: records of name, bytes and text, each with its length."""
import encodings
import encodings.aliases
import pkgutil
import sys

# Not charsets: other transformations, and the ones of other systems.
OTHER = set("""aliases base64_codec bz2_codec charmap hex_codec idna mbcs oem punycode quopri_codec raw_unicode_escape
rot_13 undefined unicode_escape uu_codec zlib_codec""".split())
codecs = [m.name for m in pkgutil.iter_modules(encodings.__path__) if m.name not in OTHER]
out = sys.stdout.buffer


def record(name, data, text):
    for field in (name.encode(), data, text.encode()):
        out.write(len(field).to_bytes(2, "little") + field)


def decoded(data, codec):
    try:
        return data.decode(codec)
    except UnicodeDecodeError:
        return None


for codec in codecs:
    names = [codec] + [alias for alias, name in encodings.aliases.aliases.items() if name == codec]
    # Each name once with some text, in the form that mail has it.
    for name in names:
        record(name.replace("_", "-"), "name".encode(codec), "name")
    for byte in range(256):
        text = decoded(bytes([byte]), codec)
        if text is not None:
            record(codec, bytes([byte]), text)
    # All characters that it has, if a byte is not all that they take; of those that have all, some.
    if codec.startswith(("cp", "iso8859", "koi8", "mac")) and codec not in ("cp932", "cp949", "cp950"):
        continue
    step = 97 if codec.startswith("utf") else 13 if codec == "gb18030" else 1
    for scalar in range(0x20, 0x30000, step):
        if 0xD800 <= scalar < 0xE000:
            continue
        data = chr(scalar).encode(codec, "ignore")
        text = decoded(data, codec)
        if data and text is not None:
            record(codec, data, text)
    # All pairs of bytes, and behind 8F.
    if codec.startswith(("big5", "cp9", "euc", "gb", "johab", "shift")):
        for lead in range(0x80, 0x100):
            if decoded(bytes([lead]), codec) is not None:
                continue
            for trail in range(0x21, 0x100):
                for data in (bytes([lead, trail]), bytes([0x8F, lead, trail])) if codec.startswith("euc_j") else (bytes([lead, trail]),):
                    text = decoded(data, codec)
                    if text is not None:
                        record(codec, data, text)
    # A text of several characters, switching.
    for text in ("Grüße", "日本語 a 日本", "中文 b", "한국어 c", "Привет", "αβγ", "~\\", "ﾊﾝｶｸ", "x\ny"):
        try:
            record(codec, text.encode(codec), text)
        except UnicodeEncodeError:
            pass
