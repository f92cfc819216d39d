"""Language models with a context, and the gradient of their first state: as a decoder is trained."""

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.decode import beam_search, generate, greedy, next_symbols, rank, sample, samples, score
from gradient_check import assert_slope
from test_lm_options import EVERY_OPTION, F64, N, T, V, make, make_batch

C = 3
MODELS = {
    "lstm of ids": lambda **o: {"cell_options": {"context_size": C}},
    "given gru": lambda **o: {"rnn": fr.GRU(6, 9, 2, context_size=C, seed=1, **o), "embedding_size": 6},
    "jordan": lambda **o: {"rnn": fr.Jordan(V, 9, 4, context_size=C, seed=1, **o)},
    "stack and head": lambda **o: {
        "rnn": fr.Stack(
            fr.RNN(6, 9, context_size=C, seed=1, **o),
            fr.GRU(9, 9, seed=1, **o),
            fr.GRU(9, 9, context_size=C, seed=1, **o),
        ),
        "embedding_size": 6,
        "head": {"hidden_sizes": [8], "out_features": 6},
        "tied": True,
    },
    "halt": lambda **o: {"cell": "gru", "cell_options": {"context_size": C}, "length_model": "halt"},
    "tau": lambda **o: {
        "cell": "gru",
        "cell_options": {"context_size": C},
        "length_model": "tau",
        "max_length": 9,
        "embedding_size": 6,
    },
}
EVERY_MODEL = pytest.mark.parametrize("name", MODELS)
KINDS = pytest.mark.parametrize("kind", ["one", "each"])


def reader(name, dtype="float64", **more):
    """Make a model whose layers read a context."""
    given = MODELS[name](dtype=dtype)
    own = {} if "rnn" in given else {"hidden_size": 9}
    model = fr.LanguageModel(V, **{**own, "seed": 0, "dtype": dtype, **given, **more})
    random = np.random.default_rng(2)
    with model.parameters.edit() as views:
        views.flat[...] += 0.3 * random.normal(size=views.flat.size).astype(dtype)
    return model


def context_for(model, kind, rows=N, steps=T):
    shape = (rows, C) if kind == "one" else (steps + (model.length is not None), rows, C)
    return np.random.default_rng(5).normal(size=shape).astype(model.dtype)


def random_state(model, rows=N):
    """Return a random first state of a model."""
    random = np.random.default_rng(6)

    def alike(part):
        if isinstance(part, tuple):
            return tuple(alike(one) for one in part)
        return random.normal(size=part.shape).astype(part.dtype)

    return alike(model.stream(rows).state)


def arrays_of(state):
    return [array for part in state for array in arrays_of(part)] if isinstance(state, tuple) else [state]


def bits(*arrays):
    return [np.ascontiguousarray(array).tobytes() for array in arrays]


@EVERY_MODEL
@KINDS
@pytest.mark.parametrize("ragged", [False, True])
def test_gradients_of_context_and_first_state_are_central_differences(name, kind, ragged):
    model = reader(name, dropout=0.3)
    batch, random, directions = make_batch(model, ragged), model.random_state(), np.random.default_rng(3)
    context, state = context_for(model, kind), random_state(model)

    def loss(**options):
        model.set_random_state(random)
        return model.loss_and_gradients(**batch, state=state, context=context, **options)

    dcontext = np.zeros_like(context)
    *_, dstate = loss(dcontext=dcontext, return_dstate=True)
    gradients = {key: d.copy() for key, d in model.gradients.items()}
    assert len(loss()) == 2
    assert_slope(lambda: loss()[0], context, dcontext, directions)
    for array, gradient in zip(arrays_of(state), arrays_of(dstate), strict=True):
        assert gradient.any()
        assert_slope(lambda: loss()[0], array, gradient, directions)
    with model.parameters.edit() as views:
        for key, gradient in gradients.items():
            assert gradient.any()
            assert_slope(lambda: loss()[0], views[key], gradient, directions)
    scaled = np.zeros_like(context)
    *_, thrice = loss(dcontext=scaled, return_dstate=True, scale=3.0)
    np.testing.assert_allclose(scaled, 3 * dcontext, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(arrays_of(thrice)[0], 3 * arrays_of(dstate)[0], rtol=1e-9, atol=1e-12)


@EVERY_OPTION
def test_the_gradient_of_the_first_state_is_central_differences(name):
    model = make(name)
    batch, state, random = make_batch(model), random_state(model), model.random_state()

    def loss():
        model.set_random_state(random)
        return model.loss_and_gradients(**batch, state=state, return_dstate=True)

    _, _, dstate = loss()
    penalties = fr.LanguageModel.from_config({**model.config, "ar": 0.0, "tar": 0.0})
    penalties.load_state_dict(model.state_dict())
    penalties.set_random_state(random)
    if model.config["ar"] or model.config["tar"]:  # these are in the gradients, not in the loss
        model = penalties
        _, _, dstate = loss()
    for array, gradient in zip(arrays_of(state), arrays_of(dstate), strict=True):
        assert_slope(lambda: loss()[0], array, gradient, np.random.default_rng(3))


def test_the_first_states_gradient_is_the_same_where_products_are_made_once_for_each_id():
    """More tokens than ids: the first layer's products are folded into the embedding."""
    results = []
    for repeated in (False, True):
        model = fr.LanguageModel(3, cell="gru", hidden_size=5, embedding_size=4, seed=0, **F64)
        ids = np.random.default_rng(1).integers(3, size=(9, 4))
        state = np.random.default_rng(2).normal(size=(2, 4, 5))
        lengths = None if repeated else np.full(4, 8)  # lengths take the other way
        *_, dstate = model.loss_and_gradients(ids[:-1], ids[1:], state, lengths=lengths, return_dstate=True)
        results.append((dstate, model.gradients.flat.copy()))
    for one, two in zip(*results, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-10, atol=1e-13)


@KINDS
def test_segments_have_the_gradients_of_one_pass(kind):
    results = []
    for every in (None, 3):
        model = reader("given gru")
        context, state = context_for(model, kind), random_state(model)
        dcontext = np.zeros_like(context)
        _, _, dstate = model.loss_and_gradients(
            **make_batch(model, True), state=state, context=context, dcontext=dcontext,
            return_dstate=True, checkpoint_every=every,
        )  # fmt: skip
        results.append([dcontext, dstate, model.gradients.flat.copy()])
    for one, two in zip(*results, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-12, atol=1e-13)


@EVERY_MODEL
@KINDS
def test_a_stream_and_advance_give_the_bits_of_logits(name, kind):
    model = reader(name, "float32")
    ids, context = make_batch(model)["inputs"], context_for(model, "each")[:T]
    given = context if kind == "each" else context[0]
    logits, state = model.logits(ids, context=given)
    stream = model.stream(N, context=None if kind == "each" else given)
    steps = [
        stream.step(step, context=own if kind == "each" else None)
        for step, own in zip(ids, context, strict=True)
    ]
    assert bits(*steps) == bits(*logits)
    assert bits(*arrays_of(stream.state)) == bits(*arrays_of(state))
    rest = context[3:] if kind == "each" else given
    middle = model.advance(ids[:3], context=context[:3] if kind == "each" else given)
    assert bits(model.logits(ids[3:], middle, context=rest)[0]) == bits(logits[3:])


@EVERY_MODEL
@KINDS
def test_rows_of_a_ragged_batch_are_as_alone(name, kind):
    model = reader(name)
    batch, context = make_batch(model, ragged=True), context_for(model, kind)
    losses, of_lengths, _ = model.target_losses(**batch, context=context)
    wanted = (losses.sum() + of_lengths.sum()) / batch["lengths"].sum()
    assert abs(model.loss(**batch, context=context)[0] - wanted) < 1e-12
    for n, end in enumerate(batch["lengths"]):
        ids = [batch[k][:end, [n]] for k in ("inputs", "targets")]
        steps = end + (model.length is not None)
        own = context[[n]] if kind == "one" else context[:steps, [n]]
        alone, of_length, _ = model.target_losses(*ids, context=own)
        assert bits(losses[:end, n]) == bits(alone[:, 0])
        assert of_lengths[n] == of_length[0]


@EVERY_MODEL
def test_a_file_gives_the_same_model(name, tmp_path):
    model, path = reader(name), tmp_path / "model.safetensors"
    fr.train.save_checkpoint(path, model, fr.Vocabulary.from_text("abcdefghijk"))
    loaded = fr.train.load_checkpoint(path).model
    assert (repr(loaded), loaded.config) == (repr(model), model.config)
    shapes = {key: p.shape for key, p in model.parameters.items()}
    assert fr.LanguageModel.parameter_shapes(model.config) == shapes
    batch, context = make_batch(model), context_for(model, "each")
    assert loaded.loss(**batch, context=context)[0] == model.loss(**batch, context=context)[0]


def test_what_does_not_fit_changes_nothing():
    model = reader("given gru", dropout=0.2)
    batch, random = make_batch(model), model.random_state()
    context = context_for(model, "each")
    expected = r"context: expected \[5, 3\], or one of each step, \[7, 5, 3\], got "
    float32 = context.astype("f")
    for error, text, given in (
        (ValueError, expected + "None", {}),
        (ValueError, r"context: expected \[7, 5, 3\], got \[6, 5, 3\]", {"context": context[:6]}),
        (TypeError, "context: expected float64", {"context": float32}),
        (
            ValueError,
            r"dcontext: expected \[7, 5, 3\], got \[5, 3\]",
            {"context": context, "dcontext": context[0]},
        ),
        (TypeError, "dcontext: expected an array of float64", {"context": context, "dcontext": float32}),
        (TypeError, "return_dstate: expected True or False", {"context": context, "return_dstate": "no"}),
    ):
        with pytest.raises(error, match=text):
            model.loss_and_gradients(**batch, **given)
    assert not model.gradients.flat.any()
    assert model.random_state() == random
    plain = make("tied")
    for method in (plain.loss, plain.loss_and_gradients, plain.target_losses):
        with pytest.raises(ValueError, match="context: expected None, as no layer has a context_size"):
            method(**make_batch(plain), context=context)
    with pytest.raises(ValueError, match="dcontext: expected None, as there is no context"):
        plain.loss_and_gradients(**make_batch(plain), dcontext=context)
    halting = reader("halt")
    with pytest.raises(ValueError, match=r"context: expected \[8, 5, 3\], got \[7, 5, 3\]"):
        halting.loss(**make_batch(halting), context=context)


@pytest.mark.parametrize("name", [*MODELS, "plain"])
def test_sequences_join_and_leave_a_stream(name):
    """A row gives the bits that it gives alone, whoever is in the batch."""
    model = make("tied", dtype="float32") if name == "plain" else reader(name, "float32")
    ids = np.random.default_rng(1).integers(V, size=(4, 3))
    context = None if name == "plain" else context_for(model, "one", 3)

    def of(*rows):
        return {} if context is None else {"context": context[list(rows)]}

    alone = [model.logits(ids[:, [n]], **of(n))[0][:, 0] for n in range(3)]
    stream = model.stream(2, **of(0, 1))
    stream.step(ids[0, :2])
    assert stream.join(**of(2)) == 2
    y = stream.step([ids[1, 0], ids[1, 1], ids[0, 2]])
    assert bits(*y) == bits(alone[0][1], alone[1][1], alone[2][0])
    halting = stream.halt_probability if model.length_model == "halt" else None
    gone = stream.leave(0)
    if halting is not None:
        assert bits(stream.halt_probability) == bits(halting[1:])
    y = stream.step([ids[2, 1], ids[1, 2]])
    assert bits(*y) == bits(alone[1][2], alone[2][1])
    assert stream.join(gone, **of(0)) == 2
    y = stream.step([ids[3, 1], ids[2, 2], ids[2, 0]])
    assert bits(*y) == bits(alone[1][3], alone[2][2], alone[0][2])
    with pytest.raises(ValueError, match=r"row: expected 0 \.\. 2, got 3"):
        stream.leave(3)
    assert stream.batch_size == 3


def test_texts_follow_their_own_context():
    model = reader("given gru", start=-1, eos=0)
    vocabulary = fr.Vocabulary.from_text("abcdefghijk")
    context = 3 * context_for(model, "one", 6)
    together = generate(model, count=6, max_length=12, context=context, seed=3)
    assert len({tuple(text.ids.tolist()) for text in together}) > 1
    for index, text in enumerate(together):
        same = generate(model, count=6, max_length=12, context=context[index], seed=3)[index]
        assert same.ids.tolist() == text.ids.tolist()
        assert same.log_probability == text.log_probability
    texts = ["abc", "k", "cab", "ba", "hgf", "e"]
    for index, one in enumerate(score(model, vocabulary, texts, context=context)):
        [alone] = score(model, vocabulary, texts[index], context=context[index])
        assert (one.text, one.total) == (texts[index], alone.total)
    scores = score(model, vocabulary, texts, context=context[0])
    assert rank(model, vocabulary, texts, context=context[0])[0].total == max(one.total for one in scores)
    found = next_symbols(model, vocabulary, "ab", context=context[1])
    logits, _ = model.logits([[-1], [0], [1]], context=context[[1]])
    p = np.exp(logits[-1, 0] - logits[-1, 0].max())
    np.testing.assert_allclose(found.probabilities, np.sort(p / p.sum())[::-1], rtol=1e-12)
    best = greedy(model, max_length=8, context=context[2])
    [beam] = beam_search(model, beam_size=1, max_length=8, context=context[2])
    assert best.ids.tolist() == beam.ids.tolist()
    assert len(beam_search(model, beam_size=4, max_length=8, context=context[2])) == 4
    text = sample(model, vocabulary, "a", 15, context=context[3], seed=1)
    assert text == sample(model, vocabulary, "a", 15, context=context[3], seed=1)
    assert len(samples(model, vocabulary, 6, max_length=9, context=context, seed=1)) == 6
    with pytest.raises(ValueError, match="context: expected one for all texts or 6, got 5"):
        score(model, vocabulary, texts, context=context[:5])
    with pytest.raises(ValueError, match=r"context: expected \[2, 3\], got \[6, 3\]"):
        generate(model, count=2, max_length=12, context=context)
    with pytest.raises(ValueError, match=r"context: expected \[1, 3\], got None"):
        generate(model, max_length=12)


@pytest.mark.torch
def test_an_encoder_decoders_gradients_are_pytorchs(torch):
    """The encoder's last state is the decoder's first, and its code the context at each of its steps."""
    E, H, S = 4, 6, 5
    encoder = fr.GRU(V, H, seed=0, **F64)
    rnn = fr.GRU(E, H, context_size=H, seed=1, **F64)
    decoder = fr.LanguageModel(
        V, embedding_size=E, rnn=rnn, head=fr.Head(H, [7], E, seed=2, **F64), tied=True, seed=3, **F64
    )
    random = np.random.default_rng(4)
    source, ids = random.integers(V, size=(S, N)), random.integers(V, size=(S + 1, N))
    y, last, tape = encoder.forward(source)
    dy = np.zeros_like(y)
    loss, _, dstate = decoder.loss_and_gradients(
        ids[:-1], ids[1:], last, context=y, dcontext=dy, return_dstate=True
    )
    encoder.backward(tape, dy, dstate)

    def leaves(module):
        return {k: torch.from_numpy(np.array(p)).requires_grad_() for k, p in module.parameters.items()}

    def gru(w, gx, h, prefix=""):
        ys = []
        for g in gx:
            a, b = g.chunk(3, 1), (h @ w[prefix + "weight_hh_l0"].T + w[prefix + "bias_hh_l0"]).chunk(3, 1)
            r, z = torch.sigmoid(a[0] + b[0]), torch.sigmoid(a[1] + b[1])
            h = (1 - z) * torch.tanh(a[2] + r * b[2]) + z * h
            ys.append(h)
        return torch.stack(ys), h

    e, d = leaves(encoder), leaves(decoder)
    x = torch.eye(V, dtype=torch.float64)[torch.from_numpy(source)]
    code, h = gru(e, x @ e["weight_ih_l0"].T + e["bias_ih_l0"], torch.zeros(N, H, dtype=torch.float64))
    x = d["embedding.weight"][torch.from_numpy(ids[:-1])]
    gx = x @ d["rnn.weight_ih_l0"].T + d["rnn.bias_ih_l0"] + code @ d["rnn.weight_context_l0"].T
    a, _ = gru(d, gx, h, "rnn.")
    a = torch.tanh(a @ d["head.hidden0.weight"].T + d["head.hidden0.bias"])
    a = a @ d["head.output.weight"].T + d["head.output.bias"]
    logits = a @ d["embedding.weight"].T + d["output.bias"]
    theirs = torch.nn.functional.cross_entropy(logits.reshape(-1, V), torch.from_numpy(ids[1:]).reshape(-1))
    theirs.backward()
    assert abs(loss - theirs.item()) < 1e-12
    for module, tensors in ((encoder, e), (decoder, d)):
        for name, gradient in module.gradients.items():
            np.testing.assert_allclose(
                gradient, tensors[name].grad.numpy(), rtol=1e-9, atol=1e-12, err_msg=name
            )
