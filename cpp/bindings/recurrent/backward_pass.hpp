// Backpropagation through one layer and direction, in the same four parts as a forward pass.
#pragma once

#include <optional>

#include "bindings/recurrent/arguments.hpp"
#include "bindings/recurrent/tape.hpp"

namespace fastrnn::bindings {

template <class S>
class BackwardPass {
   public:
    static constexpr int forward_passes = 2;  // the work, in forward passes

    // Of dy [T, N, directions * P], only the columns of `direction` are read.
    struct BackwardArguments {
        py::object dy, dlast, gradients;
        bool need_dx = false;
        py::object drestart, dstates;
        int direction = 0, directions = 1;
    };

    BackwardPass(Packed<S>& packed, const Tape& tape, const BackwardArguments& given, Interrupt& interrupt)
        : packed_(packed),
          tape_(tape),
          input_(expect_input<S>(packed.sizes().D, tape.x, T_, N_)),
          segment_(tape.segment, T_),
          rows_(T_, N_, tape.lengths, segment_),
          initial_(packed, tape.state, N_, "state"),
          dlast_(packed, given.dlast, N_, "dstate"),
          dinitial_(packed.sizes(), N_, packed.sizes().skip > 0),
          dy_(expect_dy(given)) {
        const CellSizes& sizes = packed.sizes();
        if (sizes.narrow && sizes.narrow->scaled)
            throw py::value_error("precision: expected 'float32' or 'bfloat16' for gradients, got 'int8'");
        const bool* const reset = optional_data<bool>(tape.reset, "reset", {{"T", T_}, {"N", N_}});
        if (!segment_.whole) restart_ = StateArrays<S>(packed, tape.restart, N_, "restart");
        if (given.drestart.is_none() && segment_.first > 0 && reset)
            throw py::value_error("drestart: expected arrays to add to, got None for a segment with resets");
        if (!given.drestart.is_none()) drestart_ = StateArrays<S>(packed, given.drestart, N_, "drestart");
        if (given.need_dx && input_.x) dx_ = new_array<S>("dx", {T_, N_, sizes.D});
        problem_.batch = rows_.batch(T_, tape.reverse, reset);
        problem_.input = input_;
        problem_.sizes = sizes;
        problem_.options = expect_options<S>(sizes, tape.options, T_, N_, held_);
        problem_.initial = initial_.data();
        problem_.restart = segment_.whole ? initial_.data() : restart_.data();
        problem_.dy = dy_.data() + given.direction * sizes.P;
        problem_.dy_stride = given.directions * sizes.P;
        problem_.dlast = dlast_.data();
        problem_.dx = dx_ ? dx_->mutable_data() : nullptr;
        problem_.dinitial = dinitial_.mutable_data();
        problem_.drestart = drestart_.mutable_data("drestart");
        problem_.resumed = segment_.first > 0;
        problem_.dstates = expect_dstates(given.dstates);
        problem_.interrupt = &interrupt;
        read_tape();
        expect_gradients(given.gradients);
        expect_sums(given.gradients);
    }

    const Packed<S>& packed() const { return packed_; }
    const BackwardProblem<S>& problem() const { return problem_; }
    py::object dx() const { return dx_ ? py::object(*dx_) : py::none(); }

    // `threads`: that may call run or run_link; `link_steps`: of a wave, else 0.
    void prepare(const Split& split, int threads, Index link_steps, Workspace& workspace) {
        packed_.prepare_backward();
        problem_.by_units = split.by_units;
        problem_.link_steps = link_steps;
        scratch_.emplace(problem_, threads, workspace);
    }

    // What each thread of a team does.
    void run(const Worker& worker) const { packed_.backward_pass(problem_, *scratch_, worker); }
    void run_link(const Worker& worker, Index link) const { packed_.backward_link(problem_, *scratch_, worker, link); }

    void finish() {
        clear_padding(problem_.dstates.h, packed_.sizes().P, problem_.batch);
        clear_padding(problem_.dstates.c, packed_.sizes().carried, problem_.batch);
        if (problem_.batch.tokens() == 0) return pass_through();
        if (dx_ && !tape_.lengths.is_none()) clear_padding(problem_.dx, packed_.sizes().D, problem_.batch);
    }

    // Returns (dx or None, gradient of the first state).
    py::tuple result() const { return py::make_tuple(dx(), dinitial_.tuple()); }

   private:
    // Without a step, the gradient of the last state is that of the first.
    void pass_through() {
        const CellSizes& sizes = packed_.sizes();
        const State<const S> from = dlast_.data();
        const State<S> to = dinitial_.mutable_data();
        std::copy(from.h, from.h + N_ * sizes.P, to.h);
        if (sizes.carried) std::copy(from.c, from.c + N_ * sizes.carried, to.c);
        if (sizes.skip) std::copy(from.past, from.past + N_ * sizes.skip * sizes.P, to.past);
        if (dx_) std::fill(problem_.dx, problem_.dx + T_ * N_ * sizes.D, S(0));
    }

    // None stands for zeros.
    Array<S> expect_dy(const BackwardArguments& given) const {
        const Index width = given.directions * packed_.sizes().P;
        if (given.dy.is_none()) return new_array<S>("dy", {T_, N_, width}, true);
        return expect<S>(given.dy, "dy", {{"T", T_}, {"N", N_}, {"H", width}});
    }

    // Checks the arrays for the gradients of every h and, where there is one, every c.
    State<S> expect_dstates(py::handle given) {
        const CellSizes& sizes = packed_.sizes();
        State<S> dstates;
        if (given.is_none()) return dstates;
        const std::size_t count = sizes.carried ? 2 : 1;
        if (!py::isinstance<py::tuple>(given) || py::len(given) != count)
            throw py::type_error("state_gradients: expected a tuple of " + std::to_string(count) + " arrays for " +
                                 packed_.cell());
        const auto take = [&](std::size_t i, Index width) {
            held_.push_back(given[py::int_(i)]);
            return expect_writable<S>(held_.back(), "state_gradients", {{"T", T_}, {"N", N_}, {"width", width}});
        };
        dstates.h = take(0, sizes.P);
        if (sizes.carried) dstates.c = take(1, sizes.carried);
        return dstates;
    }

    void read_tape() {
        const CellSizes& sizes = packed_.sizes();
        const Index H = sizes.H;
        SequenceArrays<const S>& a = problem_.tape;
        a.y = expect<S>(tape_.y, "tape.y", {{"T", T_}, {"N", N_}, {"H", sizes.P}}).data();
        if (sizes.carried) a.c = expect<S>(tape_.c, "tape.c", {{"T", T_}, {"N", N_}, {"H", sizes.carried}}).data();
        const Shape gates{{"T", T_}, {"N", N_}, {"Q", sizes.tape_gates}, {"H", H}};
        if (sizes.bounded_gates)
            a.gates16 = expect<std::uint16_t>(tape_.gates, "tape.gates", gates).data();
        else if (sizes.tape_gates)
            a.gates = expect<S>(tape_.gates, "tape.gates", gates).data();
        if (sizes.projects) a.q = expect<S>(tape_.q, "tape.q", {{"T", T_}, {"N", N_}, {"H", H}}).data();
        if (!sizes.normalises_recurrent) return;
        a.normed = expect<S>(tape_.normed, "tape.normed", {{"T", T_}, {"N", N_}, {"G*H", sizes.gates * H}}).data();
        a.scale = expect<S>(tape_.scale, "tape.scale", {{"T", T_}, {"N", N_}, {"2", 2}}).data();
    }

    // Checks the arrays to add to, by parameter name. Both biases may be missing or None.
    void expect_gradients(py::handle given) {
        if (!py::isinstance<py::dict>(given))
            throw py::type_error("gradients: expected a dict of arrays, got " + type_name(given));
        const auto gradients = py::reinterpret_borrow<py::dict>(given);
        ParameterGradients<S>& d = problem_.d;
        for (const Parameter<S>& one : packed_.parameters()) {
            const py::handle array = PyDict_GetItemWithError(gradients.ptr(), one.key.ptr());
            if (PyErr_Occurred()) throw py::error_already_set();
            if (!array || array.is_none()) {
                if (one.is_bias()) continue;
                throw py::type_error(std::string("gradients: expected ") + one.name() + ", got none");
            }
            const Axis rows{"rows", one.rows}, columns{"columns", one.columns};
            held_.push_back(py::reinterpret_borrow<py::object>(array));
            d.*one.gradient = one.columns ? expect_writable<S>(array, one.gradient_name, {rows, columns})
                                          : expect_writable<S>(array, one.gradient_name, {rows});
        }
        if ((d.bias_ih == nullptr) != (d.bias_hh == nullptr) && packed_.sizes().recurrent_weights)
            throw py::value_error("gradients: expected both bias_ih and bias_hh, or neither");
        const Index C = packed_.sizes().context;
        if (!C || !gradients.contains("context")) return;
        held_.push_back(gradients["context"]);
        const py::handle context = held_.back();
        d.context = problem_.options.each_context
                        ? expect_writable<S>(context, "dcontext", {{"T", T_}, {"N", N_}, {"C", C}})
                        : expect_writable<S>(context, "dcontext", {{"N", N_}, {"C", C}});
    }

    // Checks the sums that segments of a pass share, next to the gradients.
    void expect_sums(const py::dict& gradients) {
        const CellSizes& sizes = packed_.sizes();
        if (gradients.contains("leak_sum")) {
            held_.push_back(gradients["leak_sum"]);
            problem_.sums.leak = expect_writable<S>(held_.back(), "leak_sum", {{"H", sizes.H}});
        }
        if (gradients.contains("context_sum")) {
            held_.push_back(gradients["context_sum"]);
            problem_.sums.context =
                expect_writable<S>(held_.back(), "context_sum", {{"N", N_}, {"G*H", sizes.gates * sizes.H}});
        }
    }

    Packed<S>& packed_;
    const Tape& tape_;
    Held held_;
    Index T_ = 0, N_ = 0;
    const Input<S> input_;
    const Segment segment_;
    const SortedRows rows_;
    const StateArrays<S> initial_, dlast_;
    StateArrays<S> dinitial_, restart_, drestart_;
    const Array<S> dy_;
    std::optional<Array<S>> dx_;
    BackwardProblem<S> problem_;
    std::optional<BackwardScratch<S>> scratch_;
};

}  // namespace fastrnn::bindings
