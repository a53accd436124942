"""Applications that come with the server, each on a clock of its own."""
