// A forward pass of one layer and direction: the constructor checks and allocates; prepare, the packed cell's
// forward_pass on each worker, and finish need no GIL; result returns Python objects.
#pragma once

#include <optional>

#include "bindings/recurrent/arguments.hpp"
#include "bindings/recurrent/tape.hpp"

namespace fastrnn::bindings {

inline constexpr const char* smaller_tape =
    "use fewer sequences or fewer steps at a time, a smaller layer, or checkpoint_every";

template <class S>
class ForwardPass {
   public:
    static constexpr int forward_passes = 1;  // the work, in forward passes

    struct ForwardArguments {
        py::object x, state, lengths, reset, options;
        bool reverse = false, training = false;
        py::object segment, restart;
    };

    ForwardPass(const Packed<S>& packed, ForwardArguments given, Interrupt& interrupt)
        : packed_(packed),
          given_(std::move(given)),
          input_(expect_input<S>(packed.sizes().D, given_.x, T_, N_)),
          segment_(given_.segment, T_),
          rows_(T_, N_, given_.lengths, segment_),
          initial_(packed, given_.state, N_, "state"),
          last_(packed.sizes(), N_, false),
          y_(new_array<S>("y", {T_, N_, packed.sizes().P})) {
        if (!segment_.whole) restart_ = StateArrays<S>(packed, given_.restart, N_, "restart");
        const CellSizes& sizes = packed.sizes();
        if (given_.training && sizes.narrow && sizes.narrow->scaled)
            throw py::value_error("precision: int8 is for inference; train the layer that it was made of");
        problem_.batch =
            rows_.batch(T_, given_.reverse, optional_data<bool>(given_.reset, "reset", {{"T", T_}, {"N", N_}}));
        problem_.input = input_;
        problem_.sizes = sizes;
        problem_.options = expect_options<S>(sizes, given_.options, T_, N_, held_);
        problem_.initial = initial_.data();
        problem_.restart = segment_.whole ? initial_.data() : restart_.data();
        problem_.training = given_.training;
        problem_.interrupt = &interrupt;
        if (problem_.options.input_mask && input_.ids)
            throw py::value_error("input_dropout: expected x of floats, got ids");
        allocate();
    }

    const Packed<S>& packed() const { return packed_; }
    const ForwardProblem<S>& problem() const { return problem_; }
    // The input of the next layer.
    py::object output() const { return output_ ? *output_ : y_; }

    // `threads`: that may call run or run_link; `link_steps`: of a wave, else 0.
    void prepare(const Split& split, int threads, Index link_steps, Workspace& workspace) {
        problem_.by_units = split.by_units;
        problem_.link_steps = link_steps;
        scratch_.emplace(problem_, threads, workspace);
    }

    // What each thread of a team does.
    void run(const Worker& worker) const { packed_.forward_pass(problem_, *scratch_, worker); }
    void run_link(const Worker& worker, Index link) const { packed_.forward_link(problem_, *scratch_, worker, link); }

    // Copies the last states and clears the padding after each row's end.
    void finish() {
        const CellSizes& sizes = packed_.sizes();
        const State<S> last = last_.mutable_data();
        const SequenceArrays<S>& a = problem_.arrays;
        for (Index row = 0; row < N_; ++row) {
            const Index n = problem_.batch.order[row], length = problem_.batch.length[row];
            const Index end = length > 0 ? problem_.batch.at(length - 1, row) : n;
            const S* const h = (length > 0 ? problem_.fed_back() : problem_.initial.h) + end * sizes.P;
            std::copy(h, h + sizes.P, last.h + n * sizes.P);
            if (sizes.skip) last_outputs(row, last.past + n * sizes.skip * sizes.P);
            if (!sizes.carried || (length > 0 && !given_.training)) continue;
            const S* const c = (length > 0 ? a.c : problem_.initial.c) + end * sizes.carried;
            std::copy(c, c + sizes.carried, last.c + n * sizes.carried);
        }
        if (given_.lengths.is_none()) return;
        const RaggedBatch& batch = problem_.batch;
        clear_padding(a.y, sizes.P, batch);
        clear_padding(problem_.output, sizes.P, batch);
        if (given_.training) clear_padding(a.c, sizes.carried, batch);
        clear_padding(a.gates, sizes.tape_gates * sizes.H, batch);
        clear_padding(a.gates16, sizes.tape_gates * sizes.H, batch);
        clear_padding(a.q, sizes.H, batch);
        clear_padding(a.normed, sizes.gates * sizes.H, batch);
        clear_padding(a.scale, 2, batch);
    }

    // Returns (output, last state, tape or None). What a tape keeps is read-only.
    py::tuple result() {
        if (!given_.training) return py::make_tuple(output(), last_.tuple(), py::none());
        const auto optional = [](const auto& array) { return array ? py::object(make_read_only(*array)) : py::none(); };
        const auto shared = std::make_shared<Tape>();
        Tape& tape = *shared;
        tape.x = given_.x;
        tape.y = make_read_only(y_);
        tape.state = initial_.tuple();
        tape.lengths = given_.lengths;
        tape.reset = given_.reset;
        tape.options = given_.options;
        tape.c = optional(c_);
        tape.gates = gates16_ ? optional(gates16_) : optional(gates_);
        tape.bounded_gates = packed_.sizes().bounded_gates;
        tape.q = optional(q_);
        tape.normed = optional(normed_);
        tape.scale = optional(scale_);
        tape.segment = given_.segment;
        tape.restart = given_.restart;
        tape.reverse = given_.reverse;
        if (output_) make_read_only(*output_);
        return py::make_tuple(output(), last_.tuple(), share(shared));
    }

   private:
    void allocate() {
        const CellSizes& sizes = packed_.sizes();
        SequenceArrays<S>& a = problem_.arrays;
        const auto make = [](auto& array, const char* name, std::initializer_list<Index> shape) {
            using Number = typename std::decay_t<decltype(*array)>::value_type;
            array = new_array<Number>(name, shape, false, smaller_tape);
            return array->mutable_data();
        };
        a.y = y_.mutable_data();
        if (problem_.options.output_mask) problem_.output = make(output_, "y", {T_, N_, sizes.P});
        if (sizes.carried && !given_.training) a.c = last_.mutable_data().c;
        if (!given_.training) return;
        if (sizes.carried) a.c = make(c_, "tape.c", {T_, N_, sizes.carried});
        if (sizes.bounded_gates)
            a.gates16 = make(gates16_, "tape.gates", {T_, N_, sizes.tape_gates, sizes.H});
        else if (sizes.tape_gates)
            a.gates = make(gates_, "tape.gates", {T_, N_, sizes.tape_gates, sizes.H});
        if (sizes.projects) a.q = make(q_, "tape.q", {T_, N_, sizes.H});
        if (!sizes.normalises_recurrent) return;
        a.normed = make(normed_, "tape.normed", {T_, N_, sizes.gates * sizes.H});
        a.scale = make(scale_, "tape.scale", {T_, N_, 2});
    }

    // Copies the last `skip` outputs of a row, oldest first; if it ran fewer steps, its first state provides the
    // earlier ones.
    void last_outputs(Index row, S* to) const {
        const RaggedBatch& batch = problem_.batch;
        const Index d = packed_.sizes().skip, P = packed_.sizes().P, n = batch.order[row], length = batch.length[row];
        const Index since = length > 0 ? batch.steps_since_start(length - 1, row, length - 1) : 0;
        const Index ran = length > 0 ? std::min(since + 1, d) : 0;
        const bool restarted = length > 0 && batch.resets(length - 1 - since, row);
        const S* const before = (restarted ? problem_.restart.past : problem_.initial.past) + n * d * P;
        for (Index k = 1; k <= d; ++k) {
            const S* const from =
                k <= ran ? problem_.arrays.y + batch.at(length - k, row) * P : before + (d - (k - ran)) * P;
            std::copy(from, from + P, to + (d - k) * P);
        }
    }

    const Packed<S>& packed_;
    const ForwardArguments given_;
    Held held_;
    Index T_ = 0, N_ = 0;
    const Input<S> input_;
    const Segment segment_;
    const SortedRows rows_;
    const StateArrays<S> initial_;
    StateArrays<S> restart_, last_;
    Array<S> y_;
    std::optional<Array<S>> output_, c_, gates_, q_, normed_, scale_;
    std::optional<Array<std::uint16_t>> gates16_;
    ForwardProblem<S> problem_;
    std::optional<ForwardScratch<S>> scratch_;
};

}  // namespace fastrnn::bindings
