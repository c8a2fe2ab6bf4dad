"""Trains ResNet-18 with PyTorch's own DistributedDataParallel over gloo: what test_many_devices.py compares with.

Arguments: RANK RANKS LR STORE WEIGHTS INPUTS OUT. Every rank runs it; rank 0 writes the mean loss of each step.
"""

import os
import sys

import torch
import torchvision
from safetensors.torch import load_file, save_file


def main() -> None:
    rank, ranks, lr, store, weights, inputs, out = sys.argv[1:]
    rank, ranks = int(rank), int(ranks)
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=ranks)
    state, data = load_file(weights), load_file(inputs)
    model = torchvision.models.resnet18(num_classes=len(state["fc.bias"]))
    model.load_state_dict(state)
    model = torch.nn.parallel.DistributedDataParallel(model, broadcast_buffers=False, gradient_as_bucket_view=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=float(lr), momentum=0.9, weight_decay=5e-4)
    losses = []
    for step in range(len(data) // 2):
        images = data[f"images.{step}"].chunk(ranks)[rank]
        loss = torch.nn.functional.cross_entropy(model(images), data[f"labels.{step}"].chunk(ranks)[rank],
                                                 label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss = loss.detach()
        torch.distributed.all_reduce(loss)
        losses.append(loss / ranks)
    if rank == 0:
        save_file({"losses": torch.stack(losses)}, out)
    torch.distributed.destroy_process_group()
    # Not through the interpreter's end: there the group's destructor may hold the interpreter's lock and wait for a
    # thread of Gloo's that waits for this lock.
    os._exit(0)


if __name__ == "__main__":
    main()
