"""The commit beside a number: of the code that ran, and marked if that code was not the committed one."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from atlib import provenance
from atlib.campaign import destroyed, judges, plan, sigmas, stronger
from atlib.errors import InputError, Main
from atlib.report import explored, frames, photographs
from benchmarks import live

Git = Callable[..., str]
COMMANDS: tuple[tuple[Main, list[str]], ...] = (
    (stronger.main, ["cifar10/normal", "cifar10"]),
    (plan.main, ["--write"]),
    (live.main, []),
)
REFUSAL = "code of commit 'abc-dirty': rows are published only from committed code"
SHAPES: Any = SimpleNamespace(dataset="shapes", side=32, device=torch.device("cpu"))  # what is asked before any work
MARKING = (
    "atlib/a.py",
    "atlib/data/a.py",
    "atlib/campaign/jobs.py",
    "atlib/campaign/destroyed.py",
    "atlib/report/frames.py",
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
    provenance._full_name.cache_clear()

    def run(*words: str) -> str:
        who = ("-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false")
        command = ("git", "-C", str(tmp_path), *who, *words)
        found = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
        return found.stdout.strip()

    for name in (*MARKING, *LEFT_OUT):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1\n")
    run("init", "-q")
    run("add", ".")
    run("commit", "-qm", "one")
    yield run
    provenance._from_git.cache_clear()
    provenance._full_name.cache_clear()


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


def test_a_changed_table_leaves_the_commit_clean(git: Git, tmp_path: Path) -> None:
    """What numbers depend on is the library layer."""
    for layer in ("report", "campaign"):
        (tmp_path / "atlib" / layer).mkdir(exist_ok=True)
        (tmp_path / "atlib" / layer / "a.py").write_text("1\n", encoding="utf-8")
    git("add", ".")
    git("commit", "-qm", "layers")
    for layer in ("report", "campaign"):
        (tmp_path / "atlib" / layer / "a.py").write_text("2\n", encoding="utf-8")
    assert provenance.commit() == git("rev-parse", "HEAD")


def test_a_table_may_ask_for_more_files_to_be_committed(git: Git, tmp_path: Path) -> None:
    assert provenance.committed("atlib/campaign", "book") == provenance.commit()
    (tmp_path / "atlib" / "campaign" / "grid.py").write_text("2\n")
    assert provenance.committed("book") == provenance.committed() == git("rev-parse", "HEAD")
    with pytest.raises(InputError, match=r"-dirty': rows are published only from committed code"):
        provenance.committed("book", "atlib/campaign")


@pytest.mark.parametrize("tracked", [False, True])
def test_a_copy_inside_another_repository_does_not_take_its_commit(
    tracked: bool, git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "vendor" / "copy"
    (copy / "atlib").mkdir(parents=True)
    (copy / "atlib" / "a.py").write_text("1\n", encoding="utf-8")
    if tracked:
        git("add", ".")
        git("commit", "-qm", "a copy")
    monkeypatch.setattr(provenance, "REPOSITORY", copy)
    assert provenance.commit() == "unknown"


def test_a_hook_of_another_repository_does_not_lend_its_commit(
    git: Git, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = git("rev-parse", "HEAD"), tmp_path_factory.mktemp("other")
    subprocess.run(("git", "init", "-q", str(other)), check=True)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert provenance.commit() == mine


def test_a_checkout_reached_through_a_link_has_its_commit(
    git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.setattr(provenance, "REPOSITORY", tmp_path / "link")
    assert provenance.commit() == git("rev-parse", "HEAD")


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


def test_a_commit_of_this_repository_that_is_not_the_code_here_is_marked(
    git: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = git("rev-parse", "HEAD")
    monkeypatch.setenv("ATLIB_COMMIT", head)
    assert provenance.committed() == head
    monkeypatch.setenv("ATLIB_COMMIT", head[:12])
    assert provenance.committed() == head[:12]
    monkeypatch.setenv("ATLIB_COMMIT", "0" * 40)  # a name that git doesn't know, as of a copy from elsewhere
    assert provenance.commit() == "0" * 40
    git("commit", "-q", "--allow-empty", "-m", "another")
    provenance._from_git.cache_clear()
    monkeypatch.setenv("ATLIB_COMMIT", head)  # a commit that isn't checked out
    assert provenance.commit() == f"{head}-dirty"
    monkeypatch.setenv("ATLIB_COMMIT", git("rev-parse", "HEAD"))
    (provenance.REPOSITORY / MARKING[0]).write_text("edited")
    provenance._from_git.cache_clear()
    assert provenance.commit() == git("rev-parse", "HEAD") + "-dirty"
    with pytest.raises(InputError, match="-dirty': rows are published only from committed code"):
        provenance.committed()


@pytest.mark.parametrize(
    "publishing",
    [
        lambda: sigmas.write("cifar10", minutes=1),
        lambda: frames.make("cifar10"),
        frames.with_budgets,
        lambda: judges.measure(2),
        photographs.make,
        explored.make,
        lambda: destroyed.write(SHAPES),
        lambda: destroyed.write_baselines(SHAPES),
    ],
    ids=["sigmas", "frames", "budgets", "judges", "photographs", "explored", "destroyed", "baselines"],
)
def test_whatever_is_published_is_refused_from_uncommitted_code(
    publishing: Callable[[], object],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Before any work, as `publish` refuses rows: what is printed names the commit that made it."""
    monkeypatch.setenv("ATLIB_RESULTS", str(tmp_path))
    table = destroyed.table_path("shapes", 32)
    table.parent.mkdir()
    table.touch()
    monkeypatch.setattr(provenance, "commit", lambda: "abc-dirty")
    with pytest.raises(InputError, match=REFUSAL):
        publishing()


@pytest.mark.parametrize(("main", "arguments"), COMMANDS, ids=["stronger", "plan", "live"])
def test_so_is_what_a_command_publishes(
    main: Main, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(provenance, "commit", lambda: "abc-dirty")
    assert main(arguments) == 2 and REFUSAL in capsys.readouterr().err
