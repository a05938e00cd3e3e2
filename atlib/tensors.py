"""Tensors in files: safetensors that say what they hold, checked when they are read, and weights from elsewhere."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from .errors import InputError
from .files import atomic


def tensor_digest(tensors: dict[str, Tensor], note: str = "") -> str:
    """sha256 of the tensors' names, types, shapes and bytes, and of `note`: equal digests mean identical bits."""
    digest = hashlib.sha256(note.encode())
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}:{value.dtype}:{tuple(value.shape)};".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)  # no copy: pictures may be mapped from a file
    return digest.hexdigest()


def save_tensors(path: Path, tensors: dict[str, Tensor], meta: dict) -> None:
    """Write a safetensors file atomically, with `meta` (as JSON) and a digest of the tensors and of `meta`."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    note = json.dumps(meta, sort_keys=True)
    with atomic(path) as temporary:
        try:
            save_file(tensors, temporary, {"meta": note, "digest": tensor_digest(tensors, note)})
        except SafetensorError as error:
            raise InputError(f"{path}: can't be written ({error})") from None


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict]:
    """Read what `save_tensors` wrote: (tensors, meta). InputError if the file is missing, truncated or altered."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        with safe_open(path, "pt") as stream:
            header = stream.metadata() or {}
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 (not a dict)
        note, digest = header["meta"], header["digest"]
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise InputError(f"{path}: damaged, or not a file of atlib ({type(error).__name__})") from None
    if tensor_digest(tensors, note) != digest:
        raise InputError(f"{path}: damaged: its content does not match the digest inside")
    try:
        return tensors, json.loads(note)
    except ValueError as error:
        raise InputError(f"{path}: damaged, or not a file of atlib ({type(error).__name__})") from None


def load_meta(path: Path) -> dict:
    """The `meta` that `save_tensors` wrote. Only the file's header is read, so the digest is not checked.

    InputError if the file is missing, truncated, or not one of atlib's.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        with safe_open(path, "pt") as stream:
            return json.loads((stream.metadata() or {})["meta"])
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise InputError(f"{path}: damaged, or not a file of atlib ({type(error).__name__})") from None


def load_state(path: Path, inside: tuple[str, ...] = ()) -> dict[str, Tensor]:
    """Read a dictionary of tensors by name, from a PyTorch file (no code in it is run) or a .safetensors one.

    inside: names under which a larger checkpoint may hold it. InputError if the file is missing, damaged, or holds
    anything else.
    """
    if not path.is_file():
        raise InputError(f"{path}: {'a folder, not a file' if path.is_dir() else 'no such file'}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen types of error for a damaged or foreign file
        hint = ": it holds more than tensors; save model.state_dict() alone" if "Unsupported" in str(error) else ""
        raise InputError(f"{path}: not a weights-only PyTorch file ({type(error).__name__}){hint}") from None
    held = [state[name] for name in inside if isinstance(state, dict) and isinstance(state.get(name), dict)]
    state = held[0] if held else state
    if not isinstance(state, dict) or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
        names = f"; it holds {', '.join(map(str, [*state][:5]))}" if isinstance(state, dict) else ""
        raise InputError(
            f"{path}: must hold a dictionary of tensors by their names, as model.state_dict() gives it{names}"
        )
    return state
