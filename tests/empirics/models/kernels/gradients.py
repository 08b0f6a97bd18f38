"""A compiled gradient against torch's, however minibatches are given and tensors lie, and runs beside each other."""

import torch

from empirics.models.base import views


def assert_same_gradients(plain, ours, flat, frozen, samples, rows, labels, within):
    """Compare two networks on the rows of samples; `within` is relative to the largest component."""
    expected, found, gathered = (torch.full_like(flat, torch.nan) for _ in range(3))
    w, inputs = views(flat, ours.blocks), samples[rows]
    loss = plain.loss_and_grad(w, frozen, inputs, labels, views(expected, ours.blocks))
    mine = ours.loss_and_grad(w, frozen, inputs, labels, views(found, ours.blocks))
    again = ours.loss_and_grad_of(w, frozen, samples, rows, labels, views(gathered, ours.blocks))
    torch.testing.assert_close(mine, loss, rtol=within, atol=within)
    assert (found - expected).abs().max() <= within * expected.abs().max()
    assert torch.equal(found, gathered)
    assert torch.equal(mine, again)
    apart = [torch.empty(w.shape, dtype=flat.dtype) for w in views(flat, ours.blocks)]  # tensors of their own
    ours.loss_and_grad([one.clone() for one in w], frozen, inputs, labels, apart)
    assert torch.equal(torch.cat([one.flatten(1) for one in apart], 1), found)


def assert_runs_do_not_matter_to_each_other(ours, flat, frozen, samples, rows, labels):
    """Take the second of three runs alone, and the others beside one with a NaN among its weights."""
    whole, alone, sick = (torch.zeros_like(flat) for _ in range(3))
    ours.loss_and_grad_of(views(flat, ours.blocks), frozen, samples, rows, labels, views(whole, ours.blocks))
    one = slice(1, 2)
    part = [w[one] for w in views(flat, ours.blocks)]
    into = views(alone[one], ours.blocks)
    ours.loss_and_grad_of(part, [frozen[0][one]], samples, rows[one], labels[one], into)
    assert torch.equal(alone[one], whole[one])
    flat[0, 5] = torch.nan
    loss = ours.loss_and_grad_of(views(flat, ours.blocks), frozen, samples, rows, labels, views(sick, ours.blocks))
    assert loss.isnan().tolist() == [True, False, False]
    assert sick[0].isnan().any()
    assert torch.equal(sick[1:], whole[1:])
