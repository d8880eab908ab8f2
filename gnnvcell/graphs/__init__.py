"""Gene graphs: knowledge files in, one DGL heterograph with provenance out.

``gnnvcell.graphs.build`` is both a module (``from gnnvcell.graphs.build import build``) and the function in it
(``gnnvcell.graphs.build(recipe)``): the module is callable.
"""
