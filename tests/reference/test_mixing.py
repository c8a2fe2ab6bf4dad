"""Sets MixUp and CutMix beside torchvision's: given the same draws, the same pixels and targets, bit for bit.

Runs `mix_judge` (tests/support/mix_main.cc) of the build named by MILLRACE_BUILD (default build/release).
"""

import json
import os
import pathlib
import subprocess
import types

import pytest
import torch
from safetensors.torch import load_file, save_file
from torchvision.transforms import v2

ROOT = pathlib.Path(__file__).resolve().parents[2]
JUDGE = ROOT / os.environ.get("MILLRACE_BUILD", "build/release") / "tests/stages/mix_judge"
CLASSES = 7


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    generator = torch.Generator().manual_seed(4)
    path = tmp_path_factory.mktemp("mix") / "in.safetensors"
    save_file({"images": torch.randn(9, 3, 37, 53, generator=generator),
               "labels": torch.randint(CLASSES, (9,), generator=generator)}, path)
    return path


def mixed(batch, position, **op):
    out = batch.parent / "out.safetensors"
    done = subprocess.run([JUDGE, json.dumps({"mix": [op]}), "11", str(position), str(CLASSES), batch, out],
                          capture_output=True, text=True, check=True)
    own, left, top, right, bottom, own_label = json.loads(done.stdout)
    return load_file(out), own, (left, top, right, bottom), own_label


def judge(transform, batch, ours, **drawn):
    tensors = load_file(batch)
    drawn = {"labels": tensors["labels"], "batch_size": 9, **drawn}
    assert torch.equal(ours["images"], transform.transform(tensors["images"], drawn))
    assert torch.equal(ours["targets"], transform.transform(tensors["labels"], drawn))


@pytest.mark.parametrize("alpha", [0.2, 1.0, 2.0])
def test_mixup_is_torchvisions(batch, alpha):
    for position in range(20):
        ours, own, _, own_label = mixed(batch, position, op="mixup", alpha=alpha)
        assert own == own_label
        judge(v2.MixUp(alpha=alpha, num_classes=CLASSES), batch, ours, lam=own)


def test_cutmix_is_torchvisions(batch):
    for position in range(20):
        ours, _, box, own_label = mixed(batch, position, op="cutmix")
        judge(v2.CutMix(num_classes=CLASSES), batch, ours, box=box, lam_adjusted=own_label)


def test_boxes_are_placed_and_sized_as_torchvision_does(batch, monkeypatch):
    """Its boxes for our centres and shares: both follow from a box that no edge cuts."""
    whole = 0
    for position in range(60):
        _, _, (left, top, right, bottom), own_label = mixed(batch, position, op="cutmix")
        if not (left > 0 and top > 0 and right < 53 and bottom < 37):
            continue
        whole += 1
        centre = iter([(left + right) // 2, (top + bottom) // 2])
        monkeypatch.setattr(torch, "randint", lambda *_, **__: torch.tensor([next(centre)]))
        # Any share whose box has this size: half a pixel more than the sides, cut to whole ones.
        half = max(((right - left) // 2 + 0.001) / 53, ((bottom - top) // 2 + 0.001) / 37)
        transform = v2.CutMix(num_classes=CLASSES)
        transform._dist = types.SimpleNamespace(sample=lambda _, share=1 - 4 * half**2: share)
        drawn = transform.make_params([torch.zeros(9, 3, 37, 53)])
        assert tuple(map(int, drawn["box"])) == (left, top, right, bottom)
        assert drawn["lam_adjusted"] == pytest.approx(own_label, abs=1e-12)
    assert whole >= 3
