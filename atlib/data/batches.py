"""Turn a batch of stored pictures into what a network sees, in training and in tests."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError, in_range, one_of
from ..registry import AUGMENTATIONS

PADDING = 4  # CIFAR-10's zero padding before the random crop


def augment(images: Tensor, kind: str, side: int, generator: torch.Generator) -> Tensor:
    """A batch as training sees it: uint8, N×3×H×H, on any device, to float in [0, 1], N×3×side×side.

    kind: "pad-crop-flip" (CIFAR-10: 4 black pixels around, random crop), "crop-flip" (Caltech: random crop),
    "flip" (Tiny ImageNet: resized if smaller than `side`), "none" (`prepare`). A flip is left to right with
    probability 1/2. Each picture has its own draws from `generator`; one on the CPU draws the same crops and flips
    for every device. The result is in channels-last memory format.
    """
    one_of("augmentation", kind, AUGMENTATIONS)
    if kind == "none":
        return prepare(images, side)
    count, stored, device = len(images), images.shape[-1], generator.device
    if kind == "pad-crop-flip":
        images = F.pad(images, (PADDING,) * 4)
    fits = {"pad-crop-flip": stored == side, "crop-flip": stored >= side, "flip": stored <= side}
    if not fits[kind]:
        allowed = {"pad-crop-flip": "", "crop-flip": "at most ", "flip": "at least "}[kind]
        raise InputError(f"side = {side}: must be {allowed}{stored}, the pictures' own, with augmentation {kind}")
    size = min(stored, side)
    room = images.shape[-1] - size
    corners = sent(torch.randint(room + 1, (2, count), generator=generator, device=device), images.device)
    flips = sent(torch.rand(count, generator=generator, device=device, dtype=torch.float32) < 0.5, images.device)
    return to_float(crop(images, size, corners[0], corners[1], flips), side)


def sent(values: Tensor, device: torch.device) -> Tensor:
    """The same values on a device; to a GPU asynchronously, through pinned memory."""
    if values.device == device or device.type != "cuda":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True) if values.device.type == "cpu" else values.to(device)


def crop(images: Tensor, side: int, top: Tensor, left: Tensor, flips: Tensor) -> Tensor:
    """Each picture's side×side window at its own (top, left) (int64, N), mirrored where `flips` (bool, N)."""
    count, channels, height, width = images.shape
    steps = torch.arange(side, device=images.device)
    rows = top[:, None] + steps
    columns = left[:, None] + torch.where(flips[:, None], side - 1 - steps, steps)
    places = (rows[:, :, None] * width + columns[:, None, :]).view(count, 1, side * side)
    windows = images.reshape(count, channels, height * width).gather(2, places.expand(-1, channels, -1))
    return windows.view(count, channels, side, side)


def prepare(images: Tensor, side: int) -> Tensor:
    """A batch as tests see it: uint8, N×3×H×H, to float in [0, 1], N×3×side×side.

    Larger pictures are cropped at their centre (256 to 224), smaller ones resized (Tiny ImageNet, 64 to 224). The
    result is in channels-last memory format. InputError for a side below 1 or pictures of another form.
    """
    in_range("side", side, 1, whole=True)
    if images.dim() == 4 and images.shape[-2] != images.shape[-1]:
        raise InputError(f"images = {tuple(images.shape)}: must be square, N×3×H×H")
    margin = max(0, (images.shape[-1] - side) // 2)
    return to_float(images[..., margin : margin + side, margin : margin + side], side)


def to_float(images: Tensor, side: int) -> Tensor:
    """uint8 pictures as float in [0, 1], channels last, resized to `side` (bilinear) if they are smaller."""
    if images.dtype != torch.uint8 or images.dim() != 4:
        raise InputError(f"images = {images.dtype} {tuple(images.shape)}: must be uint8, N×3×H×W")
    pictures = images.to(torch.float32, memory_format=torch.channels_last).div_(255)
    if pictures.shape[-1] == side:
        return pictures
    return F.interpolate(pictures, size=(side, side), mode="bilinear").clamp_(0, 1)
