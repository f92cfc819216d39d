"""The sequence models in PyTorch, as its users write them: for the comparison of training steps.

Each module has a function ``case(seed=0)`` that returns one case or several: with a ``name``,
``run_fastrnn()`` and ``run_torch()``, each a training step (gradients set to zero, loss, backward, Adam) that
returns the loss, from equal weights and data.
"""
