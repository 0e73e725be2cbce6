"""Writes cockpit_figures.json: what Cockpit 1.0.2 reads on one step of a small network, in float64.

Run where cockpit-for-pytorch, backpack-for-pytorch and PyTorch are installed: python tests/reference/cockpit_figures.py
"""

import json
from pathlib import Path

import numpy as np

FIGURES = Path(__file__).with_name("cockpit_figures.json")
LEARNING_RATE = 0.1


def network():
    """Return the weights and biases of 4-5-3 (tanh), and 16 examples."""
    rng = np.random.default_rng(5)
    layers = [(rng.normal(size=(m, n)) / 2, rng.normal(size=n) / 10) for m, n in ((4, 5), (5, 3))]
    return layers, rng.normal(size=(16, 4)), rng.integers(0, 3, size=16)


def main():
    import torch
    from backpack import extend
    from cockpit import Cockpit, quantities
    from cockpit.utils import schedules
    from torch import nn

    torch.set_default_dtype(torch.float64)
    layers, x, y = network()
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    with torch.no_grad():
        for module, (w, b) in zip((model[0], model[2]), layers, strict=True):
            module.weight.copy_(torch.tensor(w.T))
            module.bias.copy_(torch.tensor(b))
    inputs, labels = torch.tensor(x), torch.tensor(y)
    model, mean, each = extend(model), extend(nn.CrossEntropyLoss()), nn.CrossEntropyLoss(reduction="none")
    rule = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE)
    names = [
        "Loss",
        "Alpha",
        "CABS",
        "EarlyStopping",
        "GradNorm",
        "NormTest",
        "InnerTest",
        "OrthoTest",
        "MeanGSNR",
        "HessMaxEV",
        "HessTrace",
        "TICDiag",
        "TICTrace",
        "GradHist1d",
        "GradHist2d",
        "UpdateSize",
        "Distance",
    ]
    chosen = [getattr(quantities, name)(schedules.linear(1)) for name in names]
    cockpit = Cockpit(model.parameters(), quantities=chosen)
    for step in range(2):  # alpha and the size of the update are known one step later
        rule.zero_grad()
        outputs = model(inputs)
        loss = mean(outputs, labels)
        info = {"batch_size": len(x), "individual_losses": each(outputs, labels), "loss": loss, "optimizer": rule}
        with cockpit(step, info=info):
            loss.backward(create_graph=cockpit.create_graph(step))
        rule.step()
    found = {name: _plain(one.get_output()[0]) for name, one in zip(names, chosen, strict=True)}
    FIGURES.write_text(json.dumps(found, separators=(",", ":")) + "\n", encoding="utf-8")


def _plain(value):
    if isinstance(value, dict):
        value = value["hist"]
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return np.asarray(value).tolist()


if __name__ == "__main__":
    main()
