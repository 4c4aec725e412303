from __future__ import annotations

from typing import Tuple

import pytest

import kiseki

torch = pytest.importorskip("torch")
from torch.utils.data import DataLoader  # noqa: E402

from kiseki.torch import FileDataset  # noqa: E402

COUNT = 64


def decode(path: str, content: bytes) -> Tuple["torch.Tensor", "torch.Tensor"]:
    values = torch.tensor(list(content[:8]), dtype=torch.float32) / 255
    return values, torch.tensor(float(content[8]))


def test_a_small_model_trains_two_epochs_over_files(client: kiseki.Client, folder: str) -> None:
    generator = torch.Generator().manual_seed(7)
    for number in range(COUNT):
        values = torch.randint(0, 256, (8,), generator=generator).tolist()
        label = 1 if sum(values[:4]) > sum(values[4:]) else 0
        client.write_bytes("%s/%03d.bin" % (folder, number), bytes([*values, label]))
    dataset = FileDataset(client, folder, decode, pattern="*.bin")
    assert len(dataset) == COUNT and dataset.paths == sorted(dataset.paths)
    torch.manual_seed(7)
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    losses = []
    for _ in range(2):
        loader = DataLoader(dataset, batch_size=8, shuffle=True, num_workers=2)
        total, seen = 0.0, 0
        for values, labels in loader:
            loss = torch.nn.functional.binary_cross_entropy_with_logits(model(values)[:, 0], labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += float(loss) * len(labels)
            seen += len(labels)
        assert seen == COUNT
        losses.append(total / seen)
    assert losses[1] < losses[0]
