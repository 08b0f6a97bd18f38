"""The page: sections, numbers, independence of everything outside, and what it says when data are missing."""

import dataclasses
import json
import re
from html.parser import HTMLParser
from math import nan

import numpy as np
import pytest
import xarray as xr
from tiny import TINY

from empirics.claims import Verdict, Verdicts
from empirics.claims.verdict import VERDICTS
from empirics.experiment import Experiment
from empirics.pages import drawing, evidence, figures, formulas, report, sections
from empirics.results import Runs, label
from thermo_theory import palette

BACKGROUND = ["diagnostics", "kinds", "radius", "entropy", "stationarity", "neighbours", "provenance", "sources"]
SECTIONS = ["verdicts", "claims", "v1", "v3", "not-measured", *BACKGROUND]
DIMENSION = 41
VOID = {"meta", "link", "br", "hr", "img", "input"}


def made_up_runs(entropy_slopes=(1.4, 0.4), adjacent=0.9):
    """Runs of a made-up gas on a 4 x 3 grid, with the given slopes of S/R and share of neighbours adjacent in time."""
    text = TINY.replace("lr = [0.05, 0.1]", "lr = [0.05, 0.1, 0.2, 0.4]")
    experiment = Experiment.from_toml(text)
    lr, wd = (np.array([getattr(run, name) for run in experiment.runs]) for name in ("lr", "weight_decay"))
    rng = np.random.default_rng(7)
    count, gas_constant = len(lr), (DIMENSION - 1) / 2
    noise = 30 * (lr * wd) ** 0.1
    radius_sq = np.sqrt(lr * noise / (2 * wd)) * 1.02
    log_radius = np.log(radius_sq) / 2
    entropy = gas_constant * (entropy_slopes[0] * np.log(lr) + entropy_slopes[1] * np.log(wd)) + rng.normal(size=count)
    lags = np.where(rng.random((count, 40)) < adjacent, 1, 7)
    summary = {
        "radius_sq": radius_sq,
        "log_radius": log_radius,
        "grad_sq": wd * (2 - lr * wd) * radius_sq / lr,
        "grad_variance_unit": noise,
        "loss": 0.3 + lr * wd,
        "entropy": entropy,
        "entropy_sphere": entropy - (DIMENSION - 1) * log_radius,
        "entropy_sphere_theiler": entropy - (DIMENSION - 1) * log_radius - 0.3 * gas_constant * np.log(lr * wd),
        "balance": np.linspace(0.998, 1.002, count),
        "balance_error": np.full(count, 5e-4),
        "radius_drift": np.zeros(count),
        "effective_sample_size": np.full(count, 30.0),
        "path_entropy": np.full(count, adjacent > 0.5),
        "status": np.array(["ok"] * (count - 1) + ["not stationary"]),
        "reason": np.array([""] * (count - 1) + ["norm balance <1.002> & drifting"]),
    }
    arrays = {f"summary/{name}": values for name, values in summary.items()}
    arrays["trace/step"] = np.arange(0, 190, 10)
    arrays["trace/log_radius"] = log_radius[:, None] + 0.01 * rng.normal(size=(count, 19))
    arrays["snapshots/neighbour_lag"] = lags
    provenance = {
        "seeds": [3],
        "data": {"name": "digits", "sha256": "0123abcd" * 8},
        "sessions": [{"command": "thermo-theory run tiny.toml", "versions": {"torch": "9.9.9"}, "ended": None}],
    }
    return Runs(None, label(experiment, DIMENSION, provenance, arrays), experiment, provenance)


def judged(runs):
    """One verdict of each word, whatever the runs."""
    rows = [
        Verdict("V1", "norm balance", "fixed-lr", "identity", 1.0, 0.9998, 0.9991, 1.0005, 0.03, "agrees"),
        Verdict("V1", "slope difference", "fixed-lr", "symmetry", 0.5, 0.498, 0.494, 0.502, 0.02, "inconclusive", "so"),
        Verdict("V1", "radius formula", "fixed-lr", "physics", 1.0, 1.125, 1.11, 1.14, 0.05, "disagrees"),
        Verdict("V3", "Maxwell", "fixed-lr", "symmetry", 1.0, nan, nan, nan, 0.05, "not measured", "no entropy"),
        Verdict("V3", "Maxwell again", "fixed-lr", "symmetry", 1.0, nan, nan, nan, 0.05, "refused", "gate: few"),
    ]
    laws = ("norm-balance", "scaling-symmetry", "radius", "maxwell-from-symmetry", "maxwell-from-symmetry")
    rows = [dataclasses.replace(row, derivation=law) for row, law in zip(rows, laws, strict=True)]
    return Verdicts(rows, ["a note"], runs)


def without(runs, *names, groups=()):
    """The same runs with variables of the summary, or whole groups, missing."""
    parts = {path: node.to_dataset() for path, node in runs.tree.subtree_with_keys if path not in groups}
    parts["summary"] = parts["summary"].drop_vars(list(names))
    return Runs(runs.path, xr.DataTree.from_dict(parts), runs.experiment, runs.provenance)


@pytest.fixture(scope="module")
def runs():
    return made_up_runs()


@pytest.fixture(scope="module")
def page(runs, tmp_path_factory):
    path = report(judged(runs), tmp_path_factory.mktemp("page") / "page.html")
    return path.read_text(encoding="utf-8")


class Reader(HTMLParser):
    """Reads a page and complains about tags that do not nest."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.values, self.text, self.labels = [], [], [], [], []
        self.feed(text)
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if "id" in found:
            self.ids.append(found["id"])
        if tag == "data":
            self.values.append(float(found["value"]))
        if tag == "svg" and found.get("role") == "img":
            self.labels.append(found["aria-label"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_is_well_formed_and_its_identifiers_are_unique(page):
    ids = Reader(page).ids
    assert len(ids) == len(set(ids))


def test_the_sections_are_there_in_order(page):
    assert [name for name in Reader(page).ids if name in SECTIONS] == SECTIONS


def test_the_page_loads_nothing(page):
    pattern = r"""(?:\bsrc|<link[^>]*href)\s*=\s*["']?(?:https?:)?//|url\(\s*["']?https?:|@import|\bfetch\("""
    assert not re.search(pattern, page)
    assert "<script" not in page


def test_the_numbers_are_those_of_the_verdicts(page, runs):
    shown = Reader(page).values
    wanted = [x for v in judged(runs) for x in (v.theory, v.measured, v.margin) if np.isfinite(x)]
    assert shown == wanted


def test_every_verdict_is_there_in_words(page, runs):
    text = " ".join(" ".join(Reader(page).text).split())
    for verdict in judged(runs):
        assert verdict.title in text
    assert set(VERDICTS) <= set(re.findall(r"<span>([a-z ]+)</span>", page))
    assert "It is a gate" in text
    assert "it does not test isotropic noise or the Gibbs law" in text


def test_the_figures_are_there_each_with_its_message(page):
    labels = " ".join(Reader(page).labels)
    for part in (
        "runs in the plane of pressure and volume",
        "over the grid runs from",
        "percent of the prediction",
        "over the norm balance from",
        "in units of R spans",
        "Slopes of the entropy",
        "about one curve",
        "Status of 12 runs over 4 values of learning rate and 3 of weight decay: 11 ok, 1 not stationary.",
        "Norm balance of 12 runs",
        "over 180 steps",
        "next to them in time",
        "adjacent in time, from",
    ):
        assert part in labels, part


def test_figures_follow_the_readers_colours(page):
    assert "prefers-color-scheme: dark" in page
    assert page.count("var(--ink)") > 20
    figures = "".join(re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL))
    assert figures.count("var(--series-1)") > 20
    assert not [value for value in palette.LIGHT.values() if value in figures and value != palette.PAPER]


def test_words_signs_and_series_have_contrast_in_every_setting(page):
    def luminance(colour):
        parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        linear = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    settings = re.findall(r":root \{(.*?)\}", page, flags=re.DOTALL)
    assert len(settings) == 3  # light, dark, print
    for colours in (dict(re.findall(r"--([\w-]+): (#\w{6})", setting)) for setting in settings):
        for name in set(colours) - {"paper", "card", "faint", "line"}:
            for ground in ("paper", "card"):
                dark, light = sorted(luminance(colours[one]) for one in (name, ground))
                assert (light + 0.05) / (dark + 0.05) >= (3 if name.startswith("series") else 4.5), (name, ground)


def test_what_comes_from_the_results_is_escaped(page):
    assert "norm balance &lt;1.002&gt; &amp; drifting" in page


def test_provenance_and_the_experiment_are_in_full(page, runs):
    text = " ".join(Reader(page).text)
    for part in ("thermo-theory run tiny.toml", "9.9.9", "0123abcd" * 8, "not recorded"):
        assert part in text
    assert "burn_in = 30" in text
    assert "<math" in page
    assert "https://arxiv.org/abs/2511.07308" in page


@pytest.mark.parametrize("share", [0.9, 0.05])
def test_the_page_says_whether_the_entropy_is_that_of_a_path(share, tmp_path):
    path = report(judged(made_up_runs(adjacent=share)), tmp_path / "page.md", format="markdown")
    assert ("Here it is a path entropy (11 of 11 runs)." in path.read_text(encoding="utf-8")) is (share > 0.5)


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        (("entropy", "entropy_sphere", "entropy_sphere_theiler", "path_entropy"), ("snapshots",)),
        (("balance", "balance_error", "status", "reason"), ("trace",)),
        (("radius_sq", "grad_variance_unit"), ("trace", "snapshots")),
        (("log_radius", "effective_sample_size", "loss", "radius_drift"), ()),
    ],
)
def test_what_is_missing_is_not_measured(runs, names, groups, tmp_path):
    less = without(runs, *names, groups=groups)
    text = report(judged(less), tmp_path / "page.html").read_text(encoding="utf-8")
    assert [name for name in Reader(text).ids if name in SECTIONS] == SECTIONS
    assert "ot measured" in text
    assert "nan" not in " ".join(Reader(text).text).lower().split()


def test_a_single_run_makes_a_page(runs, tmp_path):
    parts = {path: node.to_dataset() for path, node in runs.tree.subtree_with_keys}
    one = {path: part.isel(run=[0]) if "run" in part.dims else part for path, part in parts.items()}
    single = Runs(None, xr.DataTree.from_dict(one), runs.experiment, runs.provenance)
    text = report(judged(single), tmp_path / "page.html").read_text(encoding="utf-8")
    assert "1 run" in text


def test_runs_that_all_failed_make_a_page(runs, tmp_path):
    parts = {path: node.to_dataset() for path, node in runs.tree.subtree_with_keys}
    summary = parts["summary"]
    parts["summary"] = summary.assign(
        status=("run", np.full(summary.sizes["run"], "diverged").astype(object)),
        **{
            n: ("run", np.full(summary.sizes["run"], np.nan)) for n in ("radius_sq", "log_radius", "entropy", "balance")
        },
    )
    failed = Runs(None, xr.DataTree.from_dict(parts), runs.experiment, {})
    text = report(judged(failed), tmp_path / "page.html").read_text(encoding="utf-8")
    assert "12 diverged" in text


def test_several_experiments_share_a_page(runs, tmp_path):
    text = report([judged(runs), judged(runs)], tmp_path / "page.html").read_text(encoding="utf-8")
    ids = Reader(text).ids
    assert len(ids) == len(set(ids))
    inner = [f"folder-{i}{name}" for i in (1, 2) for name in ("", *(f"-{name}" for name in SECTIONS[:-1]))]
    wanted = ["comparison", *inner, "sources"]
    assert [name for name in ids if name in wanted] == wanted


def test_markdown_says_the_same_without_figures(runs, tmp_path):
    text = report(judged(runs), tmp_path / "page.md").read_text(encoding="utf-8")
    assert text.count("\n## ") == 2 + len(BACKGROUND)
    # What the figures show is said in words.
    assert "Status of 12 runs over 4 values of learning rate" in text
    assert "minus its slope in log weight decay is the gas constant" in text
    for part in (
        "✓ agrees",
        "✗ disagrees",
        "? inconclusive",
        "⊘ refused",
        "not measured",
        "burn_in = 30",
        "thermo-theory derive NAME",
    ):
        assert part in text, part
    assert "<svg" not in text
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.M):
        assert len({line.count("|") - line.count("\\|") for line in block.splitlines()}) == 1, block


def test_json_holds_verdicts_and_every_run(runs, tmp_path):
    made = json.loads(report(judged(runs), tmp_path / "page.json").read_text(encoding="utf-8"))
    (experiment,) = made["experiments"]
    assert experiment["name"] == "tiny"
    assert [run["status"] for run in experiment["runs"]] == list(runs.dataset["status"].values.astype(str))
    np.testing.assert_allclose([run["balance"] for run in experiment["runs"]], runs.dataset["balance"])
    assert len(experiment["verdicts"]) == len(judged(runs))
    (part,) = experiment["neighbours"]
    assert part["lags"][0] == {"snapshots": "1", "percent": pytest.approx(100 * np.mean(part["adjacent_in_time"][:-1]))}


def test_wrong_requests_are_refused(runs, tmp_path):
    with pytest.raises(ValueError, match="pdf"):
        report(judged(runs), tmp_path / "page.pdf", format="pdf")
    with pytest.raises(ValueError, match=r"report\.html"):
        report(judged(runs), tmp_path)
    with pytest.raises(ValueError, match="no verdicts"):
        report([], tmp_path / "page.html")
    for other in (Verdicts.from_json(judged(runs).to_json()), runs, None, "runs/digits"):
        with pytest.raises(ValueError, match=r"give what empirics\.compare returns"):
            report(other, tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []


def test_a_page_that_fails_leaves_the_one_before(runs, tmp_path, monkeypatch):
    path = report(judged(runs), tmp_path / "page.json", format="json")
    before = path.read_bytes()
    monkeypatch.setattr("empirics.pages.jsonform.runs_table", lambda evidence: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        report(judged(runs), path, format="json")
    assert path.read_bytes() == before


# parts -------------------------------------------------------------------------------------------
def test_slopes_are_those_the_runs_were_made_with(runs):
    lr, decay = evidence.RunEvidence(runs).entropy_slopes(theiler=False)
    assert lr.low < 1.4 < lr.high < lr.low + 0.3
    assert decay.low < 0.4 < decay.high < decay.low + 0.3
    window = evidence.RunEvidence(runs).entropy_slopes(theiler=True)
    assert [one.value for one in window] == pytest.approx([lr.value - 0.3, decay.value - 0.3])


def test_slopes_need_both_directions():
    lr = np.array([0.1, 0.2, 0.3, 0.4])
    assert evidence.slopes(lr, lr, np.log(lr)) is None
    assert evidence.slopes(lr[:3], lr[:3] ** 2, np.log(lr[:3])) is None


def test_radii_are_the_formulas(runs):
    one = evidence.RunEvidence(runs)
    np.testing.assert_allclose(one.radius / one.sde_radius, 1.02**0.5)


def test_a_grid_averages_seeds_and_leaves_gaps():
    data = xr.Dataset(
        {"loss": ("run", [1.0, 3.0, 5.0, np.nan])},
        {"lr": ("run", [0.1, 0.1, 0.2, 0.2]), "weight_decay": ("run", [0.01, 0.01, 0.02, 0.01])},
    )
    one = evidence.RunEvidence(Runs(None, xr.DataTree.from_dict({"summary": data}), None, {}))
    np.testing.assert_array_equal(one.grid(one.column("loss"))[2], [[2.0, np.nan], [np.nan, 5.0]])


def test_figures_of_a_large_grid_have_a_scale_instead_of_numbers():
    lr, wd = (axis.ravel() for axis in np.meshgrid(np.geomspace(0.01, 1, 12), np.geomspace(0.01, 1, 11)))
    data = xr.Dataset({"radius_sq": ("run", lr / wd)}, {"lr": ("run", lr), "weight_decay": ("run", wd)})
    one = evidence.RunEvidence(Runs(None, xr.DataTree.from_dict({"summary": data}), None, {}))
    assert "norm r" in figures.radius_map(one).svg or "data:image/png" in figures.radius_map(one).svg
    assert figures.entropy_map(one) is None


@pytest.mark.parametrize(("fill", "ink"), [((1, 1, 0.2, 1), "#000000"), ((0, 0.1, 0.3, 1), "#ffffff")])
def test_numbers_in_cells_have_contrast(fill, ink):
    assert drawing.symbols_on(fill) == ink


def test_formulas_are_those_of_the_derivations():
    from thermo_theory import FixedLR, derive

    found = formulas.laws([("fixed-lr", "sgd")])
    assert ["".join(text for text, _ in law.source) for law in found] == [
        derive(n, FixedLR).source for n in ("radius", "temperature", "ideal-gas-law", "maxwell")
    ]
    for law in found:
        Reader(law.mathml)
        assert law.mathml.startswith("<math")
    assert formulas.laws([("no such protocol", "sgd")]) == ()


def test_a_claim_that_is_not_known_has_a_section_that_says_its_form(runs, tmp_path):
    verdicts = Verdicts([dataclasses.replace(judged(runs)[0], claim="V99", title="all is well")], [], runs)
    text = report(verdicts, tmp_path / "page.md", format="markdown").read_text(encoding="utf-8")
    section = text.split("### V99")[1].split("## Three kinds")[0]
    assert "all is well." in section


def test_the_summary_counts(runs):
    text = sections.summary(evidence.RunEvidence(runs))
    for part in (
        "41 scale-invariant weights",
        "12 runs, 190 steps each",
        "4 learning rates from 0.05 to 0.4",
        "3 weight decays",
    ):
        assert part in text
