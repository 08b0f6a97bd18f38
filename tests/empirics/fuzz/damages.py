"""A grammar of bad input: for every kind of file and for the command line, valid input with a damage in it.

A damage gets a :class:`Scratch` with valid input and a generator of random numbers, and changes the input. What must
come of it is one of `MUST`: a number that is wrong must never pass as if nothing had been there.
"""

import gzip
import io
import json
import pickle
import re
import struct
import tarfile
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

#: What must come of a damage: exit code 2; refused, or other numbers than without it; the same numbers; no matter.
MUST = REFUSE, DIFFER, SAME, ANY = "refuse", "differ", "same", "any"


@dataclass
class Scratch:
    """A folder with valid input, the words of the command, and what a message about it must name (one of these)."""

    home: Path
    words: list[str]
    file: Path
    canary: Path  # a file that only an executed payload makes
    names: list[str] = field(default_factory=list)

    @property
    def text(self):
        return self.file.read_text()

    @text.setter
    def text(self, value):
        self.file.write_bytes(value.encode())

    def bytes(self, change):
        self.file.write_bytes(change(self.file.read_bytes()))


class Payload:
    """Executes itself when it is unpickled: makes a file."""

    def __init__(self, canary):
        self.canary = str(canary)

    def __reduce__(self):
        return open, (self.canary, "w")


#: By surface and name: what to do to the scratch folder, and what must come of it.
DAMAGES: dict[str, dict[str, tuple]] = {}


def damage(surface, name, must=REFUSE):
    def keep(do):
        assert name not in DAMAGES.setdefault(surface, {}), (surface, name)
        DAMAGES[surface][name] = (do, must)
        return do

    return keep


def texts(*surfaces, **changes):
    """Damages of any text: functions of the text and the dice."""
    for name, (must, change) in changes.items():
        for surface in surfaces:
            damage(surface, name.replace("_", " "), must)(
                lambda s, dice, change=change: setattr(s, "text", change(s.text, dice))
            )


def flip(content, dice):
    at = dice.randrange(len(content))
    return content[:at] + bytes([content[at] ^ 1 << dice.randrange(8)]) + content[at + 1 :]


def cut(content, dice):
    return content[: dice.randrange(len(content))]


#: Damages of the bytes of any file.
BYTES = {
    "empty": lambda content, dice: b"",
    "cut short": cut,
    "a flipped bit": flip,
    "noise": lambda content, dice: dice.randbytes(200),
    "zeros at the end": lambda content, dice: content[:-40] + bytes(40),
    "something behind": lambda content, dice: content + b"\x00\xff rest",
    "twice": lambda content, dice: content + content,
}


def of_bytes(surface, **must):
    """Damages of the bytes of a file; what must come of each is said by name where it is not `ANY`."""
    for name, change in BYTES.items():
        damage(surface, name, must.get(name.replace(" ", "_"), ANY))(
            lambda s, dice, change=change: s.bytes(lambda content: change(content, dice))
        )


# -------------------------------------------------------------------------------------------- experiment files (TOML)
ASSIGNED = re.compile(r"^(\w+) = (.+)$", re.MULTILINE)
#: Values for any key, and what must come of them.
VALUES = {
    "nan": REFUSE, "inf": REFUSE, "-inf": REFUSE, "-1": REFUSE, "-0.5": REFUSE, "1e400": REFUSE, "[]": REFUSE,
    "[[1.0]]": REFUSE, "1979-05-27": REFUSE, '""': REFUSE, "[nan]": REFUSE, '[1.0, "a"]': REFUSE, "{a = 1}": REFUSE,
    '["0.1"]': REFUSE, "[0.1, 0.1]": REFUSE, "1_5": REFUSE, "1e-400": DIFFER, "0": DIFFER, "10000000000000": DIFFER,
    "1" * 5000: REFUSE, '"x"': DIFFER, "true": DIFFER, "0.5": DIFFER, '"ünï\\u202e"': DIFFER, "0x10": ANY,
}  # fmt: skip
for value, must in VALUES.items():

    @damage("toml", f"value {value[:20]}", must)
    def _(s, dice, value=value):
        key = dice.choice([found[1] for found in ASSIGNED.finditer(s.text)])
        s.names = [key, s.file.name]
        s.text = re.sub(rf"^{key} = .+$", lambda _: f"{key} = {value}", s.text, count=1, flags=re.MULTILINE)


def key_changed(change):
    """Change the line of a random key."""

    def do(text, dice):
        line = dice.choice([found[0] for found in ASSIGNED.finditer(text)])
        return text.replace(line, change(line), 1)

    return do


texts(
    "toml",
    misspelt_key=(REFUSE, key_changed(lambda line: line[0] + "q" + line[1:])),
    key_in_capitals=(REFUSE, key_changed(lambda line: line[0].upper() + line[1:])),
    duplicated_key=(REFUSE, key_changed(lambda line: f"{line}\n{line}")),
    unknown_key=(REFUSE, key_changed(lambda line: f"{line}\nlerning_rate = 1")),
    no_value=(REFUSE, key_changed(lambda line: line.partition("=")[0] + "=")),
    no_equals_sign=(REFUSE, key_changed(lambda line: line.replace("=", " ", 1))),
    duplicated_table=(REFUSE, lambda text, dice: text + "\n[grid]\nlr = [0.1]\n"),
    misspelt_table=(REFUSE, lambda text, dice: text.replace("[grid]", "[gird]")),
    table_as_a_list=(REFUSE, lambda text, dice: text.replace("[grid]", "[[grid]]")),
    nested_lists=(REFUSE, lambda text, dice: "a = " + "[" * 1000 + "]" * 1000 + "\n" + text),
    nested_tables=(REFUSE, lambda text, dice: "a = " + "{a = " * 1000 + "1" + "}" * 1000 + "\n" + text),
    dotted_keys=(REFUSE, lambda text, dice: ".".join("a" * 5000) + " = 1\n" + text),
    a_zero_byte=(REFUSE, lambda text, dice: text + "\x00"),
    an_unended_string=(REFUSE, lambda text, dice: text + 'x = "'),
    an_escape_that_is_none=(REFUSE, lambda text, dice: text.replace('name = "', 'name = "\\z', 1)),
    line_ends_of_windows=(SAME, lambda text, dice: text.replace("\n", "\r\n")),
    a_mark_at_the_start=(SAME, lambda text, dice: "\ufeff" + text),
    comments=(SAME, lambda text, dice: text.replace("\n", "  # n = 1\n")),
    spaces=(SAME, lambda text, dice: text.replace(" = ", "\t  =   ")),
)
of_bytes("toml", empty=REFUSE, noise=REFUSE, something_behind=REFUSE, twice=REFUSE, zeros_at_the_end=REFUSE)
damage("toml", "UTF-16")(lambda s, dice: s.bytes(lambda content: content.decode().encode("utf-16")))
damage("toml", "Latin-1")(lambda s, dice: s.bytes(lambda content: b"# \xe9\n" + content))


@damage("toml", "a name that leaves the folder")
def _(s, dice):
    name = dice.choice(["../evil", "/tmp/evil", "a/../../evil", "..", "\\\\evil\\\\x/y", "x" * 300])
    s.text = re.sub('name = "[^"]*"', lambda _: f'name = "{name}"', s.text, count=1)
    s.words, s.names = s.words[:2], ["name"]  # without --out the name is that of the folder


# -------------------------------------------------------------------------------------------- tables
def cells(text):
    return [line.split(",") for line in text.strip().split("\n")]


def joined(rows):
    return "\n".join(map(",".join, rows)) + "\n"


def cell_changed(change):
    def do(text, dice):
        rows = cells(text)
        row, column = dice.randrange(1, len(rows)), dice.randrange(len(rows[0]))
        rows[row][column] = change(rows[row][column])
        return joined(rows)

    return do


def rows_changed(change):
    def do(text, dice):
        rows = cells(text)
        change(rows, dice)
        return joined(rows)

    return do


def without(text, column):
    return joined([row[:column] + row[column + 1 :] for row in cells(text)])


CELLS = {
    "inf": DIFFER, "-1": REFUSE, "0": DIFFER, "text": REFUSE, "1_5": REFUSE, "0x10": REFUSE, "1e400": DIFFER,
    "1+2j": REFUSE, "=cmd()": REFUSE, "1;2": REFUSE, "[0.1]": REFUSE, "--": REFUSE, "٣": DIFFER,
    "true": REFUSE, "nan": DIFFER, "": DIFFER, "1e300": DIFFER, "1e-300": DIFFER,
    "9" * 5000: DIFFER, "x" * 200_000: REFUSE,
}  # fmt: skip
for value, must in CELLS.items():
    texts("csv", **{f"cell {value[:12]}": (must, cell_changed(lambda _, value=value: value))})
texts(
    "csv",
    missing_column=(DIFFER, lambda text, dice: without(text, dice.randrange(6))),
    duplicated_column=(REFUSE, rows_changed(lambda rows, dice: [row.append(row[0]) for row in rows])),
    misspelt_column=(REFUSE, lambda text, dice: text.replace("lr,", "qlxr,", 1)),
    a_column_without_name=(REFUSE, lambda text, dice: text.replace("radius_sq", "", 1)),
    unknown_column=(SAME, rows_changed(lambda rows, dice: [row.append(f"q{i}") for i, row in enumerate(rows)])),
    short_row=(REFUSE, rows_changed(lambda rows, dice: dice.choice(rows[1:-1]).pop())),
    long_row=(REFUSE, rows_changed(lambda rows, dice: dice.choice(rows[1:]).append("1"))),
    duplicated_row=(REFUSE, rows_changed(lambda rows, dice: rows.append(list(dice.choice(rows[1:]))))),
    header_alone=(REFUSE, lambda text, dice: text.partition("\n")[0]),
    no_header=(REFUSE, lambda text, dice: text.partition("\n")[2]),
    two_headers=(REFUSE, lambda text, dice: text.partition("\n")[0] + "\n" + text),
    a_quote_left_open=(REFUSE, lambda text, dice: text + '"1,2\n'),
    a_zero_byte=(REFUSE, lambda text, dice: text.replace(",", ",\x00", 1)),
    line_ends_of_windows=(SAME, lambda text, dice: text.replace("\n", "\r\n")),
    line_ends_of_old=(SAME, lambda text, dice: text.replace("\n", "\r")),
    a_mark_at_the_start=(SAME, lambda text, dice: "\ufeff" + text),
    semicolons=(SAME, lambda text, dice: text.replace(",", ";")),
    empty_lines=(SAME, lambda text, dice: text.replace("\n", "\n\n")),
)


of_bytes("csv", empty=REFUSE, noise=REFUSE, something_behind=REFUSE, twice=REFUSE)
damage("csv", "UTF-16", SAME)(lambda s, dice: s.bytes(lambda content: content.decode().encode("utf-16")))
damage("csv", "Latin-1")(lambda s, dice: s.bytes(lambda content: b"\xe9" + content))


def renamed(s, suffix, content):
    s.file = s.file.with_name(f"runs{suffix}")
    s.file.write_bytes(content)
    s.words[1], s.names = str(s.file), [s.file.name]


def bomb(head=b"", megabytes=1500):
    """A gzip file of a few kB that holds zeros without end."""
    part = gzip.compress(bytes(50 << 20))
    return gzip.compress(head) + part * (megabytes // 50)


damage("csv", "packed and cut short")(lambda s, d: renamed(s, ".csv.gz", gzip.compress(s.file.read_bytes())[:-9]))
damage("csv", "a packed bomb")(lambda s, dice: renamed(s, ".csv.gz", bomb(b"lr,weight_decay\n")))
damage("csv", "a folder in its place")(lambda s, dice: (s.file.unlink(), s.file.mkdir()))
damage("csv", "a link to itself")(lambda s, dice: (s.file.unlink(), s.file.symlink_to(s.file.name)))


def records(s):
    head, *rows = cells(s.text)
    return [dict(zip(head, map(float, row), strict=True)) for row in rows]


JSONS = {
    "duplicated key": (REFUSE, lambda t, dice: t.replace('"lr": ', '"lr": 0.3, "lr": ', 1)),
    "nested lists": (REFUSE, lambda t, dice: "[" * 100_000 + "]" * 100_000),
    "nested objects": (REFUSE, lambda t, dice: '{"a":' * 100_000 + "1" + "}" * 100_000),
    "5000 digits": (REFUSE, lambda t, dice: t.replace('"lr": ', f'"lr": {"1" * 5000}, "x": ', 1)),
    "Infinity": (REFUSE, lambda t, dice: re.sub(r'"lr": [^,]+', '"lr": Infinity', t, count=1)),
    "NaN": (REFUSE, lambda t, dice: re.sub(r'"lr": [^,]+', '"lr": NaN', t, count=1)),
    "null": (REFUSE, lambda t, dice: re.sub(r'"lr": [^,]+', '"lr": null', t, count=1)),
    "a list in a cell": (REFUSE, lambda t, dice: re.sub(r'"lr": [^,]+', '"lr": [[0.1]]', t, count=1)),
    "an object in a cell": (REFUSE, lambda t, dice: re.sub(r'"lr": [^,]+', '"lr": {"a": 1}', t, count=1)),
    "a word in a cell": (REFUSE, lambda t, dice: re.sub(r'"lr": [^,]+', '"lr": "fast"', t, count=1)),
    "a key missing in one": (REFUSE, lambda t, dice: re.sub(r'"lr": [^,]+, ', "", t, count=1)),
    "empty list": (REFUSE, lambda t, dice: "[]"),
    "empty object": (REFUSE, lambda t, dice: "{}"),
    "a number": (REFUSE, lambda t, dice: "7"),
    "null alone": (REFUSE, lambda t, dice: "null"),
    "a list of lists": (REFUSE, lambda t, dice: "[[1, 2], [3, 4]]"),
    "a comma too many": (REFUSE, lambda t, dice: t.replace("}]", "},]")),
    "single quotes": (REFUSE, lambda t, dice: t.replace('"', "'")),
    "half an escape": (ANY, lambda t, dice: t.replace("lr", "\\ud800lr")),
    "cut short": (REFUSE, lambda t, dice: cut(t, dice)),
    "a mark at the start": (SAME, lambda t, dice: "\ufeff" + t),
    "lines": (SAME, lambda t, dice: t.replace(",", ",\r\n")),
}
for name, (must, change) in JSONS.items():
    damage("json", name, must)(
        lambda s, dice, change=change: renamed(
            s, ".json", change(json.dumps(records(s)), dice).encode("utf-8", "surrogatepass")
        )
    )


# -------------------------------------------------------------------------------------------- arrays (npz)
def columns_of(s):
    rows = records(s)
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def npz(change):
    """Arrays that are changed before they are written."""

    def do(s, dice):
        arrays, buffer = columns_of(s), io.BytesIO()
        change(arrays, s, dice)
        np.savez(buffer, **arrays)
        renamed(s, ".npz", buffer.getvalue())

    return do


def packed(change):
    """An archive whose bytes, or whose files, are changed."""

    def do(s, dice):
        npz(lambda *_: None)(s, dice)
        s.bytes(lambda content: change(content, dice))

    return do


def header(shape, dtype="<f8"):
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def with_file(name, content, zeros=0):
    """A further file in the archive, which ends in so many zeros."""

    def change(archive, dice):
        buffer = io.BytesIO(archive)
        with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as file, file.open(name, "w") as inner:
            inner.write(content)
            for _ in range(zeros >> 20):
                inner.write(bytes(1 << 20))
        return buffer.getvalue()

    return packed(change)


def set_item(name, value):
    return npz(lambda arrays, s, dice: arrays.__setitem__(name, value(arrays, s)))


NPZ = {
    "a pickle": (REFUSE, set_item("lr", lambda a, s: np.array([Payload(s.canary)] * 6, dtype=object))),
    "objects": (REFUSE, set_item("seed", lambda a, s: np.array([{}] * 6, dtype=object))),
    "ragged": (REFUSE, set_item("lr", lambda a, s: a["lr"][:-1])),
    "complex": (REFUSE, set_item("lr", lambda a, s: a["lr"] * 1j)),
    "dates": (REFUSE, set_item("lr", lambda a, s: np.array(["2020-01-01"] * len(a["lr"]), dtype="M8[D]"))),
    "text": (REFUSE, set_item("lr", lambda a, s: np.array(["fast"] * len(a["lr"])))),
    "nan": (REFUSE, set_item("lr", lambda a, s: a["lr"] * np.nan)),
    "zeros": (REFUSE, set_item("lr", lambda a, s: a["lr"] * 0)),
    "empty arrays": (REFUSE, npz(lambda a, s, d: a.update({name: one[:0] for name, one in a.items()}))),
    "three axes": (REFUSE, set_item("lr", lambda a, s: np.ones((2, 2, 2)))),
    "records": (REFUSE, set_item("lr", lambda a, s: np.zeros(len(a["lr"]), dtype=[("a", "f8")]))),
    "missing": (REFUSE, npz(lambda a, s, d: a.pop("lr"))),
    "no arrays": (REFUSE, npz(lambda a, s, d: a.clear())),
    "whole numbers that overflow": (DIFFER, set_item("dimension", lambda a, s: np.full(6, 2**64 - 1, "u8"))),
    "a huge shape": (REFUSE, with_file("loss.npy", header((10**12,)))),
    "a negative shape": (REFUSE, with_file("loss.npy", header((-6,)))),
    "a shape of 5000 digits": (REFUSE, with_file("loss.npy", header(f"({'9' * 5000},)"))),
    "a header that is code": (REFUSE, with_file("loss.npy", header("(__import__('os').getpid(),)"))),
    "a bomb": (REFUSE, with_file("loss.npy", header((100 << 20,)), 800 << 20)),
    "a path that leaves the archive": (ANY, with_file("../../evil.npy", header((6,)) + bytes(48))),
    "the same name twice": (ANY, with_file("lr.npy", header((6,)) + bytes(48))),
    "a file that is no array": (ANY, with_file("readme.txt", b"text")),
    "a bare pickle": (REFUSE, lambda s, dice: renamed(s, ".npz", pickle.dumps(Payload(s.canary)))),
}  # fmt: skip
for name, (do, must) in {name: (do, must) for name, (must, do) in NPZ.items()}.items():
    damage("npz", name, must)(do)
for name, change in BYTES.items():
    damage("npz", name, ANY)(packed(change))


# -------------------------------------------------------------------------------------------- archives of images
def member(name, content=b"", **facts):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in facts.items():
        setattr(info, key, value)
    return info, content


def with_members(*members):
    """An archive with further members."""

    def do(s, dice):
        with tarfile.open(s.file, "a") as tar:
            for info, content in members:
                tar.addfile(info, io.BytesIO(content))

    return do


def png(width, height, data=b"", depth=8, kind=0):
    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def link(name, target, kind=tarfile.SYMTYPE):
    return member(name, type=kind, linkname=target)


IMAGES = {
    "a link out of the archive": with_members(link("cat/x.png", "/etc/passwd")),
    "a link up and out": with_members(link("cat/x.png", "../../../etc/passwd")),
    "a link to itself": with_members(link("cat/x.png", "x.png")),
    "two links in a ring": with_members(link("cat/x.png", "y.png"), link("cat/y.png", "x.png")),
    "a hard link to nothing": with_members(link("cat/x.png", "cat/none.png", tarfile.LNKTYPE)),
    "a device": with_members(member("cat/x.png", type=tarfile.CHRTYPE)),
    "a pipe": with_members(member("cat/x.png", type=tarfile.FIFOTYPE)),
    "no image": with_members(member("cat/x.png", b"text")),
    "an empty image": with_members(member("cat/x.png")),
    "another size": with_members(member("cat/x.png", png(1, 1, zlib.compress(b"\x00\x07")))),
    "a size of zero": with_members(member("cat/x.png", png(0, 0))),
    "an image too large": with_members(member("cat/x.png", png(10**5, 10**5))),
    "an image beyond the warning": with_members(member("aaa/x.png", png(12_000, 10_000, bytes(9)))),
    "a text in an image too large": with_members(member("cat/x.png", png(5, 4)[:33] + b"\x00\x00\x00\x00zTXt")),
    "a name of another encoding": with_members(member("cat/\udce9.png", b"text")),
    "a name with a line end": with_members(member("cat/a\nb.png", b"text")),
    "a class of one file name": with_members(member("fish", type=tarfile.DIRTYPE)),
}  # fmt: skip
for name, do in IMAGES.items():
    damage("images", name, ANY if name in ("a device", "a pipe") else REFUSE)(do)
damage("images", "a member twice", REFUSE)(with_members(member("cat/000.png", png(5, 4))))
damage("images", "a path that leaves the archive", ANY)(with_members(member("../../evil/x.png", b"text")))
damage("images", "an absolute path", ANY)(with_members(member("/evil/x.png", b"text")))


@damage("images", "a packed bomb")
def _(s, dice):
    big, _ = member("cat/x.png")
    big.size = 1400 << 20
    s.bytes(lambda content: bomb(content.rstrip(b"\x00") + bytes(-len(content.rstrip(b"\x00")) % 512) + big.tobuf()))


of_bytes("images", empty=REFUSE, noise=REFUSE)
for form in ("zip", "gzip of text"):
    damage("images", f"a {form} instead")(
        lambda s, dice, form=form: s.bytes(
            lambda content: b"PK\x03\x04" + content if form == "zip" else gzip.compress(b"text")
        )
    )
