"""Folders, hashes, and files that are either whole or not there."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .errors import InputError

RUN_NAME = re.compile(r"[^/]+/[^/]+-w\d+-s\d+-[0-9a-f]{8}")  # DATASET/MODEL-w16-s1-HASH
REPOSITORY = Path(__file__).resolve().parent.parent


def data_dir() -> Path:
    """Where data sets are kept: ATLIB_DATA, or ~/.cache/atlib."""
    return Path(os.environ.get("ATLIB_DATA") or Path.home() / ".cache" / "atlib").expanduser()


def runs_dir() -> Path:
    """Where training and evaluation write: ATLIB_RUNS, or the repository's runs/."""
    return Path(os.environ.get("ATLIB_RUNS") or REPOSITORY / "runs").expanduser()


def results_dir() -> Path:
    """The published rows that the book prints: ATLIB_RESULTS (tests), or the repository's results/."""
    return Path(os.environ.get("ATLIB_RESULTS") or REPOSITORY / "results").expanduser()


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary path in the same folder; at the end it takes the place of `path`, after an error it goes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with open(temporary, "rb") as written:  # on the disk before it gets its name: a power cut leaves the old file
            os.fsync(written.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def hold(path: Path, note: str, refusal: str) -> Iterator[int]:
    """Lock a file, with a note of who we are in it, until this process ends, however; yields its descriptor.

    Processes that inherit the descriptor hold it, too. If another has it: InputError, `refusal` and that one's note.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+") as lock:
        for patience in (0.05, 0.2, None):  # somebody may be looking whether it is held, which takes an instant
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if patience is None:
                    lock.seek(0)
                    raise InputError(f"{refusal} {lock.read().strip() or '?'}") from None
                time.sleep(patience)
        lock.truncate(0)
        lock.write(note)
        lock.flush()
        yield lock.fileno()


def writable(folder: Path) -> None:
    """InputError unless a file can be written there."""
    probe = folder / f".probe.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"0" * 4096)
        probe.unlink()
    except OSError as error:
        with suppress(OSError):
            probe.unlink(missing_ok=True)
        raise InputError(f"{folder}: can't be written ({error.strerror})") from None


def write_json(path: Path, content: object) -> None:
    """Write readable JSON atomically."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")


def read_json(path: Path) -> dict:
    """Read a JSON object; InputError if the file is missing, damaged, or holds something else."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: not a readable JSON file ({type(error).__name__}); delete it or restore it"
        ) from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: must hold a JSON object, not {content!r:.40}; delete it or restore it")
    return content


def file_hash(path: Path, kind: str = "sha256") -> str:
    """Hexadecimal hash of a file's bytes."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, kind).hexdigest()


def tensor_digest(tensors: dict[str, Tensor], note: str = "") -> str:
    """sha256 over names, types, shapes and bytes: equal digests mean bit-identical tensors."""
    digest = hashlib.sha256(note.encode())
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}:{value.dtype}:{tuple(value.shape)};".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)  # no copy: pictures may be mapped from a file
    return digest.hexdigest()


def save_tensors(path: Path, tensors: dict[str, Tensor], meta: dict) -> None:
    """Write a safetensors file atomically, with `meta` (JSON) and a digest of everything inside."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    note = json.dumps(meta, sort_keys=True)
    with atomic(path) as temporary:
        try:
            save_file(tensors, temporary, {"meta": note, "digest": tensor_digest(tensors, note)})
        except SafetensorError as error:
            raise InputError(f"{path}: can't be written ({error})") from None


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict]:
    """Read what `save_tensors` wrote: (tensors, meta). InputError if it is missing, truncated or altered."""
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
    return tensors, json.loads(note)


def load_meta(path: Path) -> dict:
    """The meta of what `save_tensors` wrote, from the file's header alone: the digest, which takes the tensors, is not
    checked. InputError if the file is missing, truncated, or another's."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        with safe_open(path, "pt") as stream:
            return json.loads((stream.metadata() or {})["meta"])
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise InputError(f"{path}: damaged, or not a file of atlib ({type(error).__name__})") from None


def load_state(path: Path) -> dict[str, Tensor]:
    """A dictionary of tensors from a PyTorch file, without running any code that may be in it.

    InputError if the file is missing, damaged, or holds anything else.
    """
    if not path.is_file():
        raise InputError(f"{path}: {'a folder, not a file' if path.is_dir() else 'no such file'}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen types for a damaged or foreign file
        raise InputError(f"{path}: not a weights-only PyTorch file ({type(error).__name__})") from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path}: must hold a dictionary of tensors by their names, as model.state_dict() gives it")
    return state
