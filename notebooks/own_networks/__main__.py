"""Train both networks (some minutes on one core) and write their weights, in half precision, beside this file."""

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from atlib import data

from . import HERE, NETWORKS

EPOCHS = {"plain": 6, "vit": 40}


def main() -> None:
    pictures = data.load("shapes")
    images, labels = pictures.train.images.float() / 255, pictures.train.labels
    for name, build in NETWORKS.items():
        torch.manual_seed(1)
        model = build()
        optimiser = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, EPOCHS[name] * (len(images) // 100))
        for epoch in range(EPOCHS[name]):
            model.train()
            for some in torch.randperm(len(images)).split(100):
                optimiser.zero_grad()
                loss = F.cross_entropy(model(images[some]), labels[some])
                loss.backward()
                optimiser.step()
                schedule.step()
            model.eval()
            with torch.no_grad():
                right = (model(pictures.holdout.images / 255).argmax(1) == pictures.holdout.labels).float().mean()
            print(f"{name}: epoch {epoch + 1} of {EPOCHS[name]}, loss {loss:.3f}, hold-out {right:.3f}", flush=True)
        halves = {
            key: value.half() if value.is_floating_point() else value for key, value in model.state_dict().items()
        }
        save_file(halves, HERE / f"{name}.safetensors")


main()
