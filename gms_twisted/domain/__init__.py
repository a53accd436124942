"""The words that everybody shares: identifiers, values, errors, time.

Pure.  Imports nothing of ours and nothing from outside.
"""
