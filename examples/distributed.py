"""Train on several processes: the same model to the last bit, however many share the work.

    python examples/distributed.py --shards 4
    mpiexec -n 2 python examples/distributed.py --shards 4
    mpiexec -n 4 python examples/distributed.py --shards 4

The three commands print the same checksum of the parameters. Each process computes its part of every batch,
their gradients are added in a fixed order, and all make the same step. mpiexec comes with
``pip install "fastrnn[mpi]" mpich``, or with an MPI that the machine has; without mpiexec nothing of MPI is
needed or imported.
"""

from __future__ import annotations

import argparse
from hashlib import sha256
from pathlib import Path

import fastrnn as fr

SETTINGS = {
    "hidden_size": 64,
    "dropout": 0.2,  # each row of a batch is dropped alike, whichever process has it
    "batch_size": 24,  # in shards of 6 rows, of 4 shards
    "epochs": 30,
    "random_state": 0,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shards", type=int, help="parts of a batch; default: the number of processes")
    parser.add_argument("--out", type=Path, help="a file for the model")
    parser.add_argument("--small", action="store_true", help="few epochs, as a test")
    arguments = parser.parse_args()
    settings = SETTINGS | ({"epochs": 2, "hidden_size": 16} if arguments.small else {})

    ranks = fr.train.distributed.start(shards=arguments.shards)
    X, y = fr.data.load_names()
    model = fr.models.SequenceClassifier(**settings).fit(X, y, ranks=ranks)

    if ranks.is_first:  # all ranks have the model; one is enough to measure, print and save
        accuracy = model.score(*fr.data.load_names("valid"))
        checksum = sha256(model.network_.parameters.flat.tobytes()).hexdigest()[:16]
        print(f"processes {ranks.size}, shards {ranks.shards}: {sum(model.history_['seconds']):.1f} s")
        print(f"accuracy {accuracy:.1%}, loss {model.history_['loss'][-1]:.4f}, parameters {checksum}")
        if arguments.out is not None:
            model.save(arguments.out)


if __name__ == "__main__":
    main()
