"""The arithmetic behind ``gnnvcell.ops``: one file per kernel family, no autograd, no choice between them."""
