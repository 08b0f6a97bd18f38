"""A grammar of bad input: for every kind of file, and for the command line, valid input and what is damaged in it.

Each damage has a name, what must come of it (one of `MUST`), and what it does to a `Scratch` with valid input.
"""

import gzip
import io
import json
import pickle
import re
import shutil
import struct
import tarfile
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from gas import SMALL
from images_on_disk import packed, write_images
from tiny import TINY

#: Exit code 2; refused, or other numbers than without the damage; the numbers without it; no matter.
MUST = REFUSE, DIFFER, SAME, ANY = "refuse", "differ", "same", "any"
IMPORT = ("--protocol", "fixed-lr", "--out", "out")


@dataclass
class Scratch:
    """A folder with valid input, the words of the command, and what a message must name (one of these)."""

    home: Path
    words: list[str]
    file: Path
    names: list[str] = field(default_factory=list)

    def change(self, change, name=None):
        content = change(self.file.read_bytes())
        if name:
            self.file = self.file.with_name(name)
            self.words[1], self.names = str(self.file), [name]
        self.file.write_bytes(content)

    def text(self, change, name=None):
        self.change(lambda content: change(content.decode()).encode("utf-8", "surrogatepass"), name)


class Valid:
    """Valid input of each surface; what takes long is made once."""

    def __init__(self, home, finished):
        self.finished, self.archive = finished, packed(write_images(home / "pictures", count=2), home / "a.tar", "w")
        rows = ["lr,weight_decay,dimension,radius_sq,grad_sq,loss"]
        for lr, wd in [(lr, wd) for lr in (0.01, 0.02) for wd in (0.01, 0.02, 0.05)]:
            squared = (lr * 300 / (wd * (2 - lr * wd))) ** 0.5
            rows.append(f"{lr},{wd},301,{squared:.9g},{300 / squared:.9g},{0.2 + lr + wd:.9g}")
        self.table = "\n".join(rows) + "\n"

    def scratch(self, surface, home, dice):
        home.mkdir()
        toml, table, archive, saved = home / "mine.toml", home / "runs.csv", home / "images.tar", home / "saved"
        images = TINY.replace('name = "digits"', 'name = "images"\npath = "images.tar"')
        toml.write_text(images if surface == "images" else dice.choice([TINY, SMALL]) if surface == "toml" else TINY)
        table.write_text(self.table)
        if surface == "images":
            shutil.copy(self.archive, archive)
        if surface in ("folder", "words"):
            shutil.copytree(self.finished, home / "finished")
        if surface == "checkpoints":
            checkpoints(saved)
        verb = dice.choice(["compare", "report", "status", "resume"])
        run, folder = ["run", str(toml), "--out", "out"], [verb, str(home / "finished")]
        return {
            "toml": lambda: Scratch(home, run, toml, [toml.name]),
            "images": lambda: Scratch(home, run, archive, [archive.name]),
            "checkpoints": lambda: Scratch(home, ["import", str(saved), *IMPORT], saved / "step_500.pt", ["saved"]),
            "folder": lambda: Scratch(home, folder, home / "finished" / "experiment.toml", ["finished"]),
            "words": lambda: Scratch(home, [], toml),
        }.get(surface, lambda: Scratch(home, ["import", str(table), *IMPORT], table, [table.name]))()


def checkpoints(folder):
    folder.mkdir()
    rng = np.random.default_rng(7)
    for step in range(0, 1200, 100):
        weights = {name: torch.tensor(rng.standard_normal((3, 4))) for name in ("first", "second")}
        torch.save({"model": weights, "step": step, "args": {"x": [1, "a"]}}, folder / f"step_{step}.pt")
    (folder / "config.json").write_text(json.dumps({"lr": 0.1, "weight_decay": 0.01}))


class Payload:
    """Executes itself when it is unpickled: makes a file."""

    def __init__(self, home):
        self.path = str(home.parent / "executed")

    def __reduce__(self):
        return open, (self.path, "w")


#: By surface and name: what must come of it, and what to do.
DAMAGES = {name: {} for name in ("toml", "csv", "json", "npz", "images", "checkpoints", "folder", "words")}


def regular(surface, must, changes, name=None):
    """Replace one of the places that match an expression."""
    for title, (pattern, new) in changes.items():

        def do(s, dice, pattern=pattern, new=new):
            def change(text):
                found = dice.choice(list(re.finditer(pattern, text, re.MULTILINE)))
                s.names += [found[1]] if found.groups() else []
                return text[: found.start()] + found.expand(new) + text[found.end() :]

            s.text(change, name)

        DAMAGES[surface][title] = (must, do)


def whole(surface, must, changes, name=None):
    """Change the whole of a text."""
    for title, change in changes.items():
        DAMAGES[surface][title] = (must, lambda s, dice, change=change: s.text(change, name))


def cut(content, dice):
    return content[: dice.randrange(len(content))]


def flip(content, dice):
    at = dice.randrange(len(content))
    return content[:at] + bytes([content[at] ^ 1 << dice.randrange(8)]) + content[at + 1 :]


# fmt: off
BYTES = {
    "empty": lambda c, dice: b"", "cut short": cut, "a flipped bit": flip,
    "noise": lambda c, dice: dice.randbytes(200),
    "zeros at the end": lambda c, dice: c[:-40] + bytes(40), "twice": lambda c, dice: c + c,
    "something behind": lambda c, dice: c + b"\x00\xff rest",
}
for surface, refused in (("toml", {*BYTES} - {"cut short", "a flipped bit"}), ("images", {"empty", "noise"}),
                         ("csv", {*BYTES} - {"cut short", "a flipped bit", "zeros at the end"}),
                         ("npz", {"empty"}), ("checkpoints", {"empty", "noise", "cut short"})):
    for title, change in BYTES.items():
        DAMAGES[surface][f"{title}"] = (REFUSE if title in refused else ANY,
                                        lambda s, dice, change=change: s.change(lambda c: change(c, dice)))

# ------------------------------------------------------------------------------------------------ experiments (TOML)
KEY, LINE = r"^(\w+) = .+$", r"^(\w)(\w*) = (.+)$"
for must, values in {
    REFUSE: ["nan", "inf", "-inf", "-1", "-0.5", "1e400", "[]", "[[1.0]]", "1979-05-27", '""', "[nan]", '[1.0, "a"]',
             "{a = 1}", '["0.1"]', "[0.1, 0.1]", "1_5", "1" * 5000],
    DIFFER: ["1e-400", "0", "10000000000000", '"x"', "true", "0.5", '"ünï\\\\u202e"'], ANY: ["0x10"],
}.items():
    regular("toml", must, {f"value {value[:20]}": (KEY, rf"\1 = {value}") for value in values})
regular("toml", REFUSE, {
    "misspelt key": (LINE, r"\1q\2 = \3"), "duplicated key": (KEY, r"\g<0>\n\g<0>"), "no value": (KEY, r"\1 ="),
    "unknown key": (KEY, r"\g<0>\nlerning_rate = 1"), "no equals sign": (KEY, r"\1 1"),
    "misspelt table": (r"\[grid\]", "[gird]"), "table as a list": (r"\[grid\]", "[[grid]]"),
    "duplicated table": (r"\Z", "[grid]\nlr = [0.1]\n"), "nested lists": (r"\A", f"a = {'[' * 1000 + ']' * 1000}\n"),
    "nested tables": (r"\A", f"a = {'{a = ' * 1000}1{'}' * 1000}\n"), "an unended string": (r"\Z", 'x = "'),
    "dotted keys": (r"\A", f"{'.'.join('a' * 5000)} = 1\n"), "a zero byte": (r"\Z", "\x00"),
    "an escape that is none": ('name = "', r'name = "\\z'),
})
whole("toml", SAME, {
    "line ends of Windows": lambda t: t.replace("\n", "\r\n"), "a mark at the start": lambda t: "\ufeff" + t,
    "comments": lambda t: t.replace("\n", "  # n = 1\n"), "spaces": lambda t: t.replace(" = ", "\t  =   "),
})
DAMAGES["toml"] |= {
    "UTF-16": (REFUSE, lambda s, dice: s.change(lambda c: c.decode().encode("utf-16"))),
    "Latin-1": (REFUSE, lambda s, dice: s.change(lambda c: b"# \xe9\n" + c)),
}
for title in ("../evil", "/tmp/evil", "a/../../evil", "..", "evil\\\\x", "x" * 300):
    def do(s, dice, title=title):  # without --out the name is that of the folder
        s.text(lambda t: re.sub('name = "[^"]*"', lambda _: f'name = "{title}"', t, count=1))
        s.words, s.names = s.words[:2], ["name", title[:20]]
    DAMAGES["toml"][f"a name that is a path, {title[:20]}"] = (REFUSE, do)

# ------------------------------------------------------------------------------------------------ tables
CELL = r"(?<=[\n,])[\d.]+(?=[\n,])"
for must, values in {
    REFUSE: ["text", "1_5", "0x10", "1+2j", "=cmd()", "1;2", "[0.1]", "--", "true", "x" * 200_000],
    DIFFER: ["inf", "-1", "0", "1e400", "٣", "nan", "", "1e300", "1e-300", "9" * 5000],
}.items():
    regular("csv", must, {f"cell {value[:12]}": (CELL, value) for value in values})
regular("csv", REFUSE, {
    "duplicated column": ("weight_decay", "lr"), "misspelt column": ("lr,", "qlxr,"), "a zero byte": (",", ",\x00"),
    "a column without name": ("radius_sq", ""), "a short row": (r"(?<=\d),[\d.]+\n(?=.)", "\n"),
    "a long row": (r"(?<=\d)\n", ",1\n"), "a duplicated row": (r"\n([\d.,]+)(?=\n)", r"\n\1\n\1"),
    "no header": (r"\A.*\n", ""), "two headers": (r"\A(.*\n)", r"\1\1"), "a quote left open": (r"\Z", '"1,2\n'),
})
regular("csv", DIFFER, {"a missing column": (r"(?<=,)(weight_decay|dimension|grad_sq|loss)", "column")})
whole("csv", SAME, {
    "line ends of Windows": lambda t: t.replace("\n", "\r\n"), "line ends of old": lambda t: t.replace("\n", "\r"),
    "a mark at the start": lambda t: "\ufeff" + t, "semicolons": lambda t: t.replace(",", ";"),
    "empty lines": lambda t: t.replace("\n", "\n\n"), "an unknown column": lambda t: re.sub("(?<=.)\n", ",q\n", t),
})


def bomb(head=b"", megabytes=1500):
    """A gzip file of some hundred kB that holds zeros without end."""
    return gzip.compress(head) + gzip.compress(bytes(50 << 20)) * (megabytes // 50)


DAMAGES["csv"] |= {
    "the header alone": (REFUSE, lambda s, dice: s.text(lambda t: t.partition("\n")[0])),
    "UTF-16": (SAME, lambda s, dice: s.change(lambda c: c.decode().encode("utf-16"))),
    "Latin-1": (REFUSE, lambda s, dice: s.change(lambda c: b"\xe9" + c)),
    "packed and cut short": (REFUSE, lambda s, dice: s.change(lambda c: gzip.compress(c)[:-9], "runs.csv.gz")),
    "a packed bomb": (REFUSE, lambda s, dice: s.change(lambda c: bomb(b"lr,weight_decay\n"), "runs.csv.gz")),
    "a folder in its place": (REFUSE, lambda s, dice: (s.file.unlink(), s.file.mkdir())),
    "a link to itself": (REFUSE, lambda s, dice: (s.file.unlink(), s.file.symlink_to(s.file.name))),
}


def records(text):
    head, *rows = [line.split(",") for line in text.strip().split("\n")]
    return [dict(zip(head, map(float, row), strict=True)) for row in rows]


LR = r'"lr": [^,]+'
for must, changes in {
    REFUSE: {
        "a duplicated key": (LR, r'\g<0>, "lr": 0.3'), "5000 digits": (LR, rf'\g<0>, "x": {"1" * 5000}'),
        **{f"{value} in a cell": (LR, f'"lr": {value}') for value in
           ("Infinity", "NaN", "null", "[[0.1]]", '{"a": 1}', '"fast"', "true", "-1")},
        "a key missing in one": (f"{LR}, ", ""), "a comma too many": (r"\}\]", "},]"), "single quotes": ('"', "'"),
        "nested lists": (r"\A(?s:.*)\Z", "[" * 100_000), "nested objects": (r"\A(?s:.*)\Z", '{"a":' * 100_000),
        **{f"{value} alone": (r"\A(?s:.*)\Z", value) for value in ("[]", "{}", "7", "null", "[[1, 2], [3, 4]]", "")},
    },
    ANY: {"half an escape": ("lr", r"\\ud800lr")}, SAME: {"a mark at the start": (r"\A", "\ufeff")},
}.items():
    regular("json", must, changes, "runs.json")
def as_json(s):
    s.text(lambda text: json.dumps(records(text)), "runs.json")


for title, (must, do) in DAMAGES["json"].items():
    DAMAGES["json"][title] = (must, lambda s, dice, do=do: (as_json(s), do(s, dice)))


# ------------------------------------------------------------------------------------------------ arrays (npz)
def saved_as_npz(s, change=lambda arrays, s: None):
    rows, buffer = records(s.file.read_text()), io.BytesIO()
    arrays = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    np.savez(buffer, **(change(arrays, s) or arrays))
    s.change(lambda _: buffer.getvalue(), "runs.npz")


def column(name, value):
    return lambda s: saved_as_npz(s, lambda arrays, s: arrays | {name: value(arrays["lr"], s)})


def header(shape):
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def with_file(name, content, megabytes=0):
    """A further file in the archive, which ends in zeros."""
    def do(s):
        saved_as_npz(s)
        with zipfile.ZipFile(s.file, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as file, file.open(name, "w") as inner:
            for part in (content, *[bytes(1 << 20)] * megabytes):
                inner.write(part)
    return do


for must, changes in {
    REFUSE: {
        "a pickle": column("lr", lambda lr, s: np.array([Payload(s.home)] * 6, dtype=object)),
        "objects": column("seed", lambda lr, s: np.array([{}] * 6, dtype=object)), "no arrays": lambda s: (
            saved_as_npz(s), s.change(lambda c: b"PK\x05\x06" + bytes(18))),
        "ragged": column("lr", lambda lr, s: lr[:-1]), "complex": column("lr", lambda lr, s: lr * 1j),
        "dates": column("lr", lambda lr, s: np.array(["2020-01-01"] * 6, dtype="M8[D]")),
        "text": column("lr", lambda lr, s: np.array(["fast"] * 6)), "nan": column("lr", lambda lr, s: lr * np.nan),
        "zeros": column("lr", lambda lr, s: lr * 0), "three axes": column("lr", lambda lr, s: np.ones((2, 2, 2))),
        "records": column("lr", lambda lr, s: np.zeros(6, dtype=[("a", "f8")])), "empty arrays": lambda s:
            saved_as_npz(s, lambda arrays, s: {name: one[:0] for name, one in arrays.items()}),
        "a huge shape": with_file("loss_.npy", header((10**12,))),
        "a bomb": with_file("x.npy", header((100 << 20,)), 800),
        "a negative shape": with_file("x.npy", header((-6,))),
        "a shape of 5000 digits": with_file("x.npy", header(f"({'9' * 5000},)")),
        "a header that is code": with_file("x.npy", header("(__import__('os').getpid(),)")),
        "a bare pickle": lambda s: s.change(lambda c: pickle.dumps(Payload(s.home)), "runs.npz"),
    },
    DIFFER: {"whole numbers that overflow": column("dimension", lambda lr, s: np.full(6, 2**64 - 1, "u8"))},
    SAME: {"a file that is no array": with_file("readme.txt", b"text")},
    ANY: {"a path that leaves the archive": with_file("../../evil.npy", header((6,)) + bytes(48))},
}.items():
    DAMAGES["npz"] |= {title: (must, lambda s, dice, do=do: do(s)) for title, do in changes.items()}
for title in BYTES:
    must, do = DAMAGES["npz"][title]
    DAMAGES["npz"][title] = (must, lambda s, dice, do=do: (saved_as_npz(s), do(s, dice)))


# ------------------------------------------------------------------------------------------------ archives of images
def members(*all_):
    def do(s, dice):
        with tarfile.open(s.file, "a") as tar:
            for name, content, facts in all_:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                vars_ = {"type": tarfile.SYMTYPE} | facts if "linkname" in facts else facts
                for key, value in vars_.items():
                    setattr(info, key, value)
                tar.addfile(info, io.BytesIO(content))
    return do


def one(name, content=b"", **facts):
    return members((name, content, facts))


def png(width, height, data=b""):
    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def packed_bomb(s, dice):
    big = tarfile.TarInfo("cat/x.png")
    big.size = 1400 << 20
    s.change(lambda c: bomb(c.rstrip(b"\x00") + bytes(-len(c.rstrip(b"\x00")) % 512) + big.tobuf()))


X = "cat/x.png"
for must, changes in {
    REFUSE: {
        "a link out of the archive": one(X, linkname="/etc/passwd"),
        "a link up and out": one(X, linkname="../../../etc/passwd"),
        "a link to itself": one(X, linkname="x.png"),
        "a hard link to nothing": one(X, linkname="none", type=tarfile.LNKTYPE),
        "links in a ring": members((X, b"", {"linkname": "y.png"}), ("cat/y.png", b"", {"linkname": "x.png"})),
        "no image": one(X, b"text"), "an empty image": one(X), "a size of zero": one(X, png(0, 0)),
        "another size": one(X, png(1, 1, zlib.compress(b"\x00\x07"))),
        "an image too large": one(X, png(10**5, 10**5)),
        "an image beyond the warning": one("aaa/x.png", png(12_000, 10_000, bytes(9))),
        "half an image": one(X, png(5, 4)[:33] + b"\x00\x00\x00\x00zTXt"),
        "a member twice": one("cat/000.png", png(5, 4)),
        "a name of another encoding": one("cat/\udce9.png", b"text"),
        "a name with a line end": one("cat/a\nb.png", b"text"),
        "an empty class": one("fish", type=tarfile.DIRTYPE), "a packed bomb": packed_bomb,
        "a zip": lambda s, dice: s.change(lambda c: b"PK\x03\x04" + c),
        "a packed text": lambda s, dice: s.change(lambda c: gzip.compress(b"text")),
    },
    ANY: {"a device": one(X, type=tarfile.CHRTYPE), "a pipe": one(X, type=tarfile.FIFOTYPE),
          "a path that leaves the archive": one("../../evil/x.png", b"text"),
          "an absolute path": one("/evil/x.png", b"text")},
}.items():
    DAMAGES["images"] |= {title: (must, do) for title, do in changes.items()}


# ------------------------------------------------------------------------------------------------ checkpoints
def saved(change):
    def do(s, dice):
        content = torch.load(s.file, weights_only=True)
        torch.save(change(content, s), s.file)
    return do


def weight(value):
    return saved(lambda c, s: c | {"model": c["model"] | {"first": value(c["model"]["first"])}})


def beside(name, content):
    def do(s, dice):
        s.names.append(name)
        (s.file.parent / name).write_bytes(content)
    return do


def config(**values):
    return beside("config.json", json.dumps({"lr": 0.1, "weight_decay": 0.01} | values).encode())


STEPS = {"nan": float("nan"), "below 0": -5, "of 400 digits": 10**400, "of another": 400}
RATES = {"nan": float("nan"), "below 0": -0.1, "a word": "fast", "a list": [0.1, 0.2], "true": True, "0": 0,
"null": None}
for must, changes in {
    REFUSE: {
        "a pickle": saved(lambda c, s: c | {"args": Payload(s.home)}),
        "a pickle alone": saved(lambda c, s: Payload(s.home)),
        "a list": saved(lambda c, s: [1, 2]), "no tensor": saved(lambda c, s: {"model": {}}),
        "another shape": weight(lambda w: w[:2]), "no numbers": weight(lambda w: w[:0]),
        "complex": weight(lambda w: w * 1j),
        "another name": saved(lambda c, s: c | {"model": {"third": c["model"]["second"]}}),
        **{f"a step {title}": saved(lambda c, s, value=value: c | {"step": value}) for title, value in STEPS.items()},
        **{f"lr {title}": config(lr=value) for title, value in RATES.items()},
        "seed a word": config(seed="one"), "a seed of 400 digits": config(seed=10**400),
        "an unknown optimizer": config(optimizer="adamm"),
        "a configuration nested": beside("config.json", b"[" * 100_000),
        "no configuration": lambda s, dice: (s.file.parent / "config.json").unlink(),
        "a configuration that is none": beside("config.json", b"{"),
        "a header that is huge": beside("step_550.safetensors", struct.pack("<Q", 2**62) + b"{}"),
        "tensors that are text": beside("step_550.safetensors", b"text"),
    },
    DIFFER: {"nan": weight(lambda w: w * float("nan")), "inf": weight(lambda w: w * float("inf")),
             "zeros": weight(lambda w: w * 0), "whole numbers": weight(lambda w: w.to(torch.int64))},
    ANY: {"a step that is a word": saved(lambda c, s: c | {"step": "last"}),
    "a key that is a number": saved(lambda c, s: c | {7: 8}),
          "a folder in its place": lambda s, dice: (s.file.unlink(), s.file.mkdir()),
          "a link to itself": lambda s, dice: (s.file.unlink(), s.file.symlink_to(s.file.name))},
}.items():
    DAMAGES["checkpoints"] |= {title: (must, do) for title, do in changes.items()}

# ------------------------------------------------------------------------------------------------ run folders
PARTS = {"experiment": "experiment.toml", "provenance": "provenance.json", "root": "results.zarr/zarr.json",
         "group": "results.zarr/summary/zarr.json", "variable": "results.zarr/*/*/zarr.json",
         "numbers": "results.zarr/*/*/c/*"}
CHANGES = BYTES | {
    "removed": None, "a folder instead": Path.mkdir, "a link to itself": lambda path: path.symlink_to(path.name),
    "nested": lambda c, dice: b"[" * 100_000, "another number": lambda c, dice: c.replace(b"1", b"7", 1),
    "a NaN": lambda c, dice: c.replace(b"3", b"NaN", 1),
}
for part, pattern in PARTS.items():
    for title, change in CHANGES.items():
        def do(s, dice, pattern=pattern, title=title, change=change):
            found = s.home.joinpath("finished").glob(pattern)
            s.file = dice.choice(sorted(path for path in found if path.is_file()))
            if title in BYTES or title in ("nested", "another number", "a NaN"):
                s.change(lambda c: change(c, dice))
            else:
                s.file.unlink()
                if change:
                    change(s.file)
        DAMAGES["folder"][f"{part}: {title}"] = (ANY, do)

# ------------------------------------------------------------------------------------------------ command lines
NUMBERS = [
    "nan", "inf", "-1", "0", "1e400", "1e-400", "10" * 20, "text", "", "0x10", "1,5", "ünï", "\udcff", "9" * 5000,
]
WORDS = ["", " ", "nonsense", "ünï", "\udcff", "-1", "a\nb", "../../..", "x" * 5000, "/dev/null/x", "--", "None"]
#: Valid words; options that take numbers, and options that take words (1 is the first argument).
LINES = {
    "schedule cooldown --lr 0.1 --weight-decay 5e-4 --factor 0.01 --steps 1000": (
        "--lr --weight-decay --factor --steps --hold --momentum --index --relaxation-steps --sigma --dimension "
        "--points --rate",
        "--shape --optimizer --along --format --out"),
    "import runs.csv --protocol fixed-lr --out out": (
        "--dimension", "1 --protocol --map --optimizer --weights --spheres --out"),
    "run mine.toml --out out": ("", "1 --out --device --cluster"), "derive radius": ("", "1 --protocol --optimizer"),
    "compare finished": ("", "1 --format --claims"),
    "report finished --out page.md": ("", "1 --format --claims --out"),
    "status finished": ("", "1"), "resume finished": ("", "1 --device --cluster"), "list": ("", "--claims"),
}
# fmt: on


def put(words, place, value):
    """Put a value at an option, given or not, or at the first argument."""
    at = 1 if place == "1" else words.index(place) + 1 if place in words else len(words) + 1
    return [*words, place, value] if at > len(words) else [*words[:at], value, *words[at + 1 :]]


for line, groups in LINES.items():
    words = line.split()
    for places, values in zip(groups, (NUMBERS, WORDS), strict=True):
        for place in places.split():

            def do(s, dice, words=words, place=place, values=values):
                s.words = put(words, place, dice.choice(values))

            DAMAGES["words"][f"{words[0]} {place}"] = (ANY, do)

    def do(s, dice, words=words):
        at = dice.randrange(len(words))
        word = words[at]
        changed = dice.choice([[], [word, word], [word[:-1]], [word + "x"], [word.upper()], [f"--{word}"]])
        s.words = [*words[:at], *changed, *words[at + 1 :]]

    DAMAGES["words"][f"{words[0]}: a word misspelt, doubled or left out"] = (ANY, do)
