"""Real Bayeux clients, unmodified, with one scenario for all."""
