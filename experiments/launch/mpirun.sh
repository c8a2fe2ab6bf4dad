#!/bin/sh
# millrace launch -n 8 --nodes 2 --print mpirun -- train configs/imagenet-resnet50.toml --data data/imagenet --out runs/imagenet
#
# Run it on one machine, with the file that names all of them and the one of process 0:
#   HOSTS=hosts.txt MASTER_ADDR=node0 sh FILE
# For Open MPI, which gives each process one core without --bind-to none. The timeout [s] is
# what Ctrl-C and SIGTERM leave for a checkpoint, from which the same command goes on.
exec mpirun -n 16 --hostfile "${HOSTS:?a file with a machine in each line}" \
  -N 8 -x MASTER_ADDR -x MASTER_PORT=29500 --bind-to none \
  --mca odls_base_sigkill_timeout 120 millrace train configs/imagenet-resnet50.toml --data data/imagenet --out runs/imagenet --resume auto
