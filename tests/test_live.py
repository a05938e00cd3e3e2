"""The scripts of the page "Try it on a picture": equal to atlib on the same input, bundled, and complete."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from atlib import attacks, saliency, transforms
from atlib.data.pictures import square
from atlib.errors import InputError, Missing
from atlib.files import REPOSITORY
from atlib.report import export, frames, live

SIZES = [(32, 32), (33, 47), (64, 48), (640, 481), (31, 90), (20, 20), (1, 1), (5, 100), (3, 200), (32, 50), (1200, 60)]


pytestmark = pytest.mark.usefixtures("published_folder")


def formula(width: int, height: int) -> np.ndarray:
    """A picture, height×width×3, that tests/live/crop.test.js makes by the same formula."""
    place = np.arange(width * height, dtype=np.int64).reshape(height, width)
    return np.stack([(place * (7 + 4 * c) + place * place % 251 * (c + 1)) % 256 for c in range(3)], 2).astype(np.uint8)


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def shuffled(picture: Tensor, count: int) -> dict[str, Any]:
    """What patch_shuffle makes of a picture, and in which order: read from the numbers of patches, shuffled alike."""
    size = 32 // count
    numbers = torch.arange(count * count).view(1, 1, count, count).float()
    numbered = numbers.repeat_interleave(size, 2).repeat_interleave(size, 3).expand(1, 3, 32, 32)
    order = transforms.patch_shuffle(numbered, count, seed=3)[0, 0, ::size, ::size].flatten().int().tolist()
    return {
        "count": count,
        "order": order,
        "shuffled": transforms.patch_shuffle(picture[None], count, seed=3).flatten().tolist(),
    }


def logit_vectors() -> list[dict[str, Any]]:
    logits = torch.tensor([[1.0, 2, 3, 0], [0, 60, -60, 1], [0, 0, 0, 900], [5, 5, 5, 5]], dtype=torch.float64)
    found = []
    for values in logits:
        for label in (0, 3):
            odds = float(values[[i for i in range(4) if i != label]].logsumexp(0) - values[label])
            weight = -1 / (1 + math.exp(-odds)) if odds > -700 else -math.exp(odds)
            chances = values.softmax(0).tolist()
            found.append(
                {"logits": values.tolist(), "label": label, "odds": odds, "weight": weight, "chances": chances}
            )
    return found


def steps_of(generator: torch.Generator) -> list[dict[str, Any]]:
    found = []
    for eps in (8 / 255, 64 / 255, 0.013):
        centre = torch.randint(256, (1, 3, 32, 32), generator=generator) / 255
        start = (centre + (torch.rand(centre.shape, generator=generator) * 2 - 1) * eps).clamp(0, 1)
        gradient, size = torch.randn(centre.shape, generator=generator), attacks.default_step(eps, 10)
        gradient[0, 0, 0, :5] = 0
        following = attacks.project(attacks.step(start, gradient, size, "linf"), centre, eps, "linf")
        arrays = {"picture": start, "gradient": gradient, "centre": centre, "next": following}
        found.append({name: values.flatten().tolist() for name, values in arrays.items()} | {"eps": eps, "size": size})
    return found


def vectors() -> dict[str, Any]:
    """What atlib gives, for tests/live/*.test.js."""
    generator = torch.Generator().manual_seed(0)
    picture = torch.randint(256, (3, 32, 32), generator=generator, dtype=torch.uint8)
    noise = torch.randn(3, 32, 32, generator=generator)
    image = picture / 255
    maps = torch.randn(3, 3, 32, 32, generator=generator)
    maps[1] *= 1e-20
    maps[2] = 0
    maps[2, 1, 4, 7] = -2
    every = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    levels = [0, 0.1, 0.25, 0.5, 0.7, 1, 1.0717734, 2, 3, 4, 8, 16, 64, 955.4, 1024, math.inf]
    squares = []
    for width, height in SIZES:
        pixels = square(png(formula(width, height)), 32, "a test")
        squares.append({"width": width, "height": height, "pixels": pixels.flatten().tolist()})
    return {
        "picture": picture.flatten().tolist(),
        "saturation": [
            {
                "level": "inf" if level == math.inf else level,
                "table": transforms.saturation(every, level).flatten().tolist(),
            }
            for level in levels
        ],
        "shuffle": [shuffled(picture, count) for count in (2, 4, 8, 16, 32)],
        "lowPass": [
            {"cutoff": cutoff, "filtered": transforms.low_pass(image[None], cutoff).flatten().tolist()}
            for cutoff in (0, 0.1, 0.25, 0.3, 0.5, 1, 1.42)
        ],
        "squares": squares,
        "logits": logit_vectors(),
        "noisy": {
            "picture": image.flatten().tolist(),
            "noise": noise.flatten().tolist(),
            "copy": (image + 0.1 * (image.max() - image.min()) * noise).flatten().tolist(),
        },
        "maps": [
            {"map": one.flatten().tolist(), "picture": saliency.picture(one[None]).flatten().tolist()} for one in maps
        ],
        "steps": steps_of(generator),
    }


@pytest.fixture(scope="module")
def node(lacks: Callable[[str, str], NoReturn]) -> str:
    return shutil.which("node") or lacks("node", "Node is not installed (apt install nodejs)")


def test_scripts_equal_atlib(node: str, tmp_path: Path) -> None:
    """node's own test runner on tests/live, with what atlib gives for the same input."""
    (tmp_path / "vectors.json").write_text(json.dumps(vectors()))
    files = sorted(str(path) for path in (REPOSITORY / "tests" / "live").glob("*.test.js"))
    given = os.environ | {"ATLIB_VECTORS": str(tmp_path / "vectors.json")}
    done = subprocess.run([node, "--test", *files], capture_output=True, encoding="utf-8", env=given)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    assert int(re.findall(r"pass (\d+)", done.stdout)[-1]) >= 28, done.stdout[-500:]


TSC = REPOSITORY / "tests" / "vendor" / "typescript" / "tsc.js"


def checked(node: str, folder: Path) -> str:
    """What TypeScript's compiler says of the scripts that a folder's tsconfig.json names; empty if nothing."""
    done = subprocess.run([node, str(TSC), "-p", str(folder)], capture_output=True, encoding="utf-8")
    return done.stdout + done.stderr


def test_scripts_are_what_their_types_say(node: str, lacks: Callable[[str, str], NoReturn], tmp_path: Path) -> None:
    """JSDoc's types, checked strictly; and a type that is wrong is found."""
    if not TSC.is_file():
        lacks("typescript", f"{TSC} is not there (make vendor)")
    assert checked(node, REPOSITORY / "tests" / "live") == ""
    shutil.copytree(REPOSITORY / "book" / "live", tmp_path / "live")
    with open(tmp_path / "live" / "words.js", "a", encoding="utf-8") as file:
        file.write("export const wrong = percent('a half');\n")
    config = (REPOSITORY / "tests" / "live" / "tsconfig.json").read_text(encoding="utf-8")
    (tmp_path / "tsconfig.json").write_text(config.replace("../../book/live/*.js", "live/words.js"), encoding="utf-8")
    assert "Argument of type 'string' is not assignable to parameter of type 'number'" in checked(node, tmp_path)


# --- the bundle -------------------------------------------------------------------------------------------------------


def modules_in(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (folder / f"{name}.js").write_text(text)
    return folder


def test_bundle_runs_modules_in_their_order_each_in_its_own_scope(node: str, tmp_path: Path) -> None:
    folder = modules_in(
        tmp_path,
        one='// said\nexport const a = 1; // kept\nconst own = "one";\nexport function f() {\n  return own;\n}\n',
        two='import { a } from "./one.js";\nconst own = "two";\nexport const b = a + 1;\nexport const c = own;\n',
        page='import { f } from "./one.js";\nimport { b, c } from "./two.js";\nconsole.log(f(), /** @x */ (b), c);\n',
    )
    assert live.modules("page.js", folder) == ["one.js", "two.js", "page.js"]
    script = live.bundle("page.js", folder)
    assert "said" not in script and "@x" not in script
    (tmp_path / "script.cjs").write_text(script)
    done = subprocess.run([node, str(tmp_path / "script.cjs")], capture_output=True, encoding="utf-8")
    assert done.stdout == "one 2 two\n", done.stderr


@pytest.mark.parametrize("line", ["export default 1;", 'import * as x from "./x.js";', "export { a };"])
def test_bundle_refuses_what_it_does_not_understand(line: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"page\.js: .*: not understood by the bundle"):
        live.bundle("page.js", modules_in(tmp_path, page=f"const a = 1;\n{line}\n"))


def test_bundle_refuses_a_circle(tmp_path: Path) -> None:
    folder = modules_in(tmp_path, one='import { b } from "./two.js";\n', two='import { a } from "./one.js";\n')
    with pytest.raises(InputError, match=r"one\.js: imports itself, by way of one\.js and two\.js"):
        live.bundle("one.js", folder)


# --- what the book gets -----------------------------------------------------------------------------------------------


def runtime_in(folder: Path) -> Path:
    for name in live.RUNTIME:
        (folder / name).write_bytes(name.encode() * 100_000)
    return folder


def test_written_parts_give_back_every_file(tmp_path: Path) -> None:
    (tmp_path / "ort").mkdir()
    live.write(tmp_path / "live", runtime_in(tmp_path / "ort"))
    first = (tmp_path / "live" / "page.js").read_text(encoding="utf-8").splitlines()[0]
    about = json.loads(first.removeprefix("globalThis.atlibLive = ").removesuffix(";"))
    found: dict[str, bytes] = {}
    for number in range(about["parts"]):
        text = (tmp_path / "live" / f"part-{number}.js").read_text(encoding="utf-8")
        assert len(text) < 1.1e6
        name, content = json.loads(text.removeprefix("atlibPart(").removesuffix(");\n").join("[]"))
        found[name] = found.get(name, b"") + base64.b64decode(content)
    for name in live.RUNTIME:
        assert found.pop(name) == (tmp_path / "ort" / name).read_bytes()
    for name, content in found.items():
        assert content == (tmp_path / "live" / name).read_bytes()
    assert set(found) == {"worker.js", *(f"{name}.onnx" for name in export.NAMES)}
    (tmp_path / "live" / "part-99.js").touch()  # of a build before, with a longer runtime
    live.write(tmp_path / "live", tmp_path / "ort")
    assert not (tmp_path / "live" / "part-99.js").exists()


def test_a_stale_network_or_a_missing_runtime_stops_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Missing, match=r"ort\.wasm\.min\.js: not there; `make vendor` fetches it"):
        live.write(tmp_path / "live", tmp_path)
    monkeypatch.setattr(export, "FORMAT", export.FORMAT + 1)
    with pytest.raises(InputError, match="run `make live`"):
        live.write(tmp_path / "live", runtime_in(tmp_path))
    assert not (tmp_path / "live").exists()


def test_shares_are_those_of_the_published_rows() -> None:
    normal, robust = (live.shares_of(name) for name in export.NAMES)
    assert (normal["clean"], robust["clean"]) == ({"": 0.8627}, {"": 0.7095})
    assert (normal["saturation"]["1024"], robust["saturation"]["1024"]) == (0.3408, 0.4807)
    assert (normal["pgd-linf"], robust["pgd-linf"]) == ({"8": 0.0}, {"8": 0.333})
    assert set(normal["patch-shuffle"]) == {"1", "2", "4", "8"}


def test_known_pictures_are_test_pictures_as_they_are() -> None:
    about = frames.load("cifar10").about
    pictures = live.known_pictures()
    assert [one["label"] for one in pictures] == ["cat", "ship", "frog", "automobile"]
    assert [about["classes"].index(one["label"]) for one in pictures] == [p["label"] for p in about["pictures"]]
    assert all(len(base64.b64decode(one["pixels"])) == 3 * 32 * 32 for one in pictures)
    # computed once, when they were compared with the official test set
    digest = hashlib.sha256(b"".join(base64.b64decode(one["pixels"]) for one in pictures)).hexdigest()
    assert digest == "0d192a3ee6fdbfaecb6ffab57efd7a1bf54fb3ba5e5bdd597ef2be0f53c9ddc3"


def test_page_is_as_light_as_promised_before_the_click(tmp_path: Path) -> None:
    """60 KB more than the page without it: what the notebook's cell prints, and the script."""
    live.write(tmp_path / "live", runtime_in(tmp_path))
    html = live.page_html()
    assert len(html.encode()) + (tmp_path / "live" / "page.js").stat().st_size < 60_000
    assert re.findall(r'(?:src|href)="([^"]*)"', html) == ["methods.html", "../_static/live/page.js"]


def test_speeds_are_not_run_until_they_are_measured(tmp_path: Path) -> None:
    assert "not run" in live.speeds(tmp_path)
    line = "memory of the page,http,301.5,MB,400.0,yes,5,AMD EPYC,Chromium 156.0,1.30.0,0.4,0123456789abcdef\n"
    head = "what,over,value,unit,reach,met,rounds,processor,browser,runtime,load,commit\n"
    (tmp_path / "live.csv").write_text(head + line)
    html = live.speeds(tmp_path)
    assert "301.5" in html and "Medians of 5 rounds in Chromium 156.0 with one core of AMD EPYC" in html
    assert "<code>01234567</code>" in html
