"""What all tests share: property-based tests without a deadline (machines are slow and shared) and with fixed seeds."""

from hypothesis import settings

settings.register_profile("shop", deadline=None, derandomize=True)
settings.load_profile("shop")
