"""The public layers against PyTorch's, and the training of a language model in both, step by step."""

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.train import Adam, clip_gradient_norm
from recurrent_cases import VARIANTS

T, N, D, H = 23, 9, 17, 33
PAIRS = {
    "elman-tanh": ("RNN", {"nonlinearity": "tanh"}),
    "elman-relu": ("RNN", {"nonlinearity": "relu"}),
    "gru-after": ("GRU", {}),
    "lstm": ("LSTM", {}),
}
STACKS = {"one": (1, False), "stacked": (2, False), "bidirectional": (1, True), "both": (2, True)}
TOLERANCE = {"float64": 1e-12, "float32": 1e-5}


@pytest.fixture(autouse=True)
def one_thread(torch):
    """Use one thread: PyTorch's threads spin while waiting, which takes minutes on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def close(got, wanted, dtype, name):
    wanted = np.asarray(wanted.detach())
    assert got.dtype == wanted.dtype == dtype
    largest = max(1.0, np.abs(wanted).max())
    np.testing.assert_allclose(got, wanted, rtol=0, atol=TOLERANCE[dtype] * largest, err_msg=name)


def make_pair(torch, variant, stack, dtype, bias=True):
    """Make the same layer in PyTorch and here, with PyTorch's weights."""
    name, options = PAIRS[variant]
    layers, bidirectional = STACKS[stack]
    torch.manual_seed(1)
    theirs = getattr(torch.nn, name)(
        D, H, layers, bias=bias, bidirectional=bidirectional, dtype=getattr(torch, dtype), **options
    )
    ours = getattr(fr, name)(
        D, H, layers, bias=bias, bidirectional=bidirectional, dtype=dtype, **VARIANTS[variant][1]
    )
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def run_theirs(torch, module, x, state, lengths):
    """Return PyTorch's y [T, N, H * directions] and tuple of last states."""
    if lengths is not None:
        x = torch.nn.utils.rnn.pack_padded_sequence(x, torch.from_numpy(lengths), enforce_sorted=False)
    y, last = module(x, state if len(state) == 2 else state[0])
    if lengths is not None:
        y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, total_length=T)
    return y, last if len(state) == 2 else (last,)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("ragged", [False, True], ids=["full", "packed"])
@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("variant", PAIRS)
def test_outputs_and_all_gradients(torch, variant, stack, ragged, dtype):
    theirs, ours = make_pair(torch, variant, stack, dtype, bias=stack != "stacked")
    random = np.random.default_rng(2)
    lengths = random.integers(1, T + 1, size=N) if ragged else None
    count, places = (2 if variant == "lstm" else 1), ours.num_layers * ours.directions

    def normal(*shape):
        return random.normal(size=shape).astype(dtype)

    x, dy = normal(T, N, D), normal(T, N, H * ours.directions)
    state, dstate = (tuple(normal(places, N, H) for _ in range(count)) for _ in range(2))
    y, last, tape = ours.forward(x, state if count == 2 else state[0], lengths)
    dx, first = ours.backward(tape, dy, dstate if count == 2 else dstate[0])

    leaves = [torch.from_numpy(a.copy()).requires_grad_() for a in (x, *state)]
    y_, last_ = run_theirs(torch, theirs, leaves[0], tuple(leaves[1:]), lengths)
    torch.autograd.backward([y_, *last_], [torch.from_numpy(a) for a in (dy, *dstate)])

    close(y, y_, dtype, "y")
    close(dx, leaves[0].grad, dtype, "dx")
    both = zip("hc", last if count == 2 else (last,), last_, strict=False)
    for letter, got, wanted in both:
        close(got, wanted, dtype, f"{letter}_n")
    for letter, got, leaf in zip("hc", first if count == 2 else (first,), leaves[1:], strict=False):
        close(got, leaf.grad, dtype, f"d{letter}0")
    for name, parameter in theirs.named_parameters():
        close(ours.gradients[name], parameter.grad, dtype, name)


@pytest.mark.parametrize("variant", PAIRS)
def test_ids_are_one_hot_vectors(torch, variant):
    theirs, ours = make_pair(torch, variant, "both", "float64")
    ids = np.random.default_rng(3).integers(D, size=(T, N))
    y, _, tape = ours.forward(ids)
    dx, _ = ours.backward(tape, np.ones_like(y))
    assert dx is None
    y_, _ = theirs(torch.nn.functional.one_hot(torch.from_numpy(ids), D).double())
    y_.sum().backward()
    close(y, y_, "float64", "y")
    for name, parameter in theirs.named_parameters():
        close(ours.gradients[name], parameter.grad, "float64", name)


V, STEPS, SEQUENCES, SEQ_LENGTH, LEARNING_RATE, LIMIT = 31, 200, 8, 16, 3e-3, 1.0


def chain(length):
    """Draw a learnable text of V symbols: each is mostly one of two successors of the previous symbol."""
    random = np.random.default_rng(4)
    successors = random.integers(V, size=(V, 2))
    choices, anywhere = random.integers(2, size=length), random.integers(V, size=length)
    ids = np.where(random.random(length) < 0.1, anywhere, -1)
    for i in range(1, length):
        if ids[i] < 0:
            ids[i] = successors[ids[i - 1], choices[i]]
    return np.maximum(ids, 0)


def batches():
    """Yield inputs and targets [T, N] of each step: parallel pieces of one text, read continuously."""
    ids = chain(SEQUENCES * SEQ_LENGTH * STEPS + 1)
    text = ids[:-1].reshape(SEQUENCES, -1).T
    following = ids[1:].reshape(SEQUENCES, -1).T
    for step in range(STEPS):
        part = slice(step * SEQ_LENGTH, (step + 1) * SEQ_LENGTH)
        yield text[part], following[part]


def train_ours(model):
    optimizer, state, losses = Adam(model, LEARNING_RATE), None, []
    for inputs, targets in batches():
        model.zero_gradients()
        loss, state = model.loss_and_gradients(inputs, targets, state)
        clip_gradient_norm(model, LIMIT)
        optimizer.step()
        losses.append(loss)
    return losses


def train_theirs(torch, model):
    optimizer, state, losses = torch.optim.Adam(model.parameters(), LEARNING_RATE), None, []
    for inputs, targets in batches():
        optimizer.zero_grad()
        y, state = model["rnn"](model["embedding"](torch.from_numpy(inputs.copy())), state)
        state = tuple(s.detach() for s in state)
        logits = model["output"](y).reshape(-1, V)
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(targets.reshape(-1)))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), LIMIT)
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_200_training_steps_give_the_same_losses(torch):
    """Train two LSTM layers in float32 with Adam, clipping and carried state: same start and batches."""
    ours = fr.LanguageModel(V, cell="lstm", num_layers=2, hidden_size=64, embedding_size=24, seed=5)
    theirs = torch.nn.ModuleDict(
        {
            "embedding": torch.nn.Embedding(V, 24),
            "rnn": torch.nn.LSTM(24, 64, 2),
            "output": torch.nn.Linear(64, V),
        }
    )
    theirs.load_state_dict({name: torch.from_numpy(a) for name, a in ours.state_dict().items()})
    losses, losses_ = train_ours(ours), train_theirs(torch, theirs)
    assert losses[0] > np.log(V) - 0.2
    assert losses[-1] < 0.6 * losses[0]  # it learned, so the agreement means something
    np.testing.assert_allclose(losses, losses_, rtol=0, atol=1e-4)
