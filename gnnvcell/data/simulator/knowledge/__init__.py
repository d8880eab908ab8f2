"""What databases know of the planted world, written in the databases' own formats: one file per database."""
