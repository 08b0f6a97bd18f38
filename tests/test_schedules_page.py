"""The examples of docs/schedules.md are executed, and the command it names is one."""

import doctest
import re
import shlex
from pathlib import Path

from empirics.cli import main

PAGE = (Path(__file__).parents[1] / "docs" / "schedules.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, flags=re.DOTALL)


def test_examples():
    text = "\n".join(text for language, text in BLOCKS if language == "python")
    test = doctest.DocTestParser().get_doctest(text, {}, "schedules.md", "schedules.md", 0)
    assert len(test.examples) >= 18
    found = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    runner.run(test, out=found.append)
    assert not runner.failures, "".join(found)


def test_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    ((_, line),) = [block for block in BLOCKS if block[0] == "sh"]
    program, *words = shlex.split(line)
    assert program == "thermo-theory"
    assert main(words) == 0
    assert "quasi-static" in capsys.readouterr().out
    assert (tmp_path / "plan.png").exists()
