"""Valid input for the fuzzer: what every surface begins with; and the damages of checkpoints, run folders and words."""

import json
import shutil
import struct
from pathlib import Path

import numpy as np
import torch
from damages import ANY, BYTES, DIFFER, REFUSE, Payload, Scratch, damage, of_bytes
from gas import SMALL
from images_on_disk import packed, write_images
from tiny import TINY

IMPORT = ("--protocol", "fixed-lr", "--out", "out")
IMAGES = TINY.replace('name = "digits"', 'name = "images"\npath = "images.tar"')


def table():
    """A table of 2 x 3 runs of the exact gas, as CSV."""
    rows = ["lr,weight_decay,dimension,radius_sq,grad_sq,loss"]
    for lr in (0.01, 0.02):
        for wd in (0.01, 0.02, 0.05):
            squared = (lr * 300 / (wd * (2 - lr * wd))) ** 0.5
            rows.append(f"{lr},{wd},301,{squared:.9g},{300 / squared:.9g},{0.2 + lr + wd:.9g}")
    return "\n".join(rows) + "\n"


class Valid:
    """Makes valid input of each surface; what takes long is made once."""

    def __init__(self, home, finished):
        self.home, self.finished = home, finished
        self.archive = packed(write_images(home / "pictures", count=2), home / "images.tar", "w")

    def scratch(self, surface, home, dice):
        home.mkdir()
        return getattr(self, surface)(home, dice, home.parent / "executed")

    def toml(self, home, dice, canary):
        file = home / "mine.toml"
        file.write_text(dice.choice([TINY, SMALL]))
        return Scratch(home, ["run", str(file), "--out", "out"], file, canary, [file.name])

    def csv(self, home, dice, canary):
        file = home / "runs.csv"
        file.write_text(table())
        return Scratch(home, ["import", str(file), *IMPORT], file, canary, [file.name])

    json = npz = csv

    def images(self, home, dice, canary):
        (home / "mine.toml").write_text(IMAGES)
        file = Path(shutil.copy(self.archive, home / "images.tar"))
        return Scratch(home, ["run", str(home / "mine.toml"), "--out", "out"], file, canary, [file.name])

    def checkpoints(self, home, dice, canary):
        folder, rng = home / "saved", np.random.default_rng(7)
        folder.mkdir(parents=True)
        for step in range(0, 1200, 100):
            weights = {name: torch.tensor(rng.standard_normal((3, 4))) for name in ("first", "second")}
            torch.save({"model": weights, "step": step, "args": {"x": [1, "a"]}}, folder / f"step_{step}.pt")
        (folder / "config.json").write_text(json.dumps({"lr": 0.1, "weight_decay": 0.01}))
        file = folder / "step_500.pt"
        return Scratch(home, ["import", str(folder), *IMPORT], file, canary, [file.name, "saved"])

    def folder(self, home, dice, canary):
        out = shutil.copytree(self.finished, home / "finished")
        verb = dice.choice(["compare", "report", "status", "resume", "run"])
        words = {"run": ["run", str(out / "experiment.toml"), "--out", str(out)]}.get(verb, [verb, str(out)])
        if verb == "report":
            words += ["--out", "page.html"]
        return Scratch(home, words, out / "experiment.toml", canary, ["finished", "experiment.toml"])

    def words(self, home, dice, canary):
        (home / "mine.toml").write_text(TINY)
        (home / "runs.csv").write_text(table())
        shutil.copytree(self.finished, home / "finished")
        return Scratch(home, [], home / "mine.toml", canary)


# -------------------------------------------------------------------------------------------- checkpoints
def saved(change):
    """A file of torch whose content is changed."""

    def do(s, dice):
        content = torch.load(s.file, weights_only=True)
        torch.save(change(content, s) or content, s.file)

    return do


def set_weight(value):
    return saved(lambda content, s: content["model"].__setitem__("first", value(content["model"]["first"])))


def config(**values):
    return lambda s, dice: (s.file.parent / "config.json").write_text(
        json.dumps({"lr": 0.1, "weight_decay": 0.01} | values)
    )


def nested(depth):
    inner = {}
    for _ in range(depth):
        inner = {"a": inner}
    return inner


CHECKPOINTS = {
    "a pickle": (REFUSE, saved(lambda c, s: c | {"args": Payload(s.canary)})),
    "a pickle alone": (REFUSE, saved(lambda c, s: Payload(s.canary))),
    "a list": (REFUSE, saved(lambda c, s: [1, 2])),
    "no tensor": (REFUSE, saved(lambda c, s: {"model": {}})),
    "nan": (DIFFER, set_weight(lambda w: w * float("nan"))),
    "inf": (DIFFER, set_weight(lambda w: w * float("inf"))),
    "zeros": (DIFFER, set_weight(lambda w: w * 0)),
    "another shape": (REFUSE, set_weight(lambda w: w[:2])),
    "no numbers": (REFUSE, set_weight(lambda w: w[:0])),
    "complex": (REFUSE, set_weight(lambda w: w * 1j)),
    "whole numbers": (DIFFER, set_weight(lambda w: w.to(torch.int64))),
    "another name": (REFUSE, saved(lambda c, s: c["model"].__setitem__("third", c["model"].pop("first")))),
    "a step twice": (REFUSE, saved(lambda c, s: c | {"step": 400})),
    "a step that is nan": (REFUSE, saved(lambda c, s: c | {"step": float("nan")})),
    "a step below 0": (REFUSE, saved(lambda c, s: c | {"step": -5})),
    "a step without end": (REFUSE, saved(lambda c, s: c | {"step": 10**400})),
    "a step that is a word": (ANY, saved(lambda c, s: c | {"step": "last"})),
    "nested": (ANY, saved(lambda c, s: c | {"args": nested(100)})),
    "a key that is a number": (ANY, saved(lambda c, s: c | {7: 8})),
    "a folder in its place": (ANY, lambda s, dice: (s.file.unlink(), s.file.mkdir())),
    "a link to nothing": (ANY, lambda s, dice: (s.file.unlink(), s.file.symlink_to("nothing.pt"))),
    "a link to itself": (ANY, lambda s, dice: (s.file.unlink(), s.file.symlink_to(s.file.name))),
    "lr nan": (REFUSE, config(lr=float("nan"))),
    "lr below 0": (REFUSE, config(lr=-0.1)),
    "lr a word": (REFUSE, config(lr="fast")),
    "lr a list": (REFUSE, config(lr=[0.1, 0.2])),
    "lr true": (REFUSE, config(lr=True)),
    "lr 0": (REFUSE, config(lr=0)),
    "lr 1e400": (REFUSE, config(lr=float("inf"))),
    "lr null": (REFUSE, config(lr=None)),
    "seed a word": (REFUSE, config(seed="one")),
    "a seed of 400 digits": (REFUSE, config(seed=10**400)),
    "an unknown optimizer": (REFUSE, config(optimizer="adamm")),
    "no configuration": (REFUSE, lambda s, dice: (s.file.parent / "config.json").unlink()),
    "a configuration that is none": (REFUSE, lambda s, dice: (s.file.parent / "config.json").write_text("{")),
    "a configuration nested": (
        REFUSE,
        lambda s, dice: (s.file.parent / "config.json").write_text("[" * 100_000),
    ),
    "a tensors header that is huge": (
        REFUSE,
        lambda s, dice: (s.file.parent / "step_550.safetensors").write_bytes(struct.pack("<Q", 2**62) + b"{}"),
    ),
    "a tensors file that is text": (
        REFUSE,
        lambda s, dice: (s.file.parent / "step_550.safetensors").write_bytes(b"text"),
    ),
}  # fmt: skip
for name, (must, do) in CHECKPOINTS.items():
    damage("checkpoints", name, must)(lambda s, dice, do=do: (s.names.append("config.json"), do(s, dice)))
of_bytes("checkpoints", empty=REFUSE, noise=REFUSE, cut_short=REFUSE)

# -------------------------------------------------------------------------------------------- run folders
#: What is damaged, by a pattern in the folder.
PARTS = {
    "the experiment": "experiment.toml", "the provenance": "provenance.json",
    "the root of the results": "results.zarr/zarr.json",
    "a group": "results.zarr/summary/zarr.json", "a variable": "results.zarr/*/*/zarr.json",
    "numbers": "results.zarr/*/*/c/*",
}  # fmt: skip
PART_CHANGES = BYTES | {
    "removed": None, "a folder instead": None, "a link to itself": None,
    "nested": lambda content, dice: b"[" * 100_000,
    "another number": lambda content, dice: content.replace(b"1", b"7", 1),
    "a NaN": lambda content, dice: content.replace(b"3", b"NaN", 1),
}  # fmt: skip
for part, pattern in PARTS.items():
    for name, change in PART_CHANGES.items():

        @damage("folder", f"{part}: {name}", ANY)
        def _(s, dice, pattern=pattern, name=name, change=change):
            s.file = dice.choice(sorted(s.home.joinpath("finished").glob(pattern)))
            if change is not None:
                s.bytes(lambda content: change(content, dice))
                return
            s.file.unlink()
            if name != "removed":
                s.file.mkdir() if "folder" in name else s.file.symlink_to(s.file.name)


# -------------------------------------------------------------------------------------------- command lines
NUMBERS = [
    "nan",
    "inf",
    "-1",
    "0",
    "1e400",
    "1e-400",
    "10" * 20,
    "text",
    "",
    "0x10",
    "1,5",
    "ünï",
    "\udcff",
    "9" * 5000,
]
WORDS = ["", " ", "nonsense", "ünï", "\udcff", "-1", "a\nb", "../../..", "x" * 5000, "/dev/null/x", "--", "None"]
SCHEDULE = ["cooldown", "--lr", "0.1", "--weight-decay", "5e-4", "--factor", "0.01", "--steps", "1000"]
#: Valid words, and which of them (or which further options) get a value from a list.
LINES = {
    "schedule": (
        ["schedule", *SCHEDULE],
        dict.fromkeys(
            ["--lr", "--weight-decay", "--factor", "--steps", "--hold", "--momentum", "--index", "--relaxation-steps"],
            NUMBERS,
        )
        | dict.fromkeys(["--sigma", "--dimension", "--points", "--rate"], NUMBERS)
        | dict.fromkeys(["--shape", "--optimizer", "--along", "--format", "--out"], WORDS),
    ),
    "import": (
        ["import", "runs.csv", "--protocol", "fixed-lr", "--out", "out"],
        {"--dimension": NUMBERS}
        | dict.fromkeys(["--protocol", "--map", "--optimizer", "--weights", "--spheres", "--out", "1"], WORDS),
    ),
    "run": (["run", "mine.toml", "--out", "out"], dict.fromkeys(["1", "--out", "--device", "--cluster"], WORDS)),
    "derive": (["derive", "radius"], dict.fromkeys(["1", "--protocol", "--optimizer"], WORDS)),
    "compare": (["compare", "finished"], dict.fromkeys(["1", "--format", "--claims"], WORDS)),
    "report": (["report", "finished", "--out", "p.md"], dict.fromkeys(["1", "--format", "--claims", "--out"], WORDS)),
    "status": (["status", "finished"], {"1": WORDS}),
    "resume": (["resume", "finished"], dict.fromkeys(["1", "--device", "--cluster"], WORDS)),
    "list": (["list"], {"--claims": WORDS}),
}  # fmt: skip


def put(words, place, value):
    """Put a value at an option, given or not, or at the first argument."""
    words = list(words)
    at = 1 if place == "1" else words.index(place) + 1 if place in words else len(words) + 1
    return [*words, place, value] if at > len(words) else [*words[:at], value, *words[at + 1 :]]


for verb, (valid, places) in LINES.items():
    for place, values in places.items():

        @damage("words", f"{verb} {'argument' if place == '1' else place}", ANY)
        def _(s, dice, valid=valid, place=place, values=values):
            s.words = put(valid, place, dice.choice(values))

    @damage("words", f"{verb}: a word misspelt, doubled or left out", ANY)
    def _(s, dice, valid=valid):
        at = dice.randrange(len(valid))
        word = valid[at]
        changed = dice.choice([[], [word, word], [word[:-1]], [word + "x"], [word.upper()], [f"--{word}"]])
        s.words = [*valid[:at], *changed, *valid[at + 1 :]]
