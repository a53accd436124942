"""Live checks against clients and gateways of others."""
