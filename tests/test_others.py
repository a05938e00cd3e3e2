"""Networks that others trained: how their files are fetched and read, without the files."""

import io
import urllib.error
import urllib.request

import pytest
import torch
from torch import nn

from atlib.errors import InputError
from atlib.files import file_hash
from notebooks.own_networks import others


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ATLIB_DATA", str(tmp_path))
    return tmp_path


def stored(cache, monkeypatch, name, content):
    """Keep `content` as the file of weights of `name`."""
    source = others.SOURCES[name]
    folder = cache / "others" / source.repository.replace("/", "-")
    folder.mkdir(parents=True)
    path = folder / source.path.rpartition("/")[2]
    torch.save(content, path)
    monkeypatch.setitem(others.SOURCES, name, source._replace(sha256=file_hash(path)))
    return path


def test_without_a_network_one_line_says_what_to_download_and_where_to_put_it(cache, monkeypatch):
    def refuse(url, timeout):
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(InputError) as caught:
        others.ehanw_pgd()
    line = str(caught.value)
    assert "\n" not in line and "no route" in line
    url = "https://raw.githubusercontent.com/EhanW/advrob-cifar10/4f92f1357a8a19cc687f856410cfa558dc94fd12/"
    assert url + "pretrained/resnet20_pgd.pth" in line
    assert str(cache / "others" / "EhanW-advrob-cifar10" / "resnet20_pgd.pth") in line


def test_another_file_is_refused_and_not_kept(cache, monkeypatch):
    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: io.BytesIO(b"something else"))
    with pytest.raises(InputError, match="has the sha256"):
        others.weights_of("ehanw_pgd")
    assert not list(cache.rglob("*.pth"))
    path = stored(cache, monkeypatch, "ehanw_pgd", {})
    path.write_bytes(b"damaged")
    with pytest.raises(InputError, match="damaged or another file"):
        others.weights_of("ehanw_pgd")


class Recorded:
    """What a file may hold beside tensors: unpickling it would run code."""

    def __reduce__(self):
        return (print, ("run",))


def test_no_code_in_a_file_is_run(cache, monkeypatch, capsys):
    stored(cache, monkeypatch, "dziedzic_1", {"state_dict": {}, "recorder": Recorded()})
    with pytest.raises(Exception, match="Weights only load failed"):
        others.weights_of("dziedzic_1")
    assert "run" not in capsys.readouterr().out


ALIEN = {
    "ehanw_normal": {
        "conv1": "conv_1",
        "bn1": "bn_1",
        "conv2": "conv_2",
        "bn2": "bn_2",
        "stage": "stage_",
        "head": "fc",
    },
    "dziedzic_1": {"conv1": "conv_a", "bn1": "bn_a", "conv2": "conv_b", "bn2": "bn_b", "head": "classifier"},
    "idelbayev_20": {"stage": "layer", "head": "linear"},
}


@pytest.mark.parametrize("name", list(ALIEN))
def test_weights_are_found_under_their_authors_names(cache, monkeypatch, name):
    shortcut = {"ehanw_normal": "projected", "dziedzic_1": "after", "idelbayev_20": "around"}[name]
    mean = others.RAW if name == "dziedzic_1" else others.IMAGENET
    torch.manual_seed(0)
    model = others.ResNet(3, *mean, shortcut).eval()
    theirs = {}
    for key, value in model.state_dict().items():
        for ours, alien in ALIEN[name].items():
            key = key.replace(ours, alien)
        if name == "ehanw_normal":
            key = key.replace("shortcut", "downsample")
        elif name == "dziedzic_1" and key.startswith(("conv_a", "bn_a")):
            key = key.replace("conv_a", "conv_1_3x3").replace("bn_a", "bn_1")
        theirs["module." + key] = value
    stored(cache, monkeypatch, name, {"state_dict": theirs})
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(getattr(others, name)()(images), model(images), atol=1e-5)


def test_the_smoothed_relu_is_a_parabola_and_then_a_line():
    x = torch.tensor([-1.0, 0.0, 0.25, 0.5, 2.0])
    assert torch.allclose(others.Smoothed()(x), torch.tensor([0.0, 0.0, 0.0625, 0.25, 1.75]))


def test_zeros_for_new_channels_come_after_or_around():
    x = torch.ones(1, 2, 4, 4)
    after, around = others.Strided(2, 4, before=False)(x), others.Strided(2, 4, before=True)(x)
    assert after.shape == around.shape == (1, 4, 2, 2)
    assert after[0, :, 0, 0].tolist() == [1, 1, 0, 0] and around[0, :, 0, 0].tolist() == [0, 1, 1, 0]


def test_resnet_44_has_44_layers_and_takes_its_mean_from_the_weights():
    model = others.PreResNet(nn.ReLU)
    main = [m for name, m in model.named_modules() if isinstance(m, nn.Conv2d) and "shortcut" not in name]
    assert len(main) == 44
    model.input_offset.copy_(torch.tensor([[0.5] * 3, [0.25] * 3]))
    other = others.PreResNet(nn.ReLU)
    other.load_state_dict(model.state_dict() | {"input_offset": torch.tensor([[0.0] * 3, [1.0] * 3])})
    images = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(model.eval()(images), other.eval()((images - 0.5) / 0.25), atol=1e-5)
