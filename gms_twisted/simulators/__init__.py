"""Push gateways to develop and test against: each speaks its gateway's wire.

``bin/gms simulate KIND`` runs one and prints what a device would get; the tests script
their answers.  Knows the wire from the gateway's side; does not know the server.
"""
