"""Augmentation of images on the device: each image of a minibatch is mirrored and shifted by numbers drawn before."""

import torch
from torch import Tensor

# A move is one integer: (down + REACH) · 2^17 + (right + REACH) · 2 + mirrored.
REACH = 2**15


def packed(down: Tensor, right: Tensor, mirrored: Tensor | int) -> Tensor:
    """Pack the move of each image into one number for :func:`augment`.

    Parameters
    ----------
    down, right
        Its shift in pixels, int64 of the same shape, from -2^15 to 2^15 - 1.
    mirrored
        Whether it is mirrored, 0 or 1.
    """
    return ((down + REACH) * (2 * REACH) + (right + REACH)) * 2 + mirrored


def augment(inputs: Tensor, moves: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Mirror and shift every image of a minibatch by its move; pixels that move in are zero, the mean of the data.

    This equals a random crop of an image padded with `shift` zeros. The image is mirrored first, then shifted. Nothing
    waits for the device, and the size of no tensor depends on the moves.

    Parameters
    ----------
    inputs
        Shape (run, batch, feature), or any other that ends with features; not changed.
    moves
        Results of :func:`packed`, in the order of the images, ``inputs.numel() / feature`` of them.
    shape
        (channel, height, width) of the features in row-major order.

    Returns
    -------
    Tensor
        The shape of `inputs`.

    Examples
    --------
    >>> images = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    >>> mirrored_and_moved_down = packed(down=torch.tensor([1]), right=torch.tensor([0]), mirrored=1)
    >>> augment(images, mirrored_and_moved_down, (1, 2, 2)).tolist()
    [[0.0, 0.0, 2.0, 1.0]]
    """
    channels, height, width = shape
    mirrored = (moves & 1).view(-1, 1)
    right = ((moves >> 1) % (2 * REACH) - REACH).view(-1, 1)
    down = ((moves >> 17) - REACH).view(-1, 1)
    # Where each row and each column of the result comes from.
    rows = torch.arange(height, device=inputs.device) - down
    columns = torch.arange(width, device=inputs.device) - right
    outside = ((rows < 0) | (rows >= height)).unsqueeze(2) | ((columns < 0) | (columns >= width)).unsqueeze(1)
    columns = columns + mirrored * (width - 1 - 2 * columns)
    source = rows.clamp(0, height - 1).unsqueeze(2) * width + columns.clamp(0, width - 1).unsqueeze(1)
    images = inputs.reshape(-1, channels, height * width)
    moved = torch.gather(images, 2, source.view(-1, 1, height * width).expand_as(images))
    return moved.masked_fill_(outside.view(-1, 1, height * width), 0).view(inputs.shape)
