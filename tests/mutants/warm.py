"""A process that has loaded what every run of tests loads, and forks for each: half the time of a mutant.

Its words are the names of the libraries. It reads lines of JSON from its input, [folder, words after pytest,
environment, seconds], and answers each with one, [exit code (-1: out of time), output].
"""

import importlib
import json
import os
import signal
import sys
import tempfile
import time


def forked(folder: str, words: list[str], environment: dict[str, str], seconds: float) -> tuple[int, str]:
    with tempfile.TemporaryFile() as said:
        if (child := os.fork()) == 0:
            _test(said.fileno(), folder, words, environment)
        end, ended, status = time.monotonic() + seconds, 0, 0
        while not ended and time.monotonic() < end:
            time.sleep(0.02)
            ended, status = os.waitpid(child, os.WNOHANG)
        if not ended:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
        said.seek(0)
        return os.waitstatus_to_exitcode(status) if ended else -1, said.read().decode(errors="replace")


def _test(output: int, folder: str, words: list[str], environment: dict[str, str]) -> None:
    code = 3  # pytest's for an internal error
    try:
        os.setsid()  # what the tests start is killed with them
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(folder)
        os.environ.update(environment)
        sys.path[0], sys.argv = folder, ["pytest", *words]
        code = int(importlib.import_module("pytest").main(words))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    for library in sys.argv[1:]:
        importlib.import_module(library)
    for line in sys.stdin:
        print(json.dumps(forked(*json.loads(line))), flush=True)
