"""A network of one's own: parts by name, passes by hand, trained, saved and continued, with types."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import fastrnn as fr
from fastrnn.train import AdamW, CosineSchedule, ExponentialAverage, Trainer, Validation, evaluate_examples

Floats = NDArray[np.float32]


class Classifier(fr.Composite):
    rnn: fr.GRU
    fc: fr.Linear

    def __call__(self, x: Floats, lengths: NDArray[np.int64] | None = None) -> Floats:
        _, h = self.rnn(x, lengths=lengths)
        return self.fc(h[-1])

    def forward(self, x: Floats, lengths: NDArray[np.int64] | None = None) -> tuple[Floats, object]:
        _, h, tape = self.rnn.forward(x, lengths=lengths)
        y, fc_tape = self.fc.forward(h[-1])
        return y, (tape, fc_tape)

    def backward(self, tape: tuple[fr.layers.Tape, fr.layers.LinearTape], dy: Floats) -> None:
        dh = self.fc.backward(tape[1], dy)
        assert dh is not None
        self.rnn.backward(tape[0], None, dh[np.newaxis])


def make() -> Classifier:
    return Classifier(rnn=fr.GRU(2, 16, seed=0), fc=fr.Linear(16, 3, seed=1))


def main(folder: Path) -> float:
    rng = np.random.default_rng(0)
    x = [rng.normal(size=(steps, 2)).astype(np.float32) for steps in rng.integers(2, 9, size=100)]
    y = [int(one.sum() > 0) for one in x]
    data, held = fr.data.ExampleBatches(x[:80], y[:80], 16, seed=0), fr.data.ExampleBatches(x[80:], y[80:])
    model = make()
    average = ExponentialAverage(model, 0.9)
    trainer = Trainer(
        model,
        data,
        AdamW(model, 1e-2),
        loss=fr.losses.softmax_cross_entropy,
        clip_norm=1.0,
        schedule=CosineSchedule(1e-2, steps=50),
        validation=Validation(held, every=10),
        average=average,
    )
    losses: list[float] = [record.loss for record in trainer.run(50)]
    trainer.save(folder / "training.safetensors")
    best: Classifier = trainer.evaluated
    best.save(folder / "model.safetensors")
    again: Classifier = Classifier.load(folder / "model.safetensors")
    copy: Classifier = average.averaged
    copy.load_state_dict(again.state_dict())
    loss: float = evaluate_examples(again, held, fr.losses.softmax_cross_entropy).loss
    return loss + losses[-1]


def chains() -> tuple[int, ...]:
    model = fr.Composite(embedding=fr.Embedding(10, 4), rnn=fr.LSTM(4, 8), fc=fr.Linear(8, 10))
    model.load_state_dict(model.state_dict())
    ids = np.array([[1, 2], [3, 4]])
    logits, _, tape = model.forward(ids)
    _, dlogits = fr.losses.softmax_cross_entropy(logits, ids)
    model.backward(tape, dlogits)
    names = [type(part).__name__ for part in model]
    width: int = model.rnn.hidden_size + model["rnn"].hidden_size + len(model) + len(names)
    stream = model.stream()
    net = fr.Sequential(fr.LSTM(4, 8), fr.Linear(8, 2))
    y, _, own = net.forward(np.zeros((3, 1, 4), np.float32))
    net.backward(own, np.ones_like(y))
    lstm_tape: fr.layers.Tape = own.parts[0]
    forget = lstm_tape.layers[0].gates[:, :, 1]
    assert forget.shape == (3, 1, 8)
    return (*stream.step(np.array([1])).shape, width, *y.shape)


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        print(f"the loss fell: {main(Path(folder)) < 1}; {chains()}")
