// One layer and direction over a sequence, forward and back: check and allocate (the constructor), then without the
// GIL prepare, run on each worker and finish, then give the result.
#pragma once

#include <optional>

#include "bindings/recurrent/arguments.hpp"

namespace fastrnn::bindings {

template <class S>
class ForwardPass {
   public:
    static constexpr int forward_passes = 1;  // the work, in forward passes

    struct Given {
        py::object x, state, lengths, reset;
        bool reverse, training;
        py::object segment = py::none();
    };

    ForwardPass(const Panels<S>& panels, Given given, Interrupt& interrupt)
        : panels_(panels),
          given_(std::move(given)),
          input_(expect_input(panels, given_.x, T_, N_)),
          initial_(expect_state(panels, given_.state, N_, "state", "state[1]")),
          part_(given_.segment, T_),
          restart_(part_.whole ? initial_ : expect_state(panels, part_.restart, N_, "restart", "restart[1]")),
          rows_(T_, N_, given_.lengths, part_),
          y_(new_array<S>("y", {T_, N_, panels.H})) {
        const Index H = panels.H, width = panels.tape_width();
        const bool has_c = panels.states() == 2, has_gates = given_.training && width > 0;
        for (int i = 0; i < panels.states(); ++i) last_.push_back(new_array<S>("state", {N_, H}));
        if (has_c) c_ = given_.training ? new_array<S>("c", {T_, N_, H}) : last_[1];
        if (has_gates) gates_ = new_array<S>("gates", {T_, N_, width / H, H});
        problem_ = {rows_.batch(T_, given_.reverse, optional_data<bool>(given_.reset, "reset", {{"T", T_}, {"N", N_}})),
                    input_,
                    H,
                    panels.gx_width(),
                    width,
                    initial_[0].data(),
                    has_c ? initial_[1].data() : nullptr,
                    restart_[0].data(),
                    has_c ? restart_[1].data() : nullptr,
                    y_.mutable_data(),
                    has_c ? c_->mutable_data() : nullptr,
                    has_gates ? gates_->mutable_data() : nullptr,
                    given_.training,
                    &interrupt};
    }

    const Panels<S>& panels() const { return panels_; }
    const Batch& batch() const { return problem_.batch; }
    py::object y() const { return y_; }

    void prepare(const Split& split, Wave wave, Workspace& workspace) {
        problem_.by_units = split.by_units;
        problem_.wave = wave;
        scratch_.emplace(problem_, split.threads, workspace);
    }

    void run(const Worker& worker) const { panels_.forward(problem_, *scratch_, worker); }

    // The last states, and zeros behind the rows' ends.
    void finish() {
        const Batch& batch = problem_.batch;
        const Index H = panels_.H;
        const bool has_c = panels_.states() == 2;
        for (Index row = 0; row < N_; ++row) {
            const Index n = batch.order[row];
            const bool ran = batch.length[row] > 0;
            const Index end = ran ? batch.at(batch.length[row] - 1, row) : n;
            const S* const h = (ran ? problem_.y : problem_.h0) + end * H;
            std::copy(h, h + H, last_[0].mutable_data() + n * H);
            if (!has_c || (ran && !given_.training)) continue;
            const S* const c = (ran ? problem_.c : problem_.c0) + end * H;
            std::copy(c, c + H, last_[1].mutable_data() + n * H);
        }
        if (given_.lengths.is_none()) return;
        clear_padding(problem_.y, H, batch);
        if (has_c && given_.training) clear_padding(problem_.c, H, batch);
        if (gates_) clear_padding(problem_.gates, problem_.tape_width, batch);
    }

    // (y, last state, tape or None)
    py::tuple result() const {
        py::object tape = py::none();
        const auto optional = [](const auto& array) { return array ? py::object(*array) : py::none(); };
        if (given_.training)
            tape = py::cast(Tape{given_.x, y_, as_tuple(initial_), given_.lengths, given_.reset, optional(c_),
                                 optional(gates_), given_.segment, given_.reverse});
        return py::make_tuple(y_, as_tuple(last_), tape);
    }

   private:
    const Panels<S>& panels_;
    const Given given_;
    Index T_, N_;
    const Input<S> input_;
    const std::vector<Array<S>> initial_;
    const Segment part_;
    const std::vector<Array<S>> restart_;
    const Rows rows_;
    Array<S> y_;
    std::vector<Array<S>> last_;
    std::optional<Array<S>> c_, gates_;
    ForwardProblem<S> problem_;
    std::optional<ForwardScratch<S>> scratch_;
};

template <class S>
class BackwardPass {
   public:
    static constexpr int forward_passes = 2;

    // Of dy [T, N, directions * H] the columns of one direction are read.
    struct Given {
        py::object dy, dstate_n;
        py::tuple gradients;
        bool need_dx;
        py::object drestart = py::none();
        int direction = 0, directions = 1;
    };

    BackwardPass(Panels<S>& panels, const Tape& tape, const Given& given, Interrupt& interrupt)
        : panels_(panels),
          tape_(tape),
          input_(expect_input(panels, tape.x, T_, N_)),
          initial_(expect_state(panels, tape.state, N_, "state", "state[1]")),
          part_(tape.segment, T_),
          restart_(part_.whole ? initial_ : expect_state(panels, part_.restart, N_, "restart", "restart[1]")),
          rows_(T_, N_, tape.lengths, part_),
          dlast_(expect_state(panels, given.dstate_n, N_, "dstate", "dstate[1]")),
          dy_(expect_dy(given)) {
        const Index D = panels.D, H = panels.H, width = given.directions * H, weights = panels.gates() * H;
        const bool has_c = panels.states() == 2, has_gates = panels.tape_width() > 0;
        const bool* const reset = optional_data<bool>(tape.reset, "reset", {{"T", T_}, {"N", N_}});
        if (given.drestart.is_none() && part_.first > 0 && reset)
            throw py::value_error("drestart: expected arrays to add to, got None for a segment with resets");
        if (!given.drestart.is_none()) dreset_ = expect_state(panels, given.drestart, N_, "drestart", "drestart[1]");
        for (Array<S>& array : dreset_) expect_writable<S>(array, "drestart", {{"N", N_}, {"H", H}});
        if (given.gradients.size() != 4)
            throw py::type_error("gradients: expected (dweight_ih, dweight_hh, dbias_ih or None, dbias_hh or None)");
        if (given.need_dx && input_.x) dx_ = new_array<S>("dx", {T_, N_, D});
        for (int i = 0; i < panels.states(); ++i) dfirst_.push_back(new_array<S>("dstate", {N_, H}));
        problem_ = {rows_.batch(T_, tape.reverse, reset),
                    input_,
                    H,
                    panels.tape_width(),
                    panels.dgates_width(),
                    initial_[0].data(),
                    has_c ? initial_[1].data() : nullptr,
                    restart_[0].data(),
                    has_c ? restart_[1].data() : nullptr,
                    expect<S>(tape.y, "tape.y", {{"T", T_}, {"N", N_}, {"H", H}}).data(),
                    has_c ? expect<S>(tape.c, "tape.c", {{"T", T_}, {"N", N_}, {"H", H}}).data() : nullptr,
                    has_gates ? expect<S>(tape.gates, "tape.gates",
                                          {{"T", T_}, {"N", N_}, {"Q", panels.tape_width() / H}, {"H", H}})
                                    .data()
                              : nullptr,
                    dy_.data() + given.direction * H,
                    dlast_[0].data(),
                    has_c ? dlast_[1].data() : nullptr,
                    width,
                    dx_ ? dx_->mutable_data() : nullptr,
                    dfirst_[0].mutable_data(),
                    has_c ? dfirst_[1].mutable_data() : nullptr,
                    dreset_.empty() ? nullptr : dreset_[0].mutable_data(),
                    dreset_.size() < 2 ? nullptr : dreset_[1].mutable_data(),
                    part_.first > 0,
                    expect_writable<S>(given.gradients[0], "dweight_ih", {{"G*H", weights}, {"D", D}}),
                    expect_writable<S>(given.gradients[1], "dweight_hh", {{"G*H", weights}, {"H", H}}),
                    optional_writable<S>(given.gradients[2], "dbias_ih", {{"G*H", weights}}),
                    optional_writable<S>(given.gradients[3], "dbias_hh", {{"G*H", weights}}),
                    &interrupt};
        if ((problem_.dbias_ih == nullptr) != (problem_.dbias_hh == nullptr))
            throw py::value_error("gradients: expected dbias_ih and dbias_hh both, or neither");
    }

    const Panels<S>& panels() const { return panels_; }
    const Batch& batch() const { return problem_.batch; }
    py::object dx() const { return dx_ ? py::object(*dx_) : py::none(); }

    void prepare(const Split& split, Wave wave, Workspace& workspace) {
        panels_.prepare_backward();
        problem_.by_units = split.by_units;
        problem_.wave = wave;
        scratch_.emplace(problem_, panels_.needs_rh(), split.threads, workspace);
    }

    void run(const Worker& worker) const { panels_.backward(problem_, *scratch_, worker); }

    void finish() {
        if (dx_ && !tape_.lengths.is_none()) clear_padding(problem_.dx, panels_.D, problem_.batch);
    }

    // (dx or None, gradient of the first state)
    py::tuple result() const { return py::make_tuple(dx(), as_tuple(dfirst_)); }

   private:
    // Zeros where None.
    Array<S> expect_dy(const Given& given) const {
        const Index width = given.directions * panels_.H;
        if (given.dy.is_none()) return new_array<S>("dy", {T_, N_, width}, true);
        return expect<S>(given.dy, "dy", {{"T", T_}, {"N", N_}, {"H", width}});
    }

    Panels<S>& panels_;
    const Tape& tape_;
    Index T_, N_;
    const Input<S> input_;
    const std::vector<Array<S>> initial_;
    const Segment part_;
    const std::vector<Array<S>> restart_;
    const Rows rows_;
    const std::vector<Array<S>> dlast_;
    const Array<S> dy_;
    std::vector<Array<S>> dreset_, dfirst_;
    std::optional<Array<S>> dx_;
    BackwardProblem<S> problem_;
    std::optional<BackwardScratch<S>> scratch_;
};

}  // namespace fastrnn::bindings
