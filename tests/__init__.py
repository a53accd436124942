"""The test suite; run with ``python -m twisted.trial tests``."""

from hypothesis import HealthCheck, settings

# A machine under load is slow, which says nothing about the code.
settings.register_profile("ours", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ours")
