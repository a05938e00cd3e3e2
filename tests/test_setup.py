"""What the rest stands on: pinned requirements, the torchvision shim, and tests that reach no other machine."""

from __future__ import annotations

import _ctypes
import ast
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import atlib
from atlib import files
from atlib.files import REPOSITORY

OFFLINE = Path(__file__).parent / "offline"  # on PYTHONPATH: processes of tests reach no other machine


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter."""
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        encoding="utf-8",
        env=os.environ | environment,
        cwd=REPOSITORY,
    )


# --- torchvision ------------------------------------------------------------------------------------------------------


def test_torchvision_works_through_the_shim() -> None:
    done = python(
        "import torch; from atlib._torchvision import torchvision; import torchvision.transforms.v2\n"
        "print(torchvision.models.resnet18(num_classes=7).eval()(torch.zeros(1, 3, 32, 32)).shape[1],"
        " 'IMAGENET1K_V1' in torchvision.models.ResNet18_Weights.__members__)"
    )
    assert done.stdout == "7 True\n", done.stderr


def test_shim_declares_operators_only_where_they_are_missing() -> None:
    plain = python("import torchvision; print(torchvision.models.__name__)")
    shim = python("from atlib import _torchvision; print(_torchvision._declared is None)")
    assert shim.stdout == f"{plain.returncode == 0}\n", plain.stderr + shim.stderr


@pytest.mark.parametrize("compiled", ["loads", "does not load", "is not there"])
def test_shim_beside_other_builds(compiled: str, tmp_path: Path) -> None:
    """A stand-in for torchvision whose compiled part loads (any library does) is imported as it is."""
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text("mine = True\n")
    if compiled == "loads":
        (package / "_C.so").symlink_to(_ctypes.__file__)
    elif compiled == "does not load":
        (package / "_C.so").write_bytes(b"not a library")
    done = python(
        "import torch; from atlib import _torchvision as shim\n"
        "print(shim.torchvision.mine, shim._declared is None, hasattr(torch.ops.torchvision, 'nms'))",
        PYTHONPATH=os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]),
    )
    declared = compiled == "does not load"
    assert done.stdout == f"True {not declared} {declared}\n", done.stderr


# --- the tests themselves -------------------------------------------------------------------------------------------


def test_openmp_threads_wait_passively() -> None:
    code = "import atlib, os; print(os.environ['OMP_WAIT_POLICY'])"
    without = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=without)
    assert done.stdout == "PASSIVE\n"
    assert python(code, OMP_WAIT_POLICY="ACTIVE").stdout == "ACTIVE\n"


def test_no_other_machine_can_be_reached() -> None:
    with socket.socket(socket.AF_INET) as connection, pytest.raises(OSError, match="tests have no network"):
        connection.connect(("192.0.2.1", 80))
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection,
        pytest.raises(OSError, match="tests have no network"),
    ):
        connection.sendmsg([b"x"], [], 0, ("192.0.2.1", 9))
    with pytest.raises(OSError, match="tests have no network"):  # whether or not this machine has IPv6
        sys.audit("socket.connect", None, ("2001:db8::1", 80, 0, 0))


@pytest.mark.parametrize(
    "look_up", [lambda name: socket.create_connection((name, 80)), socket.gethostbyname, socket.gethostbyaddr]
)
def test_no_name_is_looked_up(look_up: Callable[[str], object]) -> None:
    with pytest.raises(OSError, match="tests have no network"):
        look_up("example.org")


def test_processes_of_tests_have_no_network_either() -> None:
    done = python("import socket; socket.create_connection(('192.0.2.1', 80))")
    assert "tests have no network" in done.stderr


def test_loopback_stays_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert client.getpeername() == server.getsockname()


def test_folders_are_the_tests_own(tmp_path: Path) -> None:
    assert {files.runs_dir().parent, files.data_dir().parent, files.results_dir().parent} == {tmp_path}


@pytest.mark.parametrize("repeat", [1, 2])
def test_seeds_are_fixed(repeat: int) -> None:
    expected = torch.rand(1, generator=torch.Generator().manual_seed(0)).item()
    assert (torch.rand(1).item(), round(float(np.random.rand()), 4)) == (expected, 0.5488)


# --- files at the root ----------------------------------------------------------------------------------------------


def pins(name: str) -> dict[str, str]:
    """Package and version of every requirement in a file."""
    lines = [line.split("#")[0].strip() for line in (REPOSITORY / name).read_text(encoding="utf-8").splitlines()]
    pairs = [line.partition("==")[::2] for line in lines if line and not line.startswith("-")]
    return {re.sub(r"[-_.]+", "-", package).lower(): version for package, version in pairs}


@pytest.mark.parametrize("name", [*sorted(p.name for p in REPOSITORY.glob("requirements*.txt")), "constraints.txt"])
def test_requirements_are_pinned(name: str) -> None:
    found, limits = pins(name), pins("constraints.txt")
    assert all(re.fullmatch(r"\d[\w.]*", version) for version in found.values()), found
    assert not [package for package in found if package.startswith(("nvidia", "cuda", "triton"))]
    differing = {p: v for p, v in found.items() if limits.get(p, v) != v}
    assert not differing, f"constraints.txt has other versions of {differing}"


INSTALLED = """
import json, sys
from dataclasses import replace
import atlib
assert "torch" not in sys.modules
for name in atlib.__all__:
    getattr(atlib, name)
import torch
from atlib.errors import InputError

config = replace(atlib.configuration.resolve(dataset="shapes"), quick=True, width=4, epochs=1.0, precision="fp32")
run = atlib.training.train(config, progress=False)
atlib.evaluation.evaluate(run, measure=("saturation",), progress=False)
model, _ = atlib.models.load(run / "weights.safetensors")
pictures, labels = torch.rand(2, 3, 32, 32), torch.tensor([0, 1])
attacked = atlib.attacks.pgd(model, pictures, labels, eps=8 / 255, steps=1)
maps = atlib.saliency.smoothgrad(model, pictures, labels, samples=2)

def line(function, *arguments):
    try:
        function(*arguments)
    except InputError as error:
        return str(error)

from atlib.report.own.__main__ import main
assert main(["mine:make", "shapes", "--measure", "saturation"]) == 0
(page,) = run.parent.glob("*/report.html")

print(json.dumps({
    "file": atlib.__file__, "runs": str(run.parent.parent), "rows": len(open(run / "rows.csv").readlines()),
    "page": "saturation" in page.read_text(encoding="utf-8"),
    "own": sorted(path.name for path in page.parent.iterdir() if path.suffix in (".csv", ".json")),
    "shapes": [list(attacked.shape), list(maps.shape)],
    "results": line(atlib.files.results_dir), "shipped": line(atlib.models.load, "cifar10/pgd-linf-8"),
}))
"""
MINE = """
from torch import nn
def make():
    return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 10)).eval()
"""


def test_a_wheel_works_outside_any_checkout(tmp_path: Path) -> None:
    """Train, measure, attack and explain with an installed atlib: runs go to ./runs, and nothing beside it."""
    source, site, desk = (tmp_path / name for name in ("source", "site", "desk"))
    shutil.copytree(REPOSITORY / "atlib", source / "atlib", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    desk.mkdir()
    (desk / "mine.py").write_text(MINE, encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(source)]
    subprocess.run(build, check=True, cwd=desk)
    (wheel,) = tmp_path.glob("atlib-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), str(wheel)], check=True, cwd=desk)
    assert (site / "atlib" / "py.typed").is_file() and not (site / "tests").exists()

    environment = {name: value for name, value in os.environ.items() if not name.startswith("ATLIB_")}
    environment |= {"PYTHONPATH": os.pathsep.join([str(site), str(OFFLINE)]), "ATLIB_DATA": str(tmp_path / "data")}

    def installed(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words], capture_output=True, encoding="utf-8", env=environment, cwd=desk
        )

    done = installed("-c", INSTALLED)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["file"] == str(site / "atlib" / "__init__.py") and found["runs"] == str(desk / "runs")
    assert found["rows"] > 1 and found["shapes"] == [[2, 3, 32, 32]] * 2
    assert found["own"] == ["evaluation.json", "own.json", "rows.csv"] and found["page"]
    assert found["results"].startswith("results: needs a checkout of the repository")
    assert found["shipped"].startswith("cifar10/pgd-linf-8: no such file; the repository's own networks")
    assert sorted(path.name for path in desk.iterdir() if path.name != "__pycache__") == ["mine.py", "runs"]
    done = installed("-m", "atlib.campaign", "status")
    assert done.returncode == 2
    assert done.stderr.startswith("error: workflow/grid.yaml: needs a checkout of the repository"), done.stderr


# What a package of another name is imported as, and what is imported only where it is installed, with a message if not.
IMPORTED_AS = {"pillow": "PIL", "PyYAML": "yaml"}
OPTIONAL = {"adv_lib", "torchattacks", "onnxruntime", "timm", "IPython"}
BROUGHT = {"requests"}  # by pooch, whose errors it names


def test_what_the_library_imports_is_declared() -> None:
    """The wheel is tried beside this environment's packages, so a missing declaration wouldn't show there."""
    declared = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    names = [re.split(r"[^\w.-]", one)[0] for one in declared]
    allowed = (
        {IMPORTED_AS.get(name, name) for name in names} | OPTIONAL | BROUGHT | set(sys.stdlib_module_names) | {"atlib"}
    )
    found = set()
    ground = [REPOSITORY / "atlib", REPOSITORY / "atlib" / "data", REPOSITORY / "atlib" / "style"]
    for path in (path for folder in ground for path in folder.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(str(node.module).partition(".")[0])
    assert {"torch", "pooch", "numpy"} <= found and found <= allowed, found - allowed


def test_the_public_interface_is_there_without_torch() -> None:
    code = (
        "import atlib, sys; assert 'torch' not in sys.modules and set(atlib.__all__) <= set(dir(atlib))\n"
        "print(atlib.transforms.patch_shuffle.__name__, hasattr(atlib, 'nonesuch'))"
    )
    done = python(code)
    assert done.stdout == "patch_shuffle False\n", done.stderr
    modules = {path.stem for path in (REPOSITORY / "atlib").glob("*.py")}
    packages = {path.parent.name for path in (REPOSITORY / "atlib").glob("*/__init__.py")}
    inside = {"__init__", "_torchvision", "choices", "draws", "registry", "campaign", "report"}  # for atlib's own use
    assert set(atlib.__all__) == (modules | packages) - inside


NPM = """#!/bin/sh
[ "$1" = ci ] && mkdir node_modules && cd node_modules || exit 1
mkdir -p @jupyter-widgets/html-manager/dist mathjax/es5/output/chtml/fonts/woff-v2 axe-core
touch @jupyter-widgets/html-manager/dist/embed.js @jupyter-widgets/html-manager/dist/embed.js.LICENSE.txt
touch @jupyter-widgets/html-manager/dist/a.woff2 axe-core/axe.min.js
mkdir -p typescript/lib && cd typescript && touch package.json lib/tsc.js lib/_tsc.js lib/lib.d.ts lib/tsserver.js
cd ..
mkdir -p onnxruntime-web/dist && cd onnxruntime-web && touch package.json dist/ort.wasm.min.js && cd ..
touch onnxruntime-web/dist/ort-wasm-simd-threaded.mjs onnxruntime-web/dist/ort-wasm-simd-threaded.wasm
touch mathjax/LICENSE mathjax/es5/tex-mml-chtml.js mathjax/es5/output/chtml/fonts/woff-v2/b.woff
"""


def test_the_book_s_javascript_in_a_folder_with_a_space(tmp_path: Path) -> None:
    root = tmp_path / "a check out"
    (root / ".venv" / "bin").mkdir(parents=True)
    for name in (
        "Makefile",
        "package.json",
        "package-lock.json",
        "pyproject.toml",
        "requirements.txt",
        "constraints.txt",
    ):
        shutil.copy(REPOSITORY / name, root)
    (root / ".venv" / "bin" / "python").touch()
    (root / ".venv" / ".book").touch()  # newer than requirements.txt: installed
    npm = root / ".venv" / "bin" / "npm"  # make puts this folder first on its PATH
    npm.write_text(NPM, encoding="utf-8")
    npm.chmod(0o755)
    done = subprocess.run(["make", "vendor"], cwd=root, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    folder = root / "book" / "_static" / "vendor"
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found == {
        ".complete", "embed.js", "embed.js.LICENSE.txt", "a.woff2", "mathjax/LICENSE", "mathjax/tex-mml-chtml.js",
        "mathjax/output/chtml/fonts/woff-v2/b.woff", "ort/package.json", "ort/ort.wasm.min.js",
        "ort/ort-wasm-simd-threaded.mjs", "ort/ort-wasm-simd-threaded.wasm",
    }  # fmt: skip
    tests = root / "tests" / "vendor"
    kept = {path.relative_to(tests).as_posix() for path in tests.rglob("*") if path.is_file()}
    typescript = {f"typescript/{name}" for name in ("package.json", "tsc.js", "_tsc.js", "lib.d.ts")}
    assert kept == {"axe.min.js"} | typescript
    assert [path.name for path in tmp_path.iterdir()] == ["a check out"]


@pytest.mark.parametrize("folder", ["atlib", "benchmarks", "book/_ext"])
def test_text_is_read_and_written_in_a_named_encoding(folder: str) -> None:
    """ruff's rule (PLW1514) sees only what it can tell to be a path; here every call counts, and subprocesses."""
    found = []
    for path in sorted((REPOSITORY / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                keywords = {keyword.arg for keyword in node.keywords}
                name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
                process = name in ("run", "Popen") and {"text", "universal_newlines"} & keywords
                if (name in ("read_text", "write_text") or process) and "encoding" not in keywords:
                    found.append(f"{path.name}:{node.lineno}")
    assert not found


def test_version_is_the_same_everywhere() -> None:
    assert yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))["version"] == atlib.__version__


def test_continuous_integration_runs_the_same_script() -> None:
    script = REPOSITORY / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "make test" in script.read_text(encoding="utf-8")
    workflow = yaml.safe_load((REPOSITORY / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    assert any(step.get("run") == ".ci/run" for step in workflow["jobs"]["test"]["steps"])


def test_publishing_without_a_run_says_what_is_missing() -> None:
    """A variable of the Makefile's own once had the parameter's name, so that the question was never asked."""
    words = ["make", "--file", str(REPOSITORY / "Makefile"), "--old-file", ".venv/.book", "publish"]
    alone = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # under `make test`
    done = subprocess.run(words, cwd=REPOSITORY, env=alone, capture_output=True, encoding="utf-8")
    assert done.returncode == 2 and done.stdout.startswith("RUN is missing: make publish RUN="), (
        done.stdout + done.stderr
    )


def test_linters_before_a_commit_are_those_of_make_lint() -> None:
    """And they are the checkout's own: nothing is downloaded."""
    config = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]
    assert {repo["repo"] for repo in config["repos"]} == {"local"} and {hook["language"] for hook in hooks} == {
        "system"
    }
    lint = re.search(r"^LINT := (.*)$", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert lint
    commands = re.findall(r"check \$\(BIN\)/([^;]*[^; ])", lint[1])
    assert [hook["entry"] for hook in hooks] == [f".venv/bin/{command.removesuffix(' .')}" for command in commands]


def test_the_workflow_that_publishes_the_book_has_no_more_rights_than_it_needs() -> None:
    workflow = yaml.safe_load((REPOSITORY / ".github" / "workflows" / "pages.yml").read_text(encoding="utf-8"))
    build, deploy = workflow["jobs"]["build"], workflow["jobs"]["deploy"]
    assert workflow["permissions"] == {"contents": "read"}
    assert build["permissions"] == {"contents": "read", "pages": "read"}
    assert deploy["permissions"] == {"pages": "write", "id-token": "write"} and deploy["needs"] == "build"
    used = [step["uses"] for job in (build, deploy) for step in job["steps"] if "uses" in step]
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", name) for name in used)
    assert [step["run"] for step in build["steps"] if "run" in step] == ["make book zip"]
    assert "whl/cpu" in build["env"]["TORCH_INDEX"]
