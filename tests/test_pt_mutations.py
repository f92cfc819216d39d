"""Mutated files of PyTorch, in short; `pt_mutations` has the long form."""

import pt_mutations


def test_the_seeds_are_read(tmp_path):
    outcomes = [pt_mutations.check(str(tmp_path / "m.pt"), seed) for seed in pt_mutations.seeds()]
    assert "refused" not in outcomes
    assert outcomes.count("read, with layers") == 12


def test_a_mutated_file_is_read_or_refused_with_a_model_file_error():
    failures = []
    outcomes = pt_mutations.run(400, seed=1, report=failures.append)
    assert not failures
    assert outcomes["FAILED"] == 0
    assert outcomes["refused"] > 200
    assert outcomes["read, with layers"] > 20
