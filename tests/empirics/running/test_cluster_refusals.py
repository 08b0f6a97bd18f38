"""What a cluster must be like, said before any work: with a stand-in for the client, where Dask is not installed."""

import pytest

from empirics.experiment import ExperimentError
from empirics.running import cluster


class Client:
    """What `_check` asks a client."""

    def __init__(self, threads=1, **versions):
        self.threads, self.versions = threads, cluster._versions() | versions

    def nthreads(self):
        return {"tcp://one": 1, "tcp://two": self.threads}

    def run(self, function):
        return {"tcp://one": function(), "tcp://two": self.versions}


def test_equal_workers_of_one_thread_are_taken():
    cluster._check(Client(), "here")


@pytest.mark.parametrize(
    ("client", "said"),
    [
        (Client(threads=4), r"cluster here: worker tcp://two has 4 threads: .*--nthreads 1.*--nworkers"),
        (Client(torch="1.0"), r"cluster here: worker tcp://two has torch 1\.0, here it is .*same versions"),
    ],
)
def test_others_are_refused(client, said):
    with pytest.raises(ExperimentError, match=said):
        cluster._check(client, "here")
