"""Configuration: what the operator wrote, typed once.

Pure.  ``options.py`` has one frozen dataclass per section, with defaults and units; ``ini.py``
turns text into them and reports every fault with its line.  Knows: option names.  Does not know:
who uses them.
"""
