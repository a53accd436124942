"""Configuration: what the operator wrote, typed once.

``options.py`` has one frozen dataclass per section, with defaults, units and bounds.
``text.py`` reads the file's form, ``reading.py`` types the values of a section,
``sections.py`` makes the whole, ``checks.py`` and ``key_files.py`` look at what must fit
together, ``describe.py`` shows it.  Enter at ``ini.load``; only it and ``key_files``
touch files.  Knows: option names.  Does not know: who uses them.
"""
