#!/bin/sh
# An environment for GEARS: cell-gears does not ask for torch-geometric and pandas < 3, which it needs, and takes rows of a
# sparse matrix by a boolean pandas Series, which scipy refuses: that one place is made `.values`.
#   sh benchmarks/peers/gears/make_env.sh FOLDER
set -eu
python3 -m venv "$1"
"$1/bin/pip" install torch==2.13.0 torch-geometric==2.8.1 cell-gears==0.1.2 "pandas<3"
file=$("$1/bin/python" -c 'import importlib.util as u; print(u.find_spec("gears").submodule_search_locations[0])')/gears.py
sed -i "s/self\.adata\.X\[self\.adata\.obs\.condition == 'ctrl'\]/self.adata.X[(self.adata.obs.condition == 'ctrl').values]/" "$file"
grep -q "'ctrl').values\]" "$file"
