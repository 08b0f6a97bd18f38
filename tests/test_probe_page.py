"""The examples of docs/probe.md are executed."""

import doctest
import re
from pathlib import Path

PAGE = (Path(__file__).parents[1] / "docs" / "probe.md").read_text()


def test_examples():
    text = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL))
    test = doctest.DocTestParser().get_doctest(text, {}, "probe.md", "probe.md", 0)
    assert len(test.examples) >= 25
    found = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    runner.run(test, out=found.append)
    assert not runner.failures, "".join(found)
