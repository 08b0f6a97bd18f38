"""Judges all results in a folder of runs and writes docs/results/verdicts.md: claim, system, protocol, optimiser.

python docs/results/verdicts.py --runs runs
"""

from tables import EXPERIMENTS, MARKS, asked, counts, directions, finished, table, write

import empirics

CLAIMS = tuple(f"V{i}" for i in range(10))

#: Which page tells of an experiment: by the beginning of its name, the longest first.
PAGES = ("averaging", "cifar", "control", "digits", "generalisation", "grokking", "isotropic", "remainder", "sphere")
PAGES += ("tiny", "width")
NAMED = {"averaging": "generalisation", "control": "controls"}


def linked(name):
    """The experiment's name, with a link to the page that tells of it."""
    start = next((page for page in PAGES if name.startswith(page)), None)
    return f"[{name}]({NAMED.get(start, start)}.md)" if start else name


def system(runs):
    """Network or gas, and its number m of directions."""
    experiment = runs.experiment
    model = getattr(experiment, "model", None)
    return f"{model.name if model else 'gas'}, m = {directions(runs.dataset):,}"


def rows(name, runs, verdicts):
    """Lines of the table: one a protocol and optimiser."""
    pairs = list(dict.fromkeys((one.protocol, one.optimizer) for one in verdicts))
    found = []
    for protocol, optimizer in pairs:
        cells = []
        for claim in CLAIMS:
            forms = [
                one for one in verdicts if (one.claim, one.protocol, one.optimizer) == (claim, protocol, optimizer)
            ]
            cells.append("".join(MARKS[one.verdict] for one in forms))
        found.append([linked(name), system(runs), protocol, optimizer, counts(runs.dataset), *cells])
    return found


def main():
    """Write the page."""
    folder = asked().runs
    body, forms, missing = [], {}, []
    for name in sorted(path.stem for path in EXPERIMENTS.glob("*.toml")):
        if not finished(name, folder):
            missing.append(f"`{name}`")
            continue
        runs = empirics.load(folder / name)
        verdicts = list(empirics.compare(runs))
        body += rows(name, runs, verdicts)
        for one in verdicts:
            forms.setdefault((one.claim, one.protocol, one.optimizer), {}).setdefault(one.title, one.kind)
    titles = {}
    for (claim, _, _), of_claim in sorted(forms.items(), key=lambda item: item[0]):
        for title, kind in of_claim.items():
            titles.setdefault(claim, {}).setdefault(title, kind)
    lines = table(["experiment", "system", "protocol", "optimiser", "runs", *CLAIMS], body)
    legend = [f"- {claim}: " + "; ".join(f"{t} ({k})" for t, k in of.items()) for claim, of in titles.items()]
    rest = [f"Files without finished runs here: {', '.join(missing)}."] if missing else []
    write("verdicts", verdicts=lines, missing=rest, forms=legend)


if __name__ == "__main__":
    main()
