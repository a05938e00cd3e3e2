"""What the rest stands on: pinned requirements, the torchvision shim, and tests that reach no other machine."""

from __future__ import annotations

import _ctypes
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import atlib
from atlib import files
from atlib.files import REPOSITORY


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | environment, cwd=REPOSITORY
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


@pytest.mark.parametrize("address", [("192.0.2.1", 80), ("2001:db8::1", 80, 0, 0)])
def test_no_other_machine_can_be_reached(address: tuple) -> None:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    try:
        connection = socket.socket(family)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with connection, pytest.raises(OSError, match="tests have no network"):
        connection.connect(address)


def test_no_name_is_looked_up() -> None:
    with pytest.raises(OSError, match="tests have no network"):
        socket.create_connection(("example.org", 80))


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
    lines = [line.split("#")[0].strip() for line in (REPOSITORY / name).read_text().splitlines()]
    pairs = [line.partition("==")[::2] for line in lines if line and not line.startswith("-")]
    return {re.sub(r"[-_.]+", "-", package).lower(): version for package, version in pairs}


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt", "constraints.txt"])
def test_requirements_are_pinned(name: str) -> None:
    found, limits = pins(name), pins("constraints.txt")
    assert all(re.fullmatch(r"\d[\w.]*", version) for version in found.values()), found
    assert not [package for package in found if package.startswith(("nvidia", "cuda", "triton"))]
    differing = {p: v for p, v in found.items() if limits.get(p, v) != v}
    assert not differing, f"constraints.txt has other versions of {differing}"


def test_version_is_the_same_everywhere() -> None:
    assert yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())["version"] == atlib.__version__


def test_continuous_integration_runs_the_same_script() -> None:
    script = REPOSITORY / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "make test" in script.read_text()
    workflow = yaml.safe_load((REPOSITORY / ".github" / "workflows" / "ci.yml").read_text())
    assert any(step.get("run") == ".ci/run" for step in workflow["jobs"]["test"]["steps"])
