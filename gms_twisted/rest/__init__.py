"""The HTTP surface: one module per API chapter, all on one Klein app.

A route parses, awaits one coroutine of ``app`` and answers.
"""
