"""The folder of a published run, made again: complete, publishable, and never of another network."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from atlib import evaluation, models
from atlib.campaign import publishing, restoring
from atlib.errors import InputError, Missing
from atlib.files import runs_dir
from atlib.rows import load
from atlib.tensors import load_meta

pytestmark = pytest.mark.usefixtures("published_folder")


def shipped(name: str = "shapes/normal") -> str:
    """The run of a network that comes with the repository."""
    card = models.shipped()[name].with_suffix(".md").read_text(encoding="utf-8")
    return card.split("run `")[1].split("`")[0]


def test_what_was_restored_is_measured_and_published_as_it_was(tmp_path: Path) -> None:
    run = shipped()
    folder = restoring.restore(run)
    assert folder == runs_dir() / run and [path.name for path in folder.parent.iterdir()] == [folder.name]
    before = load()
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    evaluation.evaluate(run, measure=("clean", "conflict"), progress=False)  # is there, and isn't measured again
    assert {name: (folder / name).read_bytes() for name in files} == files
    publishing.publish(folder, tmp_path)
    mine = before[before["run"] == run].reset_index(drop=True)
    again = load(tmp_path)
    assert again["run"].unique().tolist() == [run] and len(again) == len(mine)
    assert again["value"].tolist() == mine["value"].tolist()
    assert load_meta(folder / "weights.safetensors")["config"]["dataset"] == "shapes"


def test_what_cannot_be_restored_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run = shipped()
    with pytest.raises(InputError, match=r"^run = 'normal': must be DATASET/RUN, as in results/"):
        restoring.restore("normal")
    with pytest.raises(Missing, match=r"^run = 'shapes/normal-w16-s1-00000000': not published"):
        restoring.restore("shapes/normal-w16-s1-00000000")
    other = tmp_path / "other.safetensors"
    shutil.copyfile(models.shipped()["shapes/pgd-linf-8"], other)
    with pytest.raises(InputError, match=r"not those of shapes/normal-.* whose rows are published$"):
        restoring.restore(run, other)
    assert not (runs_dir() / "shapes").exists()  # nothing is left of what failed
    unshipped = next(name for name in load()["run"].unique() if name.startswith("shapes/spatial-w16-s3-"))
    with pytest.raises(Missing, match=f"^{unshipped}: its weights are neither under"):
        restoring.restore(unshipped)
    assert restoring.main([run]) == 0 and restoring.main([run]) == 2
    assert capsys.readouterr().err.startswith(f"error: {runs_dir() / run}: is there already")
