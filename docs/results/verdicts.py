"""Every verdict in one table: claim by system, protocol and optimiser."""

from stored import EXPERIMENTS, SUMMARIES
from tables import MARKS, counts, directions, folded, table

CLAIMS = tuple(f"V{i}" for i in range(12))
FILES = {path.stem for path in EXPERIMENTS.glob("*.toml")}
NAMES = tuple(sorted(FILES & {path.stem for path in SUMMARIES.glob("*.json")}))


def pages_of(names):
    """The page that shows an experiment: the one named like it, else the one that names the smallest number of them."""
    import pages  # which imports this file

    others = [pages.page(name) for name in pages.every_page() if name not in ("verdicts", *pages.ELSEWHERE)]
    shown = {}
    for one in sorted(others, key=lambda one: -len(one.names)):
        shown |= {name: one.name for name in one.names if not name.startswith(shown.get(name, "/"))}
    return {name: shown[name] for name in names if name in shown}


def system(stored):
    """Network or gas, and its number m of directions."""
    model = getattr(stored.experiment, "model", None)
    return f"{model.name if model else 'gas'}, m = {directions(stored.dataset):,}"


def rows(stored, page):
    """Lines of the table: one per protocol and optimiser."""
    for protocol, optimizer in dict.fromkeys((one.protocol, one.optimizer) for one in stored.verdicts):
        of = [one for one in stored.verdicts if (one.protocol, one.optimizer) == (protocol, optimizer)]
        cells = ["".join(MARKS[one.verdict] for one in of if one.claim == claim) for claim in CLAIMS]
        name = f"[{stored.name}]({page}.md)" if page else stored.name
        yield [name, system(stored), protocol, optimizer, counts(stored.dataset), *cells]


def parts(found):
    """What words/verdicts.md asks for."""
    page, titles = pages_of(found), {}
    for one in (verdict for stored in found.values() for verdict in stored.verdicts):
        titles.setdefault(one.claim, {}).setdefault(one.title, one.kind)
    body = [row for name, stored in found.items() for row in rows(stored, page.get(name))]
    words = [one for stored in found.values() for one in stored.verdicts if one.kind != "identity"]
    missing = sorted(FILES - found.keys())
    return {
        "verdicts": table(["experiment", "system", "protocol", "optimiser", "runs", *CLAIMS], body),
        "missing": ", ".join(f"`{name}`" for name in missing),
        "forms": folded("Forms of the claims, in the order of their signs", [
            f"- {claim}: " + "; ".join(f"{title} ({kind})" for title, kind in titles[claim].items())
            for claim in CLAIMS if claim in titles
        ]),
        "experiments": str(len(found)),
        "counted": ", ".join(f"{sum(one.verdict == word for one in words):,} {word}" for word in MARKS),
        "networks": network_counts(found),
    }  # fmt: skip


def network_counts(found):
    """Table of verdicts on symmetry and on physics, for networks and for the gas."""
    body = []
    for kind in ("symmetry", "physics"):
        for where, gas in (("the exact gas", True), ("networks", False)):
            of = [
                one
                for name, stored in found.items()
                if (stored.attrs["kind"] == "isotropic") == gas and not name.startswith("control-")
                for one in stored.verdicts
                if one.kind == kind
            ]
            body.append([f"{kind}, {where}", *(f"{sum(one.verdict == word for one in of)}" for word in MARKS)])
    return table(["forms of", *MARKS], body)
