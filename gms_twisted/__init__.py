"""An open server that speaks the Genesys Mobile Services 8.1.1 API.

Start reading in :mod:`gms_twisted.wiring`: it shows every object and who talks
to whom.  Each package's docstring says what it is, where to enter and what it
does not know.
"""

__version__ = "0.1.0"
