"""State charts: documents, scripts, the interpreter."""
