"""Writes the tables of this folder from Python's codecs: run it here, with Python 3.11 or later, and format names.rs.

- single_byte.bin: blocks of 128 UTF-16 units, little-endian; FFFD where a byte means nothing.
- jis_x_0213.bin: for each of the two planes 94 bytes that say which row is where (FF: not here), then the rows, each 94
  cells of three bytes, little-endian: 0 where JIS X 0208 or 0212 says the same or there is nothing, a character, or
  110000 and above the index of a pair. All of the rows of plane 1 with symbols are here: there the web's JIS X 0208
  differs.
- names.rs: which charset a name means, in Python's normal form, and the pairs.
"""
import encodings.aliases
import struct

# Python's codecs that the web has as well, or has more of.
WEB = {
    "ascii": "windows-1252", "latin_1": "windows-1252", "iso8859_1": "windows-1252", "iso8859_9": "windows-1254",
    "iso8859_11": "windows-874", "tis_620": "windows-874", "cp874": "windows-874", "cp866": "ibm866",
    "mac_roman": "macintosh", "koi8_r": "koi8-r", "koi8_u": "koi8-u", "utf_8": "utf-8", "utf_8_sig": "utf-8",
    "gb2312": "gbk", "gbk": "gbk", "gb18030": "gb18030", "big5": "big5", "big5hkscs": "big5", "cp950": "big5",
    "cp932": "shift_jis", "shift_jis": "shift_jis", "euc_jp": "euc-jp", "euc_kr": "euc-kr", "cp949": "euc-kr",
}
WEB |= {f"iso8859_{n}": f"iso-8859-{n}" for n in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)}
WEB |= {f"cp{n}": f"windows-{n}" for n in range(1250, 1259)}
SINGLE = """cp037 cp1006 cp1026 cp1125 cp1140 cp273 cp424 cp437 cp500 cp720 cp737 cp775 cp850 cp852 cp855 cp856 cp857
cp858 cp860 cp861 cp862 cp863 cp864 cp865 cp869 cp875 hp_roman8 koi8_t kz1048 mac_arabic mac_croatian mac_cyrillic
mac_farsi mac_greek mac_iceland mac_latin2 mac_romanian mac_turkish palmos ptcp154""".split()
OWN = {
    "utf_7": "Utf7", "utf_16": "Utf16(Order::Marked)", "utf_16_be": "Utf16(Order::Big)",
    "utf_16_le": "Utf16(Order::Little)", "utf_32": "Utf32(Order::Marked)", "utf_32_be": "Utf32(Order::Big)",
    "utf_32_le": "Utf32(Order::Little)", "hz": "Hz", "johab": "Johab", "iso2022_kr": "Iso2022(Shifted::Hangul)",
    "euc_jis_2004": "EucJis2004", "euc_jisx0213": "EucJis2004",
    "shift_jis_2004": "ShiftJis2004", "shift_jisx0213": "ShiftJis2004",
}
OWN |= {f"iso2022_jp{end}": "Iso2022(Shifted::Katakana)" for end in ("", "_1", "_2", "_2004", "_3", "_ext")}


def blocks(codec):
    """The units of a single-byte codec's halves; the lower one only where it is not ASCII."""
    units = []
    for byte in range(256):
        try:
            text = bytes([byte]).decode(codec)
        except UnicodeDecodeError:
            text = "\ufffd"
        assert len(text) == 1 and ord(text) < 0x10000, codec
        units.append(ord(text))
    low = None if units[:128] == list(range(128)) else units[:128]
    return low, units[128:]


def main():
    out, singles, known = bytearray(), {}, {}

    def place(units):
        key = tuple(units)
        if key not in known:
            known[key] = len(out) // 256
            out.extend(struct.pack("<128H", *units))
        return known[key]

    for codec in SINGLE:
        low, high = blocks(codec)
        low = "None" if low is None else f"Some({place(low)})"
        singles[codec] = f"SingleByte({low}, {place(high)})"
    with open("single_byte.bin", "wb") as file:
        file.write(out)

    def cell(data, codec):
        try:
            return data.decode(codec)
        except UnicodeDecodeError:
            return ""

    pairs, rows, index = [], bytearray(), bytearray()
    for plane, prefix in ((1, b""), (2, b"\x8f")):
        for row in range(94):
            cells, differ = bytearray(), plane == 1 and row < 2
            for column in range(94):
                data = prefix + bytes([row + 0xA1, column + 0xA1])
                text = cell(data, "euc_jis_2004")
                if text == cell(data, "euc_jp") and not (plane == 1 and row < 2):
                    text = ""
                if len(text) == 2:
                    pairs.append(text)
                    value = 0x110000 + len(pairs) - 1
                else:
                    value = ord(text) if text else 0
                differ |= value != 0
                cells += value.to_bytes(3, "little")
            index.append(len(rows) // (94 * 3) if differ else 0xFF)
            if differ:
                rows += cells
    with open("jis_x_0213.bin", "wb") as file:
        file.write(index + rows)

    web = {codec: label.upper().replace("-", "_") + "_INIT" for codec, label in WEB.items()}
    charsets = {codec: f"Web(&encoding_rs::{encoding})" for codec, encoding in web.items()} | singles | OWN
    names = {codec: codec for codec in charsets}
    names |= {alias.lower(): codec for alias, codec in encodings.aliases.aliases.items() if codec in charsets}
    with open("names.rs", "w") as file:
        file.write("//! Names of charsets; generate.py made this file from Python's codecs and their aliases.\n\n"
                   "use super::{\n    Meaning::{self, EucJis2004, Hz, Iso2022, Johab, ShiftJis2004, SingleByte, Utf7, Utf16, Utf32, Web},\n"
                   "    Order, Shifted,\n};\n\n"
                   "/// Python's names in its normal form, sorted.\n"
                   "pub(super) static NAMES: &[(&str, Meaning)] = &[\n")
        for name in sorted(names, key=lambda name: name.encode()):
            file.write(f'    ("{name}", {charsets[names[name]]}),\n')
        file.write("];\n\n/// Cells of JIS X 0213 that are two characters of Unicode.\n"
                   f"pub(super) static PAIRS: [&str; {len(pairs)}] = [\n")
        for pair in pairs:
            file.write('    "%s",\n' % "".join(f"\\u{{{ord(c):x}}}" for c in pair))
        file.write("];\n")


main()
