"""Tensors in files: whole or not there, the same bits again, and damage is noticed wherever it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from atlib import tensors
from atlib.errors import InputError
from atlib.tensors import load_tensors, save_tensors, tensor_digest

TYPES = [torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool]


def some_tensors() -> dict[str, Tensor]:
    return {
        "weights": torch.arange(6, dtype=torch.float32).view(2, 3) / 7,
        "steps": torch.tensor(3),
        "empty": torch.zeros(0, 4),
        "flags": torch.tensor([True, False, True]),
    }


def test_saving_that_fails_keeps_the_old_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.safetensors"
    save_tensors(path, some_tensors(), {"step": 1})

    def full(tensors: object, to: Path, meta: object) -> None:
        to.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(tensors, "save_file", full)
    with pytest.raises(InputError, match=rf"^{path}: can't be written \(No space left on device\)$"):
        save_tensors(path, some_tensors(), {"step": 2})
    assert load_tensors(path)[1] == {"step": 1}
    assert list(tmp_path.iterdir()) == [path]


@given(
    st.dictionaries(
        st.text("abc.é", min_size=1), st.tuples(st.sampled_from(TYPES), st.lists(st.integers(0, 4), max_size=3))
    ),
    st.dictionaries(st.text(), st.one_of(st.none(), st.integers(), st.text(), st.booleans())),
)
@settings(max_examples=40)
def test_tensors_come_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, layout: dict[str, tuple[torch.dtype, list[int]]], meta: dict
) -> None:
    path = tmp_path_factory.getbasetemp() / "round.safetensors"
    tensors = {name: (torch.randn(shape) * 9).to(dtype) for name, (dtype, shape) in layout.items()}
    save_tensors(path, tensors, meta)
    found, header = load_tensors(path)
    assert header == meta and set(found) == set(tensors)
    for name, value in found.items():
        assert value.dtype == tensors[name].dtype and torch.equal(value, tensors[name])


def test_views_and_other_memory_formats_are_saved_as_they_look(tmp_path: Path) -> None:
    image = torch.rand(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    tensors = {"image": image, "part": image[:, 1], "turned": image.mT, "learned": image.requires_grad_(True) * 2}
    save_tensors(tmp_path / "t.safetensors", tensors, {})
    found, _ = load_tensors(tmp_path / "t.safetensors")
    assert all(torch.equal(found[name], value) for name, value in tensors.items())


def test_every_flipped_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    save_tensors(path, some_tensors(), {"seed": 1, "name": "x"})
    content = path.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    assert len(content) - header == 24 + 8 + 3  # the payload: 6 floats, one int64, 3 bools
    said = set()
    for place in range(len(content)):
        for flip in (0x01, 0x80, 0xFF) if place >= header else (0x01, 0x20):
            path.write_bytes(content[:place] + bytes([content[place] ^ flip]) + content[place + 1 :])
            with pytest.raises(InputError, match="damaged") as caught:
                load_tensors(path)
            assert str(path) in str(caught.value) and "\n" not in str(caught.value)
            said.add("digest" in str(caught.value))
    assert said == {True, False}  # some damage only the digest sees


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    save_tensors(path, some_tensors(), {"seed": 1})
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(InputError, match="damaged"):
            load_tensors(path)
    path.write_bytes(content + b"more")
    with pytest.raises(InputError, match="damaged"):
        load_tensors(path)


def test_other_peoples_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_tensors(tmp_path / "absent")
    tensors.save_file({"a": torch.zeros(2)}, tmp_path / "foreign.safetensors")
    with pytest.raises(InputError, match="not a file of atlib"):
        load_tensors(tmp_path / "foreign.safetensors")
    content, note = {"a": torch.zeros(2)}, "{step"
    header = {"meta": note, "digest": tensor_digest(content, note)}
    tensors.save_file(content, tmp_path / "text.safetensors", header)
    for read in (load_tensors, tensors.load_meta):
        with pytest.raises(InputError, match=r"^.*: damaged, or not a file of atlib \(JSONDecodeError\)$"):
            read(tmp_path / "text.safetensors")


def test_digest_tells_names_types_shapes_values_and_note_apart() -> None:
    base = {"a": torch.zeros(4), "b": torch.ones(2)}
    different = [
        {"a": torch.zeros(4), "c": torch.ones(2)},
        {"a": torch.zeros(2, 2), "b": torch.ones(2)},
        {"a": torch.zeros(4, dtype=torch.int32), "b": torch.ones(2)},
        {"a": -torch.zeros(4), "b": torch.ones(2)},  # equal, not identical
        {"a": torch.zeros(4)},
        {"a": torch.ones(4), "b": torch.zeros(2)},
    ]
    digests = [tensor_digest(tensors) for tensors in [base, *different]] + [tensor_digest(base, "note")]
    assert len(set(digests)) == len(digests)
    assert tensor_digest(dict(reversed(base.items()))) == digests[0]  # order does not count


def test_a_checkpoint_whose_keys_are_no_names(tmp_path: Path) -> None:
    torch.save({0: torch.zeros(1)}, tmp_path / "w.pt")
    with pytest.raises(InputError, match="must hold a dictionary of tensors by their names"):
        tensors.load_state(tmp_path / "w.pt")
