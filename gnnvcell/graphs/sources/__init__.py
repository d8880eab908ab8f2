"""Graph sources: one file per database, each a configuration that reads its official files into edge tables."""
