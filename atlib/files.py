"""Folders, hashes, locks, and files that are either complete or absent."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from .errors import InputError

RUN_NAME = re.compile(r"[^/]+/[^/]+-w\d+-s\d+-[0-9a-f]{8}")  # DATASET/MODEL-w16-s1-HASH
# The folder that contains atlib/: the checkout's root, or site-packages if a wheel was installed (see `repository`).
REPOSITORY = Path(__file__).resolve().parent.parent
HELD = (errno.EACCES, errno.EAGAIN)  # flock's errors where another process has the lock
MISSING = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)  # flock's errors where locks aren't supported
PATIENCE = 0.3  # seconds to wait: `held_for` briefly takes a shared lock to see whether another process holds one


def repository() -> Path | None:
    """The root of the checkout that this atlib belongs to; None if atlib was installed from a wheel."""
    return REPOSITORY if (REPOSITORY / "book" / "claims.yaml").is_file() else None


def checkout_path(name: str) -> Path:
    """A file or folder of the checkout, by its path from the root; InputError if atlib was installed without one."""
    root = repository()
    if root is None:
        raise InputError(f"{name}: needs a checkout of the repository (this atlib is installed in {REPOSITORY})")
    return root / name


def _from_environment(variable: str) -> Path | None:
    """The folder that an environment variable names, "~" expanded; None if it is unset or empty."""
    value = os.environ.get(variable)
    return expanded(variable, value) if value else None


def expanded(parameter: str, value: str) -> Path:
    """A path with its "~" expanded; InputError for a user without a home folder."""
    try:
        return Path(value).expanduser()
    except RuntimeError:  # HOME is not set, and the system doesn't know this user
        raise InputError(f"{parameter} = {value!r}: this user has no home folder; give the whole path") from None


def data_dir() -> Path:
    """Where data sets are kept: ATLIB_DATA, or ~/.cache/atlib.

    For a user without a home folder, as in some containers, it is atlib-UID in the system's temporary folder.
    """
    if chosen := _from_environment("ATLIB_DATA"):
        return chosen
    try:
        return Path.home() / ".cache" / "atlib"
    except RuntimeError:
        return Path(tempfile.gettempdir()) / f"atlib-{os.getuid()}"


def runs_dir() -> Path:
    """Where training and evaluation write: ATLIB_RUNS, or the checkout's runs/, or ./runs without a checkout."""
    return _from_environment("ATLIB_RUNS") or (repository() or Path.cwd()) / "runs"


def results_dir() -> Path:
    """The published rows that the book prints: ATLIB_RESULTS, or the checkout's results/.

    InputError if there is neither.
    """
    return _from_environment("ATLIB_RESULTS") or checkout_path("results")


def _umask() -> int:
    """The process's umask, which can only be read by setting it for an instant."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield the path of a temporary file in the folder of `path`, to write to. It replaces `path` when the block ends.

    After an exception it is removed, and `path` is unchanged. The temporary name is unique, even if several machines or
    containers share the folder. InputError if it can't be written, as on a full disk.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    except OSError as error:
        raise _not_written(path, error) from None
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())  # mkstemp's files can be read by their owner only
        with open(temporary, "rb") as written:  # on disk before it is renamed: a power cut leaves the old file
            os.fsync(written.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.filename is None or str(error.filename) == name:
            raise _not_written(path, error) from None
        raise  # of another file, which the block reads
    finally:
        temporary.unlink(missing_ok=True)


def _not_written(path: Path, error: OSError) -> InputError:
    """The message where a file or folder can't be written."""
    return InputError(f"{path}: can't be written ({error.strerror or error})")


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as a compressed .npz, under a temporary name first."""
    with atomic(path) as temporary, open(temporary, "wb") as stream:  # given a name, numpy would append ".npz" to it
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz that can be made again; InputError if it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return dict(stored)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: can't be read ({error}); delete it, and it is made again") from None


@contextmanager
def hold(path: Path, note: str, refusal: str, patience: float = PATIENCE) -> Iterator[None]:
    """Lock a file until the block or the process ends, however that happens, and write into it who holds the lock.

    It is the lock of `hold_for_children`, which child processes inherit. The library filelock has none that says who
    holds it, and rented machines that train (`campaign.bare`) needn't have it. note: who holds it, for others to read.
    InputError if another process still has the lock after `patience` seconds (its message: `refusal`, then that
    process's note), or if the file system has no locks.
    """
    with hold_for_children(path, note, refusal, patience) as lock:
        try:
            yield
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)  # whoever may have inherited it meanwhile


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Lock a run's folder; a second process gets an InputError. The lock ends when the process does."""
    with hold(folder / "lock", str(os.getpid()), f"{folder}: already in use by process"):
        yield


@contextmanager
def hold_for_children(path: Path, note: str, refusal: str, patience: float = PATIENCE) -> Iterator[int]:
    """Like `hold`, but yields the lock's file descriptor: a process that inherits it also holds the lock.

    The lock ends with the last process that has the descriptor. InputError also if the file can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = open(path, "a+", encoding="utf-8")  # noqa: SIM115 (the block below closes it)
    except OSError as error:
        raise _not_written(path, error) from None
    with lock:
        end = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno not in HELD:
                    raise _not_locked(path, error) from None
                if time.monotonic() > end:
                    raise _in_use(path, refusal) from None
                time.sleep(0.05)
        try:
            lock.truncate(0)
            lock.write(note)
            lock.flush()
        except OSError as error:
            raise _not_written(path, error) from None
        yield lock.fileno()


def _in_use(path: Path, refusal: str) -> InputError:
    """The refusal, followed by the note of the process that holds the lock."""
    return InputError(f"{refusal} {path.read_text(encoding='utf-8').strip() or '?'}")


def _not_locked(path: Path, error: OSError) -> InputError:
    """The message where locking failed although nobody holds the lock."""
    hint = ": the file system has no locks, so that two processes could write here at once; use another folder"
    return InputError(f"{path}: can't be locked ({error.strerror}){hint if error.errno in MISSING else ''}")


def held_for(path: Path) -> float | None:
    """How many seconds a process has held the lock at `path`; None if none holds it, or if locks aren't supported."""
    try:
        with open(path, encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except OSError as error:
        return max(0.0, time.time() - path.stat().st_mtime) if error.errno in HELD else None
    return None


def writable(folder: Path) -> None:
    """InputError unless files can be written in a folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".probe.", buffering=0) as probe:
            probe.write(b"0" * 4096)
    except OSError as error:
        raise _not_written(folder, error) from None


def write_json(path: Path, content: object) -> None:
    """Write readable JSON atomically."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict:
    """Read a JSON object; InputError if the file is missing, damaged, or holds something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
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
