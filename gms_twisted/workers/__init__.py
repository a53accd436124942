"""Several processes on the same listeners: a parent that binds them, and workers that serve.

``server/workers = N`` with N > 1 makes ``twistd gms`` a
:class:`gms_twisted.workers.parent.Parent`; it starts N processes of
:mod:`gms_twisted.workers.worker`, each a node of its own in the cluster on one Redis (see
``docs/cluster.md``).  Does not know: requests, the store.
"""
