"""The command line: one file per verb group; a verb parses, calls one library function, and prints."""
