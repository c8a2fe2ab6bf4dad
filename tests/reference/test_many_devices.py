"""Sets ranks whose gradients model/ averages beside PyTorch's DistributedDataParallel."""

import pathlib
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_model import CLASSES, judge, section, torchvision_model

STOCK = pathlib.Path(__file__).with_name("stock_ddp.py")


# Four ranks' last bits, in which every order of additions differs, grow the faster, the larger the steps are: at 0.02 in
# four steps to 3e-4 with the kernels of some processors.
@pytest.mark.parametrize(("ranks", "steps", "lr"), [(2, 20, 0.02), (4, 4, 0.005)])
def test_losses_are_those_of_distributed_data_parallel(tmp_path, ranks, steps, lr):
    samples = 16 * ranks
    save_file(torchvision_model("resnet18").state_dict(), tmp_path / "weights")
    torch.manual_seed(1)
    inputs = {}
    for step in range(steps):
        labels = torch.randint(CLASSES, (samples,))
        # Something to learn: the class is in the brightness.
        inputs[f"images.{step}"] = torch.randn(samples, 3, 48, 48) + labels.view(-1, 1, 1, 1) / CLASSES
        inputs[f"labels.{step}"] = labels
    save_file(inputs, tmp_path / "inputs")
    judge("ranks", section(name="resnet18", memory_format="contiguous"), section(name="sgd", lr=lr, momentum=0.9, weight_decay=5e-4), CLASSES,
          tmp_path / "weights", tmp_path / "inputs", ranks, tmp_path / "ours")
    stock = [subprocess.Popen([sys.executable, STOCK, str(rank), str(ranks), str(lr), tmp_path / "store", tmp_path / "weights",
                               tmp_path / "inputs", tmp_path / "theirs"]) for rank in range(ranks)]
    assert [process.wait(timeout=300) for process in stock] == [0] * ranks
    ours, theirs = load_file(tmp_path / "ours")["losses"], load_file(tmp_path / "theirs")["losses"]
    assert (ours - theirs).abs().max().item() < 1e-4, (ours, theirs)
    assert theirs[-1] != theirs[0]
