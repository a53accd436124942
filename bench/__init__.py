"""Speed and memory, measured beside other servers; ``bin/bench`` runs it."""
