"""The commit beside a number: of the code that ran, and marked if that code was not the committed one."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from atlib import provenance

Git = Callable[..., str]
MARKING = (
    "atlib/a.py",
    "atlib/data/a.py",
    "atlib/training/a.py",
    "atlib/campaign/jobs.py",
    "atlib/report/destroyed.py",
    "notebooks/train.ipynb",
)
LEFT_OUT = (
    "atlib/campaign/grid.py",
    "atlib/report/tables.py",
    "atlib/py.typed",
    "book/page.md",
    "notebooks/page.ipynb",
)


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Git]:
    """A repository of its own, with a library, a job and a page; a function that runs git in it."""
    for name in ("GIT_DIR", "ATLIB_COMMIT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(provenance, "REPOSITORY", tmp_path)
    provenance._from_git.cache_clear()

    def run(*words: str) -> str:
        who = ("-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false")
        found = subprocess.run(("git", "-C", str(tmp_path), *who, *words), capture_output=True, text=True, check=True)
        return found.stdout.strip()

    for name in (*MARKING, *LEFT_OUT):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1\n")
    run("init", "-q")
    run("add", ".")
    run("commit", "-qm", "one")
    yield run
    provenance._from_git.cache_clear()


@pytest.mark.parametrize("name", LEFT_OUT)
def test_a_changed_page_or_table_leaves_the_commit_clean(name: str, git: Git, tmp_path: Path) -> None:
    (tmp_path / name).write_text("2\n")
    (tmp_path / "atlib" / "untracked.py").write_text("2\n")
    assert provenance.commit() == git("rev-parse", "HEAD")


@pytest.mark.parametrize("name", MARKING)
def test_changed_code_is_marked(name: str, git: Git, tmp_path: Path) -> None:
    (tmp_path / name).write_text("2\n")
    assert provenance.commit() == git("rev-parse", "HEAD") + "-dirty"


def test_what_is_committed_while_a_job_runs_did_not_run(git: Git, tmp_path: Path) -> None:
    first = provenance.commit()
    (tmp_path / "atlib" / "a.py").write_text("2\n")
    git("commit", "-qam", "two")
    assert provenance.commit() == first != git("rev-parse", "HEAD")


def test_without_git_it_is_unknown_and_the_environment_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ATLIB_COMMIT", raising=False)
    monkeypatch.setattr(provenance, "REPOSITORY", tmp_path / "absent")
    provenance._from_git.cache_clear()
    assert provenance.commit() == "unknown"
    monkeypatch.setenv("ATLIB_COMMIT", "abc")
    assert provenance.commit() == "abc"
    provenance._from_git.cache_clear()  # the answer is of this test alone
