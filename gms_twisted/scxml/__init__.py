"""State charts: SCXML 1.0 with an ECMAScript data model, and the older dialect of orchestration.

Enter at ``loader.load_document`` (text to ``model.Document``) and
``interpreter.Interpreter`` (events in, macrosteps, effects out).  Source: W3C SCXML; the
reference's sample applications.

Does not know: Twisted, clocks, HTTP, what the actions of modules do.
"""
