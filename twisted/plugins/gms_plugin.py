"""Makes ``twistd gms`` known to Twisted."""

from twisted.application.service import ServiceMaker

gms = ServiceMaker(
    "gms_twisted",
    "gms_twisted.tap",
    "An open server that speaks the Genesys Mobile Services 8.1.1 API.",
    "gms",
)
