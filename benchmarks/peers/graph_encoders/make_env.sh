#!/bin/sh
# An environment in which all rows of this folder can be made: PyTorch Geometric, and gnnvcell (with DGL) of this checkout.
#   sh benchmarks/peers/graph_encoders/make_env.sh FOLDER
set -eu
here=$(cd "$(dirname "$0")" && pwd)
python3 -m venv "$1"
"$1/bin/pip" install torch==2.13.0 torch-geometric==2.8.1 "$here/../../.."
