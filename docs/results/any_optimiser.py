"""The digits network under steps of degree 0 in the gradient: signs, Lion, Muon, and LAMB with its trust ratio."""

from tables import cell, counts, find, table

#: Experiment, and what it is.
NAMES = {
    "digits-signsgd": "signs of the gradient",
    "digits-lion": "Lion",
    "digits-muon": "Muon",
    "digits-lamb": "LAMB",
}
#: Columns: head, claim, and a regular expression for the form.
FORMS = {
    "norm balance (V1)": ("V1", "^Norm balance"),
    "slope of log r along the orbit (V1)": ("V1", "^Slope of log r"),
    "radius formula (V1), r² measured / predicted": ("V1", "^Radius formula"),
    "Maxwell relation (V3)": ("V3", "^Maxwell"),
}


def judged(found):
    """A row for each optimiser: numbers, theory in brackets, and marks."""
    rows = []
    for name, words in NAMES.items():
        of = [find(found[name].verdicts, *form) for form in FORMS.values()]
        cells = [cell(one, theory=1) if one and one.verdict != "not measured" else "–" for one in of]
        rows.append([words, counts(found[name].dataset), *cells])
    return table(["step", "runs", *FORMS], rows)
