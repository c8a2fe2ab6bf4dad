#!/bin/sh
# millrace launch -n 8 --nodes 2 --print mpirun -- train configs/imagenet-resnet50.toml --data data/imagenet --out runs/imagenet
#
# Run it on one machine, with the file that names all of them and the one of process 0:
#   HOSTS=hosts.txt MASTER_ADDR=node0 sh FILE
# For Open MPI, which gives each process one core without --bind-to none. After Ctrl-C or
# SIGTERM it waits as long as the timeout says [s], in which the run writes a checkpoint; the
# same command goes on from it.
exec mpirun -n 16 --hostfile "${HOSTS:?a file with a machine in each line}" \
  -N 8 -x MASTER_ADDR -x MASTER_PORT=29500 --bind-to none \
  --mca odls_base_sigkill_timeout 30 millrace train configs/imagenet-resnet50.toml --data data/imagenet --out runs/imagenet --resume auto
