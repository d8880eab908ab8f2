"""How wrong a prediction may be: ensembles, conformal intervals, and predictions that are better not made."""
