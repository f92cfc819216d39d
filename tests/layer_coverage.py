"""Which tests cover each recurrent layer and option: a row for each; `test_docs.py` checks that they exist.

Beyond the table, for every variant: the same bits for any number of threads, in any batch, in one call or in
chunks; the same gradients in segments; padding is never seen; float32 is close to float64 (`test_variants.py`
and `test_layer_properties.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Row:
    """A layer or an option, and a test, ``file::name[case]``, of each thing that is claimed of it."""

    layer: str
    #: Classes, options and arguments of calls that the row is about.
    covers: tuple[str, ...]
    #: Against `fastrnn.reference`, or by hand, or against PyTorch.
    forward: str | None = None
    #: Against central differences in float64.
    bptt: str | None = None
    #: Step by step.
    step: str | None = None
    #: Rows of different lengths.
    ragged: str | None = None
    #: Against PyTorch, ONNX or ONNX Runtime.
    parity: tuple[str, ...] = ()

    def tests(self) -> tuple[str, ...]:
        """Return every test that the row names."""
        single = (getattr(self, field.name) for field in fields(self)[2:-1])
        return (*(name for name in single if name), *self.parity)


def plain(layer: str, covers: str, case: str, *, parity: str | None = None) -> Row:
    """Return the row of a plain cell, tested by `test_layers.py`."""
    stacks = f"test_layers.py::test_stacks_are_the_references[{case}-float64-(3, False, True)"
    return Row(
        layer,
        tuple(covers.split()),
        f"{stacks}-dense]",
        f"test_layers.py::test_gradients_are_central_differences[{case}]",
        f"test_layers.py::test_step_by_step_in_chunks_or_alone_gives_the_same_bits[False-float32-{case}]",
        f"{stacks}-ragged]",
        (parity or f"test_layers.py::test_stacks_are_pytorchs[False-(3, False, True)-{case}]",),
    )


def variant(
    layer: str,
    covers: str,
    case: str,
    *parity: str,
    reference: bool = True,
    step: bool = True,
    own_parity: bool = True,
) -> Row:
    """Return the row of a variant, tested as `case` of `variant_cases.py`.

    Without `reference` the forward pass is compared with PyTorch; without `step` there is no stream; without
    `own_parity` the only comparison is `parity`.
    """
    by_reference = f"test_variants_reference.py::test_training[{case}-dense]"
    step_by_step = f"test_variants.py::test_a_stream_gives_the_bits_of_one_call[{case}-float32]"
    torch = f"test_variants_torch.py::test_training[{case}-dense]"
    return Row(
        layer,
        tuple(covers.split()),
        by_reference if reference else f"test_variants_torch.py::test_inference[{case}-dense]",
        f"test_variants.py::test_gradients[{case}-dense]",
        step_by_step if step else None,
        f"test_variants.py::test_gradients[{case}-ragged]",
        (torch, *parity) if own_parity else parity,
    )


def stack(layer: str, covers: str, case: str, *parity: str) -> Row:
    """Return the row of a stack, tested by `test_stack.py`."""
    return Row(
        layer,
        tuple(covers.split()),
        f"test_stack.py::test_it_is_its_layers_chained_by_hand[{case}-plain]",
        f"test_stack.py::test_gradients_are_central_differences[{case}-plain]",
        f"test_stack.py::test_steps_and_chunks_give_the_bits_of_the_whole[{case}-float32]",
        f"test_stack.py::test_gradients_are_central_differences[{case}-ragged]",
        parity,
    )


CELLS = [
    plain("vanilla, tanh", "RNN nonlinearity", "elman-tanh"),
    plain("vanilla, relu", "RNN nonlinearity", "elman-relu"),
    plain("GRU, reset after the product", "GRU reset_after", "gru-after"),
    plain(
        "GRU, reset before the product",
        "GRU reset_after",
        "gru-before",
        parity="test_onnx_nodes.py::test_stored_case[test_gru_defaults]",
    ),
    plain("LSTM", "LSTM", "lstm"),
    Row(
        "sLSTM",
        ("SLSTM",),
        forward="test_slstm.py::test_it_is_the_reference[(3, 17)-dense-forward-state]",
        bptt="test_slstm.py::test_gradients_are_central_differences[y-dense]",
        step="test_slstm.py::test_steps_chunks_and_single_rows_give_the_same_bits[(4, 17)-dense-float32]",
        ragged="test_slstm.py::test_it_is_the_reference[(3, 17)-ragged-forward-state]",
        parity=("test_slstm.py::test_gradients_are_pytorchs",),
    ),
    variant("minGRU", "MinGRU", "mingru"),
    variant("minLSTM", "MinLSTM", "minlstm"),
    variant("Jordan, output recurrence alone", "Jordan output_size", "jordan", reference=False),
    variant("Jordan beside the hidden recurrence", "hidden_recurrence", "jordan and hidden", reference=False),
    Row(
        "Jordan, teacher forcing",
        ("targets",),
        forward="test_variants.py::test_teacher_forcing[given0-False]",
        bptt="test_variants.py::test_teacher_forcing[given0-False]",
        ragged="test_variants.py::test_teacher_forcing[given1-False]",
    ),
    Row("the course notes' convention", (), forward="test_notes.py::test_gru"),
    Row(
        "the course notes' relevance gate and peepholes",
        (),
        forward="test_notes.py::test_an_lstm_with_a_relevance_gate_and_peepholes[True-True]",
    ),
    Row(
        "back to the course notes",
        (),
        forward="test_notes.py::test_what_was_converted_comes_back_to_the_last_bit[float32-stacked-U-gru]",
    ),
]

CELL_OPTIONS = [
    variant("leaky units, fixed", "leak", "rnn leak"),
    variant("leaky units, one number a unit", "leak", "rnn leak of each unit", reference=False),
    variant("leaky units, one learned number for all", "leak", "rnn shared leak"),
    variant("leaky units, learned", "leak", "rnn relu learned leak"),
    variant("connection over d steps, vanilla", "skip", "rnn skip"),
    variant("connection over d steps, GRU", "skip", "gru skip"),
    variant("connection over d steps, LSTM", "skip", "lstm skip"),
    variant("context vector", "context_size context dcontext", "context", reference=False),
    variant("context of each step", "context_size context dcontext", "contexts", reference=False),
    variant(
        "context of each step, two directions",
        "context dcontext",
        "contexts both ways",
        reference=False,
        step=False,
    ),
    variant("context of each step, reset before", "context", "contexts of gru before norm", reference=False),
    variant("context of each step, normalised", "context", "contexts of rnn norm skip", reference=False),
    variant("context of each step, sLSTM", "context", "contexts of slstm", reference=False),
    variant("context of each step, relevance", "context", "contexts of lstm relevance", reference=False),
    variant("context of each step, minGRU", "context", "contexts of mingru", reference=False),
    variant("context of each step, Jordan", "context", "contexts of jordan", reference=False),
    Row(
        "contexts of a stack",
        ("context", "dcontext"),
        forward="test_contexts.py::test_a_stacks_gradients_are_central_differences[plain-each]",
        bptt="test_contexts.py::test_a_stacks_gradients_are_central_differences[residual-each]",
        step="test_contexts.py::test_a_stacks_steps_give_the_bits_of_the_whole[each]",
        ragged="test_contexts.py::test_a_stacks_gradients_are_central_differences[plain-one]",
    ),
    variant("projection, vanilla", "proj_size", "rnn proj"),
    variant("projection, GRU", "proj_size", "gru proj"),
    variant(
        "projection, LSTM",
        "proj_size",
        "lstm proj",
        "test_variants_torch.py::test_projection_is_pytorchs_own[1-False-False]",
        own_parity=False,
    ),
    variant(
        "peepholes",
        "peephole",
        "lstm peephole",
        "test_onnx_nodes.py::test_stored_case[test_lstm_with_peepholes]",
    ),
    variant("peepholes of the cell state before the step", "peephole", "lstm peephole previous"),
    variant(
        "coupled input and forget gate",
        "coupled",
        "lstm coupled",
        "test_onnx_nodes.py::test_coupled_gates_are_onnxruntimes[forward-names0]",
    ),
    variant("coupled, peepholes, projection, cell clip", "cell_clip", "lstm coupled peephole proj clip"),
    variant("relevance gate, h = o * c", "relevance output_activation", "lstm relevance"),
    variant(
        "activations of each gate",
        "gate_activation candidate_activation output_activation",
        "lstm activations",
    ),
]

REGULARISERS = [
    variant("layer normalisation, vanilla", "layer_norm", "rnn norm"),
    variant("layer normalisation, GRU", "layer_norm", "gru norm"),
    variant("layer normalisation, GRU, reset before", "layer_norm", "gru before norm"),
    variant("layer normalisation, LSTM", "layer_norm", "lstm norm"),
    variant("layer normalisation, LSTM with relevance", "layer_norm relevance", "lstm relevance norm"),
    variant("layer normalisation, over several steps", "layer_norm skip", "lstm norm skip"),
    variant("layer normalisation, sLSTM", "layer_norm", "slstm norm"),
    variant("zoneout and dropouts, sLSTM", "zoneout", "slstm masks"),
    variant("layer normalisation, minGRU", "layer_norm", "mingru norm"),
    variant("layer normalisation, minLSTM", "layer_norm", "minlstm norm"),
    variant(
        "layer normalisation and zoneout, Jordan", "layer_norm zoneout", "jordan norm of all", reference=False
    ),
    variant("zoneout and dropouts, Jordan", "zoneout weight_drop", "jordan masks", reference=False),
    variant(
        "zoneout, recurrent and state dropout, vanilla",
        "zoneout recurrent_dropout state_dropout",
        "rnn masks",
    ),
    variant("the same and DropConnect, GRU", "weight_drop", "gru masks"),
    variant("recurrent and state dropout, GRU, reset before", "state_dropout", "gru before masks"),
    variant("all of these, input and output dropout, LSTM", "input_dropout output_dropout", "lstm masks"),
    variant("normalisation, peepholes, zoneout, dropout, LSTM", "layer_norm zoneout", "lstm norm of all"),
    variant("zoneout and dropouts, minGRU", "zoneout", "mingru positive masks"),
    variant("zoneout and dropouts, minLSTM", "zoneout", "minlstm masks"),
    Row(
        "dropout between layers",
        ("dropout",),
        forward="test_layers.py::test_dropout_is_in_training_only_and_kept_in_the_tape",
        bptt="test_layers.py::test_dropout_is_in_training_only_and_kept_in_the_tape",
    ),
    Row(
        "activity penalties, AR and TAR",
        (),
        forward="test_activity_penalties.py::test_losses_are_means_over_real_steps[ragged]",
        bptt="test_activity_penalties.py::test_gradients_are_central_differences[0.0-0.0-ragged]",
        ragged="test_activity_penalties.py::test_padding_is_ignored",
    ),
]

STRUCTURE = [
    Row(
        "both directions, side by side",
        ("bidirectional",),
        forward="test_layers.py::test_stacks_are_the_references[lstm-float64-(2, True, True)-dense]",
        bptt="test_layers.py::test_gradients_are_central_differences[lstm]",
        ragged="test_layers.py::test_stacks_are_the_references[lstm-float64-(2, True, True)-ragged]",
        parity=("test_layers.py::test_stacks_are_pytorchs[False-(2, True, True)-lstm]",),
    ),
    variant(
        "both directions, sum",
        "merge",
        "sum",
        "test_variants_torch.py::test_merge_is_a_sum_of_pytorchs_directions[GRU-mean]",
        reference=False,
        step=False,
        own_parity=False,
    ),
    variant("both directions, mean", "merge", "mean of variants", reference=False, step=False),
    variant(
        "reversed direction",
        "reverse",
        "reverse",
        "test_onnx_nodes.py::test_stored_case[test_gru_reverse]",
        step=False,
    ),
    variant("learned initial state", "learn_state", "learned state", reference=False),
    stack("layers of different widths and kinds", "Stack layers", "plain"),
    stack(
        "residual stack",
        "connect",
        "residual",
        "test_stack.py::test_a_residual_stack_is_pytorchs[False]",
    ),
    stack("dense stack, each layer reads all below", "connect", "dense"),
    Row(
        "output head of several layers",
        (),
        forward="test_head.py::test_it_is_its_layers_chained_by_hand[relu-()-float32]",
        bptt="test_head.py::test_gradients_are_central_differences[[5, 3, 6]-relu-False]",
        parity=("test_head.py::test_a_head_is_pytorchs[relu]",),
    ),
    Row(
        "sizes and depth",
        ("input_size", "hidden_size", "num_layers"),
        forward="test_layers.py::test_stacks_are_the_references[gru-after-float64-(3, False, True)-dense]",
        parity=("test_parameters.py::test_names_shapes_and_order_are_pytorchs",),
    ),
    Row(
        "without biases",
        ("bias",),
        forward="test_layers.py::test_stacks_are_the_references[lstm-float64-(1, True, False)-dense]",
        ragged="test_layers.py::test_stacks_are_the_references[lstm-float64-(1, True, False)-ragged]",
    ),
    Row(
        "batch first",
        ("batch_first",),
        forward="test_layers.py::test_batch_first_is_the_same_with_axes_swapped[lstm]",
        parity=("test_layers.py::test_stacks_are_pytorchs[True-(3, False, True)-lstm]",),
    ),
    Row(
        "number types",
        ("dtype",),
        forward="test_layers.py::test_stacks_are_the_references[lstm-float32-(3, False, True)-dense]",
        bptt="test_variants.py::test_float32_is_close_to_float64[lstm norm of all]",
    ),
    Row(
        "precision",
        ("precision",),
        forward="test_precision_passes.py::test_weights_inputs_and_h_are_rounded_and_the_rest_is_not[lstm]",
        bptt="test_precision_training.py::test_gradients_are_near_those_of_float32_and_are_float32[gru-after]",
        step="test_precision_passes.py::test_steps_of_a_stream_and_chunks_are_one_call[False-lstm-int8]",
        ragged="test_precision_passes.py::test_a_row_does_not_depend_on_its_batch[rnn-relu-bfloat16]",
    ),
    Row(
        "seeds",
        ("seed",),
        forward="test_parameters.py::test_a_seed_determines_the_initial_parameters[float32]",
    ),
    Row("initialisers", (), forward="test_init.py::test_each_gates_recurrent_matrix_is_orthogonal[gru]"),
]

SEQUENCES = [
    Row(
        "given states, and rows of different lengths",
        ("x", "state", "lengths"),
        forward="test_layers.py::test_padding_is_ignored[lstm]",
        bptt="test_variants.py::test_gradients[lstm peephole-ragged]",
        ragged="test_variants.py::test_padding_and_order_change_nothing[lstm peephole]",
    ),
    Row(
        "resets at any step of any row",
        ("reset",),
        forward="test_layers.py::test_stacks_are_the_references[lstm-float64-(3, False, True)-reset]",
        bptt="test_variants.py::test_gradients[lstm peephole-resets]",
        ragged="test_variants.py::test_gradients[lstm peephole-all]",
        parity=("test_variants_torch.py::test_training[lstm peephole-resets]",),
    ),
    Row(
        "masks with holes",
        ("mask", "zero_masked"),
        forward="test_variants_reference.py::test_training_with_masked_steps[lstm norm of all-repeated]",
        bptt="test_masks.py::test_gradients_are_central_differences[lstm norm of all-None]",
        step="test_masks.py::test_steps_of_a_stream_are_the_whole_sequence[repeated]",
        ragged="test_masks.py::test_each_row_gives_the_bits_of_its_counted_steps_alone"
        "[lstm norm of all-repeated]",
        parity=("test_masks.py::test_pytorch_on_rows_packed_by_hand",),
    ),
    Row(
        "batches of similar lengths",
        (),
        forward="test_buckets.py::test_each_sequence_comes_once_and_no_batch_is_too_large",
        ragged="test_buckets.py::test_an_epoch_of_buckets_gives_each_sequence_what_it_gives_alone",
    ),
    Row(
        "sequences join and leave a stream",
        ("batch_size",),
        step="test_variants.py::test_streams_join_and_leave_a_batch[learned state]",
    ),
    Row(
        "sequences join and leave a stack's stream",
        ("batch_size",),
        step="test_contexts.py::test_sequences_join_and_leave_a_stacks_stream",
    ),
    Row(
        "segments: states kept at intervals",
        ("checkpoint_every",),
        forward="test_variants.py::test_segments_give_the_bits_of_the_outputs_of_one_pass"
        "[lstm norm of all-all-float32]",
        bptt="test_variants.py::test_segments_give_the_gradients_of_one_pass[lstm norm of all-all]",
        ragged="test_variants.py::test_segments_give_the_gradients_of_one_pass[lstm norm of all-all]",
    ),
]

TABLE = [*CELLS, *CELL_OPTIONS, *REGULARISERS, *STRUCTURE, *SEQUENCES]
