"""Two small networks that atlib knows nothing of: the worked example of measuring a network of one's own.

Plain torch. They were trained on the pictures of `shapes`, texture and silhouette agreeing, by

    python -m notebooks.own_networks

and are measured by, for instance,

    papermill notebooks/evaluate.ipynb runs/vit.ipynb -p model notebooks.own_networks:vit -p dataset shapes
"""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

HERE = Path(__file__).parent


class Plain(nn.Module):
    """Four convolutions without shortcuts, like a small VGG."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs, stride in ((3, 24, 1), (24, 48, 2), (48, 64, 2), (64, 96, 2)):
            layers += [nn.Conv2d(inputs, outputs, 3, stride, 1), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(96, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features((images - 0.5) / 0.25).amax((2, 3)))


class ViT(nn.Module):
    """A vision transformer on patches of 4×4 pixels, four layers of width 64."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 64, 4, 4)
        self.places = nn.Parameter(0.02 * torch.randn(1, 64, 64))
        layer = nn.TransformerEncoderLayer(64, 4, 128, dropout=0.0, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
        self.head = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches((images - 0.5) / 0.25).flatten(2).transpose(1, 2) + self.places
        return self.head(self.layers(tokens).mean(1))


NETWORKS = {"plain": Plain, "vit": ViT}


def _load(name: str) -> nn.Module:
    model = NETWORKS[name]()
    model.load_state_dict(load_file(HERE / f"{name}.safetensors"))
    return model.float().eval()


def plain() -> nn.Module:
    """The plain convolutional network, trained."""
    return _load("plain")


def vit() -> nn.Module:
    """The vision transformer, trained."""
    return _load("vit")
