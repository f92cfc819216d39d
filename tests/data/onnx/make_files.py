"""Write the ONNX files of this folder, each with an input and what the original model makes of it.

PyTorch's two exporters (torch 2.13, onnxscript 0.7), without what the newer one says of its sources, and
tf2onnx 1.17 from Keras (tensorflow 2.21 with tf_keras 2.21)::

    python make_files.py torch
    TF_USE_LEGACY_KERAS=1 python make_files.py keras
"""

import sys
from pathlib import Path

import numpy as np
import onnx

FOLDER = Path(__file__).parent


def torch_files():
    import torch
    from torch import nn
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(9, 4)
            self.rnn = nn.GRU(4, 5, bidirectional=True)
            self.output = nn.Linear(10, 3)

        def forward(self, ids, lengths):
            packed = pack_padded_sequence(self.embedding(ids), lengths, enforce_sorted=False)
            y, _ = pad_packed_sequence(self.rnn(packed)[0])
            return self.output(y)

    torch.manual_seed(0)
    model = Tagger().eval()
    ids, lengths = torch.randint(0, 9, (6, 3)), torch.tensor([2, 6, 4])
    torch.onnx.export(
        model,
        (ids, lengths),
        FOLDER / "torch_packed_gru.onnx",
        dynamo=False,
        input_names=["ids", "lengths"],
        output_names=["scores"],
        dynamic_axes={"ids": {0: "T", 1: "N"}, "lengths": {0: "N"}},
    )
    dynamo_file(torch, ids)
    save("torch_packed_gru", model(ids, lengths).detach().numpy(), ids=ids.numpy(), lengths=lengths.numpy())


def dynamo_file(torch, ids):
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = torch.nn.Embedding(9, 4)
            self.rnn = torch.nn.LSTM(4, 5, num_layers=2)
            self.decoder = torch.nn.Linear(5, 9)

        def forward(self, ids):
            return self.decoder(self.rnn(self.encoder(ids))[0])

    model, path = Model().eval(), FOLDER / "torch_dynamo_lstm.onnx"
    names = {"input_names": ["ids"], "output_names": ["logits"]}
    torch.onnx.export(model, (ids,), path, dynamo=True, external_data=False, **names)
    proto = onnx.load(path)
    del proto.metadata_props[:], proto.graph.metadata_props[:], proto.graph.value_info[:]
    for node in proto.graph.node:
        del node.metadata_props[:]
    onnx.save(proto, path)
    save("torch_dynamo_lstm", model(ids).detach().numpy(), ids=ids.numpy())


def keras_files():
    import tensorflow as tf
    import tf2onnx

    layers = tf.keras.layers
    tf.keras.utils.set_random_seed(0)
    ids, floats = layers.Input((None,), dtype="int32"), layers.Input((None, 3))
    embedded = layers.Embedding(9, 4)(ids)
    models = {
        # written as the operator LSTM, Squeeze and Transpose
        "keras_lstm": (ids, layers.Dense(9, "softmax")(layers.LSTM(5, return_sequences=True)(embedded))),
        # written as a Loop
        "keras_simple_rnn": (ids, layers.Dense(2)(layers.SimpleRNN(5)(embedded))),
        # ReverseSequence before the operator GRU
        "keras_gru_backwards": (floats, layers.GRU(5, return_sequences=True, go_backwards=True)(floats)),
        # HardSigmoid with alpha and beta
        "keras_hard_sigmoid": (floats, layers.LSTM(5, "relu", recurrent_activation="hard_sigmoid")(floats)),
    }
    rng = np.random.default_rng(0)
    for name, (x, y) in models.items():
        model = tf.keras.Model(x, y)
        example = (
            rng.integers(0, 9, (2, 6)).astype("int32")
            if x is ids
            else rng.normal(size=(2, 6, 3)).astype("float32")
        )
        signature = [tf.TensorSpec((None, None, *example.shape[2:]), example.dtype, name="x")]
        function = tf.function(lambda x, model=model: model(x, training=False), input_signature=signature)
        tf2onnx.convert.from_function(function, signature, opset=15, output_path=str(FOLDER / f"{name}.onnx"))
        save(name, np.asarray(model(example)), x=example)


def save(name, y, **inputs):
    np.savez(FOLDER / f"{name}.npz", y=y, **inputs)


if __name__ == "__main__":
    {"torch": torch_files, "keras": keras_files}[sys.argv[1]]()
