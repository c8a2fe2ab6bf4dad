#!/usr/bin/env bash
# Runs a program of this folder with the LibTorch of the Python that is here: run PROGRAM [ARGUMENTS...]
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
site=$(python3 -c 'import importlib.util as u, os; s = u.find_spec("torch"); print(os.path.dirname(os.path.dirname(s.origin)) if s else "")')
[[ -n $site ]] || {
  echo "run: python3 has no torch: install the version that millrace was built with" >&2
  exit 1
}
libraries=$here/lib:$site/torch/lib
for folder in "$site"/nvidia/*/lib; do libraries+=:$folder; done
export LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
[[ -e $here/data/imagenet-originals-200.tar ]] && export MILLRACE_TEST_DATA=$here/data
exec "$here/$1" "${@:2}"
