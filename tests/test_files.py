"""Files: whole or not there, and damage is noticed wherever it is."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import pwd
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from atlib import data, errors, files
from atlib.errors import InputError
from atlib.style import sources

# --- atomic -----------------------------------------------------------------------------------------------------------


def test_atomic_replaces_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "file.txt"
    for text in ("old", "new"):
        with files.atomic(path) as temporary:
            assert temporary.parent == path.parent  # os.replace is atomic within a file system only
            temporary.write_text(text)
            assert not path.exists() if text == "old" else path.read_text(encoding="utf-8") == "old"
        assert path.read_text(encoding="utf-8") == text
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_atomic_keeps_the_old_file_after_an_exception(tmp_path: Path, failure: type[BaseException]) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(failure), files.atomic(path) as temporary:  # noqa: PT012
        temporary.write_text("half of the n")
        raise failure
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_of_one_file_with_one_process_id_do_not_meet(tmp_path: Path) -> None:
    """Two containers that share a folder may both be process 1. The last one to end wins."""
    path = tmp_path / "file.txt"
    with files.atomic(path) as one:
        one.write_text("one", encoding="utf-8")
        with files.atomic(path) as two:
            two.write_text("two", encoding="utf-8")
            assert one != two
        assert path.read_text(encoding="utf-8") == "two"
    assert path.read_text(encoding="utf-8") == "one"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_a_written_file_has_the_permissions_that_the_umask_gives(umask: int, mode: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        files.write_json(tmp_path / "a.json", {})
        files.save_arrays(tmp_path / "a.npz", {"a": np.zeros(1)})
        assert os.umask(umask) == umask  # and the umask is what it was
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {mode}


def test_a_rename_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "taken" / "full").mkdir(parents=True)
    with pytest.raises(InputError, match=r"/taken: can't be written \(Is a directory\)$"):
        files.write_json(tmp_path / "taken", {})
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_what_cannot_be_written_is_one_line_and_what_cannot_be_read_is_not_taken_for_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for writing in (files.atomic(tmp_path / "file" / "a.json"), files.atomic(tmp_path / "file" / "deep" / "a.json")):
        with pytest.raises(InputError, match=r"/a\.json: can't be written \((File exists|Not a directory)\)$"), writing:
            raise AssertionError("it began")
    with pytest.raises(FileNotFoundError, match="absent"), files.atomic(tmp_path / "copy") as temporary:
        temporary.write_bytes((tmp_path / "absent").read_bytes())
    with (
        pytest.raises(InputError, match=r"/copy: can't be written \(No space left on device\)$"),
        files.atomic(tmp_path / "copy"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_writable_leaves_nothing_behind_and_says_what_it_cannot_write(tmp_path: Path) -> None:
    files.writable(tmp_path / "new")
    assert not list((tmp_path / "new").iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file: can't be written \(File exists\)$"):
        files.writable(tmp_path / "file")


# --- locks ------------------------------------------------------------------------------------------------------------

Hold = Callable[[Path, str, str], AbstractContextManager]
HOLDS = [files.hold, files.hold_for_children]


@pytest.mark.parametrize("hold", HOLDS)
def test_a_lock_that_cannot_be_written_is_one_line(hold: Hold, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path, tmp_path / "file" / "lock"):
        with pytest.raises(InputError, match=rf"^{place}: can't be written \(.*\)$"), hold(place, "me", "in use by"):
            raise AssertionError("it began")


@pytest.mark.parametrize("first", HOLDS)
@pytest.mark.parametrize("second", HOLDS)
def test_a_held_lock_is_refused_with_the_holders_note(first: Hold, second: Hold, tmp_path: Path) -> None:
    path = tmp_path / "new" / "lock"
    for note in ("process 7", "p 8"):  # a note is replaced whole
        with first(path, note, "in use by"):
            with pytest.raises(InputError, match=f"^in use by {note}$"), second(path, "other", "in use by"):
                pass
            assert files.held_for(path) is not None
        assert files.held_for(path) is None


@pytest.mark.parametrize("hold", HOLDS)
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_without_locks_is_not_somebody_elses_lock(
    number: int, hold: Hold, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    path = tmp_path / "lock"
    path.write_text("7", encoding="utf-8")
    monkeypatch.setattr(fcntl, "flock", missing)
    with pytest.raises(InputError) as caught, hold(path, "8", "already in use by process"):
        pass
    assert str(caught.value).startswith(
        f"{path}: can't be locked ({os.strerror(number)}): the file system has no locks"
    )
    assert "\n" not in str(caught.value)
    assert files.held_for(path) is None


def test_a_child_that_inherits_the_descriptor_keeps_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with files.hold_for_children(path, "parent", "in use by") as descriptor:
        child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=(descriptor,))
    try:
        assert files.held_for(path) is not None
    finally:
        child.communicate()
    assert files.held_for(path) is None


# --- JSON and hashes --------------------------------------------------------------------------------------------------


def test_json_round_trip_and_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"b": [1, None], "a": "ü"})
    assert files.read_json(path) == {"a": "ü", "b": [1, None]}
    with pytest.raises(TypeError):
        files.write_json(path, {"c": object()})
    assert json.loads(path.read_text(encoding="utf-8"))["a"] == "ü"  # the old one is still there
    for text in ("", '{"a": ', "nonsense"):
        path.write_text(text)
        with pytest.raises(InputError, match="not a readable JSON file") as caught:
            files.read_json(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"absent.json: not a readable JSON file"):
        files.read_json(tmp_path / "absent.json")


@pytest.mark.parametrize("kind", ["sha256", "md5"])
def test_file_hash(tmp_path: Path, kind: str) -> None:
    (tmp_path / "x").write_bytes(b"atlib" * 1000)
    assert files.file_hash(tmp_path / "x", kind) == hashlib.new(kind, b"atlib" * 1000).hexdigest()


@pytest.mark.parametrize(
    ("function", "variable", "default"),
    [
        (files.data_dir, "ATLIB_DATA", Path.home() / ".cache" / "atlib"),
        (files.runs_dir, "ATLIB_RUNS", files.REPOSITORY / "runs"),
        (files.results_dir, "ATLIB_RESULTS", files.REPOSITORY / "results"),
    ],
)
def test_folders_follow_the_environment(
    function: object, variable: str, default: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(variable, str(tmp_path))
    assert function() == tmp_path  # type: ignore[operator]
    monkeypatch.setenv(variable, "~/mine")
    assert function() == Path.home() / "mine"  # type: ignore[operator]
    monkeypatch.setenv(variable, "")
    assert function() == default  # type: ignore[operator]


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without a home folder: no HOME, and a number that the system doesn't know."""

    def unknown(number: int) -> NoReturn:
        raise KeyError(number)

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.raises(RuntimeError):
        Path.home()


@pytest.mark.usefixtures("homeless")
def test_without_a_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATLIB_DATA", str(tmp_path))
    assert files.data_dir() == tmp_path
    monkeypatch.setenv("ATLIB_DATA", "~/data")
    for parameter, use in {
        "dataset": lambda: data.check("folder:~/pictures"),
        "styles": lambda: sources.Styles("~/paintings"),
    }.items():
        with pytest.raises(InputError, match=rf"^{parameter} = '~/p\w+': this user has no home folder; give the whole"):
            use()
    with pytest.raises(InputError, match=r"^ATLIB_DATA = '~/data': this user has no home folder; give the whole path$"):
        files.data_dir()
    monkeypatch.delenv("ATLIB_DATA")
    assert files.data_dir() == Path(tempfile.gettempdir()) / f"atlib-{os.getuid()}"


def test_outside_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert files.repository() == files.REPOSITORY and files.checkout_path("results") == files.REPOSITORY / "results"
    for name in ("RUNS", "RESULTS"):
        monkeypatch.delenv(f"ATLIB_{name}")
    monkeypatch.setattr(files, "REPOSITORY", tmp_path / "site-packages")
    monkeypatch.chdir(tmp_path)
    assert files.repository() is None and files.runs_dir() == tmp_path / "runs"
    with pytest.raises(InputError, match=r"^results: needs a checkout of the repository \(this atlib is installed in "):
        files.results_dir()


# --- encodings --------------------------------------------------------------------------------------------------------


def under_the_c_locale(*words: str) -> subprocess.CompletedProcess[str]:
    """Run Python where text files are ASCII unless they say otherwise."""
    locale = {name: value for name, value in os.environ.items() if not name.startswith("LC_")}
    locale |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    return subprocess.run(
        [sys.executable, *words], capture_output=True, encoding="utf-8", env=locale, cwd=files.REPOSITORY
    )


def test_files_are_utf_8_whatever_the_locale(tmp_path: Path) -> None:
    code = (  # its own text is ASCII: Python reads the command line in the locale's encoding, too
        "import locale, sys; from pathlib import Path; from atlib import files; from atlib.report import claims\n"
        "assert locale.getencoding() == 'ANSI_X3.4-1968', locale.getencoding()\n"
        "claims.load()\n"
        "assert files.read_json(Path(sys.argv[1]) / 'a.json') == {'a': '\\xd7'}\n"
        "with files.hold(Path(sys.argv[1]) / 'lock', 'Zo\\xeb', ''): pass"
    )
    (tmp_path / "a.json").write_text('{"a": "×"}', encoding="utf-8")
    done = under_the_c_locale("-c", code, str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "lock").read_text(encoding="utf-8") == "Zoë"


def test_a_command_line_works_in_any_locale() -> None:
    done = under_the_c_locale("-m", "atlib.campaign.plan", "--blocks", "nonesuch")
    assert done.returncode == 2 and done.stderr.startswith("error: BLOCKS = 'nonesuch': must be one of "), done.stderr
    code = (
        "import sys; from atlib import errors; sys.exit(errors.command_line(lambda given: print('2 \\xd7 2') or 0)())"
    )
    done = under_the_c_locale("-c", code)
    assert (done.stdout, done.returncode) == ("2 ? 2\n", 0), done.stderr


@pytest.mark.parametrize("lines", [1, 100_000], ids=["within the buffer", "beyond it"])
def test_a_reader_that_has_had_enough_ends_a_command_line_quietly(lines: int) -> None:
    """`make status | head` ended with "error: [Errno 32] Broken pipe"."""
    code = (
        "import sys; from atlib import errors; sys.stdin.read()\n"
        f"sys.exit(errors.command_line(lambda given: print('a line\\n' * {lines}) or 0)())"
    )
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    child = subprocess.Popen([sys.executable, "-c", code], cwd=files.REPOSITORY, **pipes)
    assert child.stdin and child.stdout and child.stderr
    child.stdout.close()  # before it prints
    child.stdin.close()
    assert (child.wait(60), child.stderr.read()) == (141, b"")


def test_ctrl_c_ends_a_command_line_with_a_line(capsys: pytest.CaptureFixture) -> None:
    """It printed a traceback of forty lines."""

    @errors.command_line
    def main(arguments: Sequence[str] | None = None) -> int:
        raise KeyboardInterrupt

    assert main() == 130 and capsys.readouterr().err == "interrupted; what was finished is kept\n"


# --- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [10**400, float("nan"), float("inf"), -1, 256, True, "x", None])
def test_in_range_refuses_with_one_line(value):
    with pytest.raises(errors.InputError, match=r"^eps = .*: must be a number at least 0 and at most 255$"):
        errors.in_range("eps", value, 0, 255)


def test_in_range_bounds():
    errors.in_range("eps", 0, 0, 255)
    errors.in_range("eps", 255, 0, 255)
    with pytest.raises(errors.InputError, match=r"^eps = 0: must be a number above 0$"):
        errors.in_range("eps", 0, 0, open_low=True)
    with pytest.raises(errors.InputError, match=r"^steps = 2.5: must be a whole number at least 1$"):
        errors.in_range("steps", 2.5, 1, whole=True)
