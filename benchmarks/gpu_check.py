"""What is worth knowing of a card, in under ten minutes: ``make gpu-check``, or ``python -m benchmarks.gpu_check``.

The tests that need a card; our numbers there against those of the CPU; what a step reaches of the card's measured
peaks, and how it compares with a plain loop; and a grid of ResNet-18 for as long as fits. All of it goes into a dated
file in docs/results/summaries, and its tables into docs/gpu.md. Exit code 1 if a part failed, 2 without a card.
"""

import argparse
import json
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HOME = Path(__file__).parents[1]
PAGE, SUMMARIES = Path("docs/gpu.md"), Path("docs/results/summaries")
#: The tables on the page stand between these.
OPENS, CLOSES = "<!-- gpu-check -->", "<!-- end of gpu-check -->"
NEEDED = ("mpmath", "numpy", "pandas", "scipy", "sklearn", "sympy", "typer", "xarray", "zarr")
#: Of the ten minutes, those that are not left to the grid (s): the tests may take this long, the rest is short.
TESTS = 240
#: Networks whose steps are timed: hidden widths on digits, and as many runs of ResNet-18 together.
WIDTHS, TOGETHER = ((16,), (64, 64), (256,)), 25
#: Where the tests that need a card are.
FOLDERS = ("tests/empirics/training", "tests/empirics/data")
#: Allowed relative difference of float64 sums in `ROUNDED` steps; and standard errors between means of float32, with
#: which a relative difference of `FINE` is counted: pairs of runs that have not parted yet all round the same way.
ROUNDING, ROUNDED, ERRORS, FINE = 1e-6, 8, 4.5, 1e-4


def missing(device: str) -> str:
    """What this interpreter lacks to run on the device; empty if nothing."""
    packages = [name for name in NEEDED if find_spec(name) is None]
    if find_spec("torch") is None:
        return f"no torch, so no CUDA card can be used by {sys.executable}"
    if device == "cuda":
        import torch

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a driver that is too old is as good as none
            if not torch.cuda.is_available():
                return f"no CUDA card that torch {torch.__version__} of {sys.executable} can use"
    return f"{sys.executable} lacks {', '.join(packages)}" if packages else ""


def unfit(out: Path) -> str:
    """What a folder lacks for the results; empty if nothing."""
    if not (out / SUMMARIES).is_dir():
        return f"--out {out}: there is no folder {SUMMARIES} in it; give a checkout, or a folder with it and {PAGE}"
    if not (out / PAGE).is_file() or CLOSES not in (out / PAGE).read_text().partition(OPENS)[2]:
        return f"--out {out}: it needs {PAGE} with {OPENS!r} and {CLOSES!r}, where the tables go"
    return ""


def machine(device: str) -> dict[str, Any]:
    """Versions, and the card, as a run's provenance records them."""
    from empirics.running.device import facts
    from empirics.running.provenance import session

    found = session(device, facts(device, deterministic=False))
    return {"versions": found["versions"], "commit": found["commit"], **found["machine"]}


def tests(device: str) -> dict[str, Any]:
    """Run the tests that need a card; all have ``cuda`` in their names."""
    options = ["-k", "cuda", "-o", "filterwarnings=default", "-p", "no:cacheprovider", "--tb=line"]
    words = [sys.executable, "-m", "pytest", *options, *FOLDERS]
    try:
        done = subprocess.run(words, cwd=HOME, capture_output=True, text=True, timeout=TESTS)
    except subprocess.TimeoutExpired:
        return {"passes": False, "summary": f"not done after {TESTS} s"}
    last = (done.stdout.strip() or done.stderr.strip() or "nothing was printed").splitlines()[-1]
    ran = done.returncode == 0 and (device != "cuda" or (" passed" in last and "skipped" not in last))
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return {"passes": ran, "summary": last, "failed": failed}


def bits(device: str) -> dict[str, Any]:
    """Compare what is promised to be the same on every device: initial weights, samples of minibatches, added noise."""
    import torch

    from benchmarks import digits
    from empirics.training.sampling import Stream, Vectors

    here, there = digits.ensemble((16,)), digits.ensemble((16,), device)

    def noise(place: str) -> torch.Tensor:
        vectors = Vectors(here.runs, 1000, Stream.NOISE, False, torch.float32, torch.device(place))
        return torch.stack([vectors.at(position) for position in range(20)]).cpu()

    same = {
        "initial weights": bool((here.start().flat == there.start().flat.cpu()).all()),
        "added noise": bool((noise("cpu") == noise(device)).all()),
        "minibatches": bool((digits.minibatches(here, 300) == digits.minibatches(there, 300).cpu()).all()),
    }
    return {"passes": all(same.values()), "same": same}


def rounding(device: str, graph: bool = False) -> dict[str, Any]:
    """Compare a few steps of every network in float64 with the CPU's: all sums differ by rounding alone."""
    import torch

    from benchmarks.networks import Ours, experiment
    from empirics.data.loading import load
    from empirics.models import MODELS
    from empirics.training.record import Raw

    def sums(model: str, place: str, graph: bool) -> torch.Tensor:
        size = {"hidden": [16]} if model == "mlp" else {"width": 8 if model == "transformer" else 2}
        data, table = {"name": "digits-images"}, {"name": model, **size}
        training = {"burn_in": 10**7, "dtype": "float64", "graph": graph}
        plan = experiment(data, table, runs=3, batch=32, spacing=20, snapshots=20, **training)
        ours = Ours(plan, load(plan.data), place)
        ours.ensemble.model.compiled = False  # type: ignore[attr-defined]  # torch's own program on both
        for _ in range(ROUNDED):
            ours.step()
        return ours.state.raw[:ROUNDED, [Raw.RADIUS_SQ, Raw.GRAD_SQ, Raw.LOSS]].cpu()

    apart = {
        model: float((sums(model, device, graph) / sums(model, "cpu", False) - 1).abs().max()) for model in MODELS.names
    }
    return {"passes": max(apart.values()) <= ROUNDING, "limit": ROUNDING, "relative differences": apart}


def law(device: str, steps: int) -> dict[str, Any]:
    """Compare means over 24 runs in float32, which go different ways by rounding, in standard errors."""
    import torch

    from benchmarks.networks import Ours, experiment
    from empirics.data.loading import load
    from empirics.training.record import Sum

    plan = experiment({"name": "digits"}, {"name": "mlp", "hidden": [16]}, runs=24, batch=64, spacing=60, snapshots=80)
    means = []
    for place in ("cpu", device):
        ours = Ours(plan, load(plan.data), place)
        for half in range(2):
            for _ in range(steps // 2):
                ours.step()
            ours.ensemble.flush(ours.state)
            if not half:
                before = ours.state.total.clone()
        means.append(((ours.state.total - before) / (steps - steps // 2)).cpu())
    found = {}
    for name in (Sum.RADIUS_SQ, Sum.GRAD_SQ, Sum.LOSS):
        apart = means[1][name] - means[0][name]
        error = torch.hypot(apart.std() / len(apart) ** 0.5, FINE * means[0][name].mean())
        found[name.name.lower()] = float(apart.mean().abs() / error)
    return {"passes": max(found.values()) <= ERRORS, "limit": ERRORS, "standard errors": found}


def steps(device: str, quick: bool) -> dict[str, Any]:
    """Measure our steps beside the card's peaks, and beside a plain loop over the runs on the same device."""
    import torch

    from benchmarks import digits, resnet18, rivals
    from benchmarks.card import launches, memory, peaks, seconds, traffic

    where, least = torch.device(device), 0.02 if quick else 0.2
    peak = peaks(where, 256, 2**20, least) if quick else peaks(where, least=least)
    rows: dict[str, Any] = {}

    def row(name: str, runs: int, step: Callable[[], object], plain: Callable[[], object], flops: float) -> None:
        memory(where)
        moved, ours = traffic(step), seconds(step, where, least)
        rows[name] = {"runs": runs, "kernels per step": launches(step, where), "seconds per step": ours}
        rows[name] |= {"memory": memory(where), "flop per second": flops / ours, "bytes per second": moved / ours}
        rows[name] |= {"share of GEMM": flops / ours / peak["float32"], "share of copy": moved / ours / peak["memory"]}
        loop = runs * seconds(plain, where, least)
        rows[name] |= {"plain loop, seconds per step": loop, "ratio": loop / ours}

    for hidden in WIDTHS[: 1 if quick else None]:
        ours = digits.ensemble(hidden, device)
        start, state, first = digits.start_of(ours), ours.start(), digits.minibatches(ours, 1)
        alone, work = partial(rivals.loop(start), first), digits.RUNS * digits.flops(hidden)
        row(f"mlp {list(hidden)}", digits.RUNS, partial(ours.advance, state), alone, work)
    runs = 1 if quick else TOGETHER
    step, one = resnet18.ensemble(10**6, runs, device).step, resnet18.one_run(device).step
    row("resnet18, width 4", runs, step, one, runs * resnet18.flops())
    return {"passes": True, "peaks": peak, "rows": rows}


def graphs(device: str, quick: bool) -> dict[str, Any]:
    """Compare and time the same steps with ``[training] graph = true``."""
    import torch

    from benchmarks import digits, resnet18
    from benchmarks.card import seconds

    found, least = rounding(device, graph=True), 0.02 if quick else 0.2
    ways: dict[str, Callable[[], object]] = {}
    for hidden in WIDTHS[: 1 if quick else None]:
        ours = digits.ensemble(hidden, device, graph=True)
        ways[f"mlp {list(hidden)}"] = partial(ours.advance, ours.start())
    ways["resnet18, width 4"] = resnet18.ensemble(10**6, 1 if quick else TOGETHER, device, graph=True).step
    return found | {"seconds per step": {name: seconds(way, torch.device(device), least) for name, way in ways.items()}}


def grid(device: str, until: float, quick: bool) -> dict[str, Any]:
    """Train ResNet-18 over 5 learning rates x 5 weight decays on digits at 32x32, until `time.perf_counter` is `until`.

    Means are over the second half of the steps; `balance` is ``lr |g|² / (2 wd |w|²)``, 1 in a stationary run.
    """
    import numpy as np

    from benchmarks.card import wait
    from benchmarks.networks import experiment
    from empirics.data.dataset import Dataset
    from empirics.data.loading import load
    from empirics.training.ensemble import Ensemble
    from empirics.training.record import WINDOW, Sum

    side, width, batch, larger = (2, 2, 8, 1) if quick else (5, 4, 128, 4)
    rates = {"lr": np.geomspace(0.01, 0.1, side).tolist(), "weight_decay": np.geomspace(1e-3, 1e-2, side).tolist()}
    data, model = {"name": "digits-images"}, {"name": "resnet18", "width": width}
    plan = experiment(data, model, runs=1, batch=batch, spacing=100, snapshots=40, grid=rates, burn_in=10**7)
    small = load(plan.data)
    images = small.inputs.reshape(-1, 8, 8).repeat(larger, 1).repeat(larger, 2)
    shape, flat = (1, *images.shape[1:]), images.reshape(len(images), -1)
    ours = Ensemble(plan, plan.runs, Dataset("digits, enlarged", flat, small.labels, 10, shape), device)
    state, totals, start = ours.start(), [], time.perf_counter()
    while len(totals) < 2 or time.perf_counter() < until:
        for _ in range(WINDOW):
            ours.advance(state)
        totals.append(state.total.clone())
        wait(ours.device)
    took, middle = time.perf_counter() - start, len(totals) // 2
    means = ((totals[-1] - totals[middle - 1]) / ((len(totals) - middle) * WINDOW)).cpu()
    lr, decay = ours.rate.cpu(), ours.weight_decay.cpu()
    balance = lr * means[Sum.GRAD_SQ] / (2 * decay * means[Sum.RADIUS_SQ])
    values = {"lr": lr, "weight_decay": decay, "balance": balance, "loss": means[Sum.LOSS]}
    return {
        "passes": bool(means[Sum.FINITE].min() == 1),
        "runs": len(plan.runs),
        "steps": state.step,
        "steps per second": state.step / took,
        "run-steps per second": len(plan.runs) * state.step / took,
        "of each run": {name: [float(f"{one:.4g}") for one in found] for name, found in values.items()},
    }


def checked(device: str, quick: bool, minutes: float) -> dict[str, Any]:
    """Do all parts; one that fails is recorded, and the others are done all the same."""
    begun = time.perf_counter()
    until = begun + 60 * minutes - 30
    found: dict[str, Any] = {"date": datetime.now(UTC).date().isoformat(), "device": device, "machine": machine(device)}
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "tests": partial(tests, device),
        "bits": partial(bits, device),
        "rounding": partial(rounding, device),
        "law": partial(law, device, 120 if quick else 1200),
        "steps": partial(steps, device, quick),
        "graphs": partial(graphs, device, quick),
        "grid": lambda: grid(device, 0.0 if quick else until, quick),
    }
    for name, part in parts.items():
        clock = time.perf_counter()
        try:
            found[name] = part()
        except Exception as error:  # whatever a card does to one part, the others are measured
            traceback.print_exc()
            found[name] = {"passes": False, "error": f"{type(error).__name__}: {error}"}
        found[name]["took"] = round(time.perf_counter() - clock, 1)
        print(f"{name}: {'passes' if found[name]['passes'] else 'FAILS'}, {found[name]['took']} s", flush=True)
    return found | {"took": round(time.perf_counter() - begun, 1)}


def tables(found: Mapping[str, Any]) -> str:
    """Format what was found for the page."""
    machine = found["machine"]
    name, torch = machine.get("card", machine["cpu"]), machine["versions"]["torch"]
    took = f"Measured by `make gpu-check` on {found['date']}: {name}, torch {torch}, {found['took']:.0f} s in all."
    lines = [took, "", "| part | result |", "|---|---|"]
    for part in ("tests", "bits", "rounding", "law", "steps", "graphs", "grid"):
        of = found[part]
        detail = of.get("error") or of.get("summary") or "; ".join(_figures(of))
        lines.append(f"| {part} | {'passes' if of['passes'] else '**fails**'}{f': {detail}' if detail else ''} |")
    if rows := found["steps"].get("rows"):
        whole = found["graphs"].get("seconds per step", {})
        cells = {network: _cells(row, whole.get(network)) for network, row in rows.items()}
        columns = next(iter(cells.values()))
        lines += ["", f"| network | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
        lines += [f"| {network} | {' | '.join(of.values())} |" for network, of in cells.items()]
    return "\n".join(lines)


def _cells(row: Mapping[str, Any], whole: float | None) -> dict[str, str]:
    """What a step reaches, by the heads of the table; `whole` is its time (s) as one graph."""
    return {
        "runs": str(row["runs"]),
        "kernels per step": str(row["kernels per step"] or "-"),
        "ms per step": f"{1e3 * row['seconds per step']:.3g}",
        "as one graph": "-" if whole is None else f"{1e3 * whole:.3g}",
        "TFLOP/s": f"{row['flop per second'] / 1e12:.3g}",
        "of the GEMM peak": f"{100 * row['share of GEMM']:.2g} %",
        "TB/s": f"{row['bytes per second'] / 1e12:.3g}",
        "of the copy's": f"{100 * row['share of copy']:.2g} %",
        "memory, MB": "-" if row["memory"] is None else f"{row['memory'] / 1e6:.0f}",
        "plain loop / ours": f"{row['ratio']:.3g}",
    }


def _figures(part: Mapping[str, Any]) -> list[str]:
    """Numbers of a part that fit into a cell."""
    found = [f"{name} {value:.2g}" for name, value in (part.get("relative differences") or {}).items()]
    found += [f"{name} {value:.2g} standard errors" for name, value in (part.get("standard errors") or {}).items()]
    units = {"float32": "TFLOP/s", "TF32": "TFLOP/s", "bfloat16": "TFLOP/s", "memory": "TB/s"}
    found += [f"{name} {value / 1e12:.3g} {units[name]}" for name, value in (part.get("peaks") or {}).items()]
    if "run-steps per second" in part:
        found.append(
            f"{part['runs']} runs, {part['steps']} steps, {part['run-steps per second']:.0f} steps of a run per second"
        )
    return found


def shown(page: str, found: Mapping[str, Any]) -> str:
    """Put the tables into the text of the page."""
    before, _, rest = page.partition(OPENS)
    _, closing, after = rest.partition(CLOSES)
    if not closing:
        raise ValueError(f"{PAGE} must have {OPENS!r} and {CLOSES!r}, where the tables go")
    return f"{before}{OPENS}\n{tables(found)}\n{CLOSES}{after}"


def main() -> int:
    """Check a card, and write what was found."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_check", description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: to try this program")
    parser.add_argument("--quick", action="store_true", help="small sizes: the numbers mean nothing")
    parser.add_argument("--minutes", type=float, default=10.0, help="time for all of it (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=HOME, help="a checkout to write into (default: this one)")
    asked = parser.parse_args()
    if asked.device == "cpu" and asked.out == HOME:
        parser.error("--device cpu needs --out: the page of this checkout is for cards")
    if lacks := unfit(asked.out) or missing(asked.device):
        print(f"gpu-check: {lacks}", file=sys.stderr)
        return 2
    import torch

    from empirics.running.device import arithmetic

    page = asked.out / PAGE
    with torch.no_grad(), arithmetic(deterministic=False):
        found = checked(asked.device, asked.quick, asked.minutes)
    path = asked.out / SUMMARIES / f"{'gpu' if asked.device == 'cuda' else 'try'}-{found['date']}.json"
    path.write_text(json.dumps(found, indent=1) + "\n")
    page.write_text(shown(page.read_text(), found))
    print(f"written: {path}, {page}")
    return 0 if all(part["passes"] for part in found.values() if isinstance(part, dict) and "passes" in part) else 1


if __name__ == "__main__":
    sys.exit(main())
