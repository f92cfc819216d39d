"""The trials of ``fastrnn sweep``: from its file to processes that train, and to a table.

A trial is a run of ``fastrnn train`` or ``fit`` in a process and a folder of its own. Threads of this
process, or the other ranks of ``mpiexec``, each start one trial after the other and wait for it.
"""
