#!/bin/sh
# millrace launch -n 8 --restarts 3 --print torchrun -- train configs/imagenet-resnet50.toml --data data/imagenet --out runs/imagenet
#
# Run it on the machine that trains.
# torchrun comes with PyTorch's wheel; millrace must be in the PATH. One Ctrl-C or SIGTERM
# ends the run with a checkpoint, from which the same command goes on.
exec torchrun --standalone \
  --nproc-per-node 8 --max-restarts 3 --no-python \
  millrace train configs/imagenet-resnet50.toml --data data/imagenet --out runs/imagenet --resume auto
