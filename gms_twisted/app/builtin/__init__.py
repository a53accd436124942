"""Services that run in this server, one module each.

Spec: Genesys Mobile Services-based Services.
"""
