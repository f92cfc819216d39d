"""Every allocation of a call fails once: a MemoryError or the right result, never a crash."""

import pytest

from system_refusals import needs_shim, run_under_shim

# `calls`: functions that return arrays. Each is run with its first, second, third, ... allocation failing,
# until none fails any more; PYTHONMALLOC=malloc makes Python's own allocations count.
SCRIPT = """
from fastrnn._dispatch import kernels
fr.set_num_threads(1)
random = np.random.default_rng(0)
def normal(*shape): return random.normal(size=shape).astype("f")
def weights(gates, D=3, H=5):
    return normal(gates * H, D), normal(gates * H, H), normal(gates * H), normal(gates * H)
names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
ids, x, table = random.integers(3, size=(4, 2)), normal(4, 2, 3), normal(7, 5)
lengths, reset = np.array([4, 2]), random.random((4, 2)) < 0.3
lstm, gru, elman = weights(4), weights(3), weights(1)
real, variants = kernels.variant_pack, []
kernels.variant_pack = lambda *a: (variants.append(a), real(*a))[1]
for layer in (fr.LSTM(3, 5, layer_norm=True, seed=0), fr.GRU(3, 5, proj_size=2, seed=0)): layer(x)
kernels.variant_pack = real
packed = [kernels.lstm_pack(*lstm)]
stream = kernels.Stream(packed, 2)
rows, targets, out = normal(6, 5), random.integers(7, size=6), normal(2, 5)
zero = {name: np.zeros_like(w) for name, w in zip(names, lstm)}
many = random.integers(3, size=(200, 2))

def arrays(value):
    if isinstance(value, np.ndarray): return [value]
    if isinstance(value, (list, tuple)): return [array for one in value for array in arrays(one)]
    return []
def forward(x): return kernels.recurrent_forward(packed, x, None, lengths, reset)
def both_ways(packed, x, directions=1):
    results = kernels.recurrent_forward(packed, x, None, lengths, reset, True, False, directions)
    gradients = [{name: z.copy() for name, z in zero.items()} for _ in packed]
    dy = np.ones((4, 2, 5 * directions), "f")
    tapes = [tape for _, _, tape in results]
    back = kernels.recurrent_backward(packed, tapes, dy, None, gradients, True, directions)
    return results, back, [list(g.values()) for g in gradients]
def run_packed(pack, x=x): return kernels.recurrent_forward([pack()], x)
def adam():
    flat = [np.ones(5000, "f") for _ in range(4)]
    kernels.adam_step(*flat, 1, 0.1, 0.9, 0.99, 1e-8, 0.0, False)
    return flat
def stepped(stream):
    stream.set_state([(out, out)])
    return stream.step(ids[0]), stream.step(x[0], out.copy()), stream.get_state()
def embedding():
    d = np.zeros((3, 5), "f")
    kernels.embedding_backward(ids.reshape(-1), np.ones((8, 5), "f"), d)
    return kernels.embedding_forward(ids.reshape(-1), normal_table), d
def crf():
    scores, ends = (table[:5], table[5], table[6]), np.array([4, 2])
    gradients = [np.zeros_like(score) for score in scores]
    tags = np.array([[0, 4], [1, -1], [2, 3], [3, 3]])
    loss = kernels.crf_loss(steps, *scores, tags, ends, 1.0, True, *gradients)
    return (loss, gradients, kernels.crf_marginals(steps, *scores, ends),
            kernels.crf_viterbi(steps, *scores, ends))
def wide_step():
    fr.set_num_threads(2)
    try:
        stream = kernels.Stream(wide, 16)
        try: return stream.step(wide_x)
        except MemoryError:
            assert stream.step(wide_x).tobytes() == wide_y.tobytes()
            raise
    finally: fr.set_num_threads(1)
wide, wide_x = [kernels.lstm_pack(*weights(4, 24, 256))], normal(16, 24)
wide_y = kernels.Stream(wide, 16).step(wide_x)
normal_table, steps = normal(3, 5), normal(4, 2, 5)
def ctc():
    logits = np.sin(np.arange(240, dtype="f")).reshape(20, 2, 6)
    given = logits, np.array([1, 2, 2, 3]), np.array([3, 1]), np.array([20, 7]), 0
    return kernels.ctc_loss(*given, False, None), kernels.ctc_align(*given)
def attention():
    memory, queries, score, ends = attended
    given = (queries, memory, memory, score, 1.0, ends)
    context, weights = kernels.attention_forward(*given, np.array([1, 0]), 300)
    back = [kernels.attention_backward(*given, weights, context, None, None, need) for need in (True, False)]
    pooled = None, *given[1:], weights[:1], context[:1], None, back[1][1], False
    back.append(kernels.attention_backward(*pooled))
    rows = kernels.attention_rows(normal_values, np.array([4, 300]))
    return context, weights, back, rows, kernels.attention_steps(rows, rows, np.array([4, 300]), 300)
def reservoir():
    indices, indptr = np.arange(60) % 30, np.arange(31) * 2
    packed = kernels.sparse_reservoir_pack(normal_rows, indices, indptr, np.abs(normal_rows[:30]), "tanh")
    states, state = np.ones((2, 3, 30), "f"), np.ones((3, 30), "f")
    kernels.sparse_reservoir_run(packed, states, state)
    return states, state
normal_rows = normal(60)
normal_values = normal(300, 2, 5)
attended = normal(307, 5), normal(3, 2, 5), normal(5), np.array([300, 7])
calls = {
    "attention": attention,
    "pack": lambda: [run_packed(lambda: kernels.lstm_pack(*lstm)), run_packed(lambda: kernels.gru_pack(*gru)),
                     run_packed(lambda: kernels.gru_pack(*gru, False)),
                     run_packed(lambda: kernels.elman_pack(*elman)),
                     run_packed(lambda: kernels.slstm_pack(*lstm)),
                     *[run_packed(lambda: kernels.variant_pack(*given)) for given in variants]],
    "linear": lambda: kernels.linear_forward(kernels.linear_pack(table, None), rows),
    "linear backward": lambda: kernels.linear_backward(
        rows, table, np.ones((6, 7), "f"), np.zeros_like(table), None, True),
    "stream": lambda: stepped(kernels.Stream(packed, 2).copy()),
    "wide step": wide_step,
    "step": lambda: stepped(stream),
    "inference": lambda: [forward(ids), forward(x)],
    "long inference": lambda: kernels.recurrent_forward(packed, many),
    "training": lambda: both_ways(packed, x),
    "fresh training": lambda: both_ways([kernels.lstm_pack(*lstm)], ids),
    "directions": lambda: both_ways(packed * 2, x, 2),
    "softmax": lambda: [kernels.softmax_cross_entropy(rows, targets % 5), kernels.linear_cross_entropy(
        rows, table, None, targets, 1.0, np.zeros_like(table), None, True)],
    "optimizers": lambda: [adam(), np.array(kernels.norm(lstm[0].reshape(-1)))],
    "embedding": embedding,
    "crf": crf,
    "ctc": ctc,
    "regression": lambda: kernels.regression_loss(
        rows, rows[:, 0].copy(), rows[:, 0] > 0, "huber", rows[0], 1.0),
    "reservoir": reservoir,
    "mask": lambda: [kernels.dropout_mask(1, 2, 0, 30, 50, 1 << 31, 0.0, 2.0, False), kernels.tanh(x)],
}
name, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
call = calls[name]
wanted = [array.tobytes() for array in arrays(call())]
wanted = [array.tobytes() for array in arrays(call())]
errors = 0
for n in range(first, last):
    result = failure = None
    fail(n)
    try:
        result = call()
    except MemoryError as error:
        failure = error
    finally:
        pending = _count.value
        fail(0)
    if failure is not None: errors += 1
    else: assert [array.tobytes() for array in arrays(result)] == wanted, n
    del result, failure
    assert [array.tobytes() for array in arrays(call())] == wanted, n
    if pending > 0: break
else:
    raise SystemExit(f"more than {last} allocations")
print(n, errors)
"""
CALLS = (
    *(
        "pack",
        "linear",
        "linear backward",
        "stream",
        "wide step",
        "step",
        "inference",
        "long inference",
        "training",
    ),
    *("attention", "fresh training", "directions", "softmax", "optimizers", "embedding", "crf", "ctc"),
    *("regression", "reservoir", "mask"),
)


@needs_shim
@pytest.mark.parametrize("call", CALLS)
def test_a_failing_allocation_is_a_memory_error_and_never_a_crash(call):
    run = run_under_shim(SCRIPT, call, "1", "3000", PYTHONMALLOC="malloc")
    assert run.returncode == 0, run.stdout + run.stderr[-3000:]
    tried, errors = map(int, run.stdout.split())
    assert errors > 0
    assert tried > 1
