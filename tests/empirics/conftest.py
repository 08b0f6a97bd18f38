"""What several modules of tests need around them."""

import pytest
import torch


@pytest.fixture
def one_thread():
    """Torch on one thread: sums that are cut differently among threads round differently."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
