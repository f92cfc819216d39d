"""What a user of char-rnn writes: a language model of characters, trained on a text, that writes on."""

from __future__ import annotations

import pathlib
import tempfile

import fastrnn as fr
from fastrnn.decode import Sampling, generate
from fastrnn.train import Adam, CosineSchedule, Trainer, load_checkpoint, save_checkpoint

TEXT = "the quick brown fox jumps over the lazy dog. " * 60
STEPS = 150

vocabulary = fr.Vocabulary.from_text(TEXT)
model = fr.LanguageModel(len(vocabulary), hidden_size=48, num_layers=1, cell="gru", seed=0)
data = fr.ChunkedText(vocabulary.encode(TEXT), batch_size=8, seq_length=30)
trainer = Trainer(
    model,
    data,
    Adam(model, 0.01),
    schedule=CosineSchedule(0.01, steps=STEPS, warmup=5),
    clip_norm=5.0,
)
losses: list[float] = [record.loss for record in trainer.run(STEPS)]


def write_on(writer: fr.LanguageModel, prompt: str, length: int) -> str:
    """Return the prompt and what the model writes after it."""
    texts = generate(
        writer, [vocabulary.encode(prompt)], max_length=length, sampling=Sampling(temperature=0.5), seed=0
    )
    return vocabulary.decode(texts[0].ids)


with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder, "fox.safetensors")
    save_checkpoint(path, model, vocabulary=vocabulary)
    checkpoint = load_checkpoint(path)
    again = checkpoint.model
    written = write_on(model, "the quick", 40)
    assert isinstance(again, fr.LanguageModel)
    assert written == write_on(again, "the quick", 40)

stream = model.stream()
logits = stream.step(vocabulary.encode("t"))
following: str = vocabulary.decode([int(logits.argmax())])
print(
    f"loss fell: {losses[-1] < losses[0] / 4}; wrote {len(written)} characters; after t comes {following!r}"
)
