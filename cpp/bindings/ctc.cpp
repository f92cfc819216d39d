// Connectionist temporal classification: the loss of unaligned labels, and the likeliest alignment.
#include "kernels/lattice/ctc.hpp"

#include "bindings/python/arrays.hpp"
#include "bindings/python/released_gil.hpp"
#include "bindings/python/thread_pool.hpp"
#include "kernels/lattice/ctc_alignment.hpp"

namespace fastrnn::bindings {
namespace {

// The targets and lengths of a batch: private copies, checked. Must outlive what `rows` returns.
class Targets {
   public:
    // With logits [T, N, V]. Unless `may_fail`, a target that does not fit its row's frames is an error, whose message
    // ends with the advice.
    Targets(const py::array& logits, py::object targets, py::object target_lengths, py::object lengths,
            std::int64_t blank, bool may_fail, const char* advice)
        : blank_(blank) {
        const Index T = logits.shape(0), N = logits.shape(1), V = logits.shape(2);
        if (V < 1) throw py::value_error("logits: expected [T, N, V] with V >= 1, got " + describe(logits));
        if (blank < 0 || blank >= V)
            throw py::value_error("blank: expected 0 .. " + std::to_string(V - 1) + ", got " + std::to_string(blank));
        ids_ = expect_ids(std::move(targets), "targets", {{"symbols", any}}, V);
        symbols_ = counts(std::move(target_lengths), "target_lengths", N, ids_.size());
        frames_ =
            lengths.is_none() ? std::vector<Index>(std::size_t(N), T) : counts(std::move(lengths), "lengths", N, T);
        Index total = 0;
        for (const Index count : symbols_) {
            offsets_.push_back(total);
            total += count;  // cannot overflow: each is at most the number of ids, and N is that of an array
            if (total > ids_.size()) break;
        }
        if (total != ids_.size())
            throw py::value_error("targets: expected the sum of target_lengths, got " + std::to_string(ids_.size()));
        for (Index n = 0; n < N; ++n) check_row(n, may_fail, advice);
    }

    CtcRows rows() const { return {ids_.data(), offsets_.data(), symbols_.data(), frames_.data(), blank_}; }

   private:
    static std::vector<Index> counts(py::object value, const char* name, Index N, Index most) {
        const auto own = expect<std::int64_t>(private_copy<std::int64_t>(std::move(value), name), name, {{"N", N}});
        std::vector<Index> result(own.data(), own.data() + N);
        for (std::size_t n = 0; n < result.size(); ++n)
            if (result[n] < 0 || result[n] > most)
                throw py::value_error(std::string(name) + ": expected 0 .. " + std::to_string(most) + ", got " +
                                      std::to_string(result[n]) + " at position " + std::to_string(n));
        return result;
    }

    void check_row(Index n, bool may_fail, const char* advice) const {
        const std::size_t row = std::size_t(n);
        const std::int64_t* target = ids_.data() + offsets_[row];
        const std::string name = "targets: row " + std::to_string(n);
        for (Index i = 0; i < symbols_[row]; ++i)
            if (target[i] < 0 || target[i] == blank_)
                throw py::value_error(name + ": expected symbols, got " +
                                      (target[i] < 0 ? "-1" : "the blank, " + std::to_string(blank_) + ",") +
                                      " at position " + std::to_string(i));
        const Index needed = ctc_frames_needed(target, symbols_[row]);
        if (may_fail || needed <= frames_[row]) return;
        const auto plural = [](Index count, const char* word) {
            return std::to_string(count) + " " + word + (count == 1 ? "" : "s");
        };
        const std::string repeats = needed > symbols_[row] ? " (one more where a symbol is repeated)" : "";
        throw py::value_error(name + " has " + plural(symbols_[row], "symbol") + ", which " +
                              (symbols_[row] == 1 ? "needs " : "need ") + plural(needed, "frame") + repeats + ", got " +
                              std::to_string(frames_[row]) + advice);
    }

    std::int64_t blank_;
    Array<std::int64_t> ids_;
    std::vector<Index> symbols_, frames_, offsets_;
};

template <class S>
py::tuple ctc_loss(py::object logits, py::object targets, py::object target_lengths, py::object lengths,
                   std::int64_t blank, bool zero_infinity, py::object scales) {
    const auto frames = expect<S>(logits, "logits", {{"T", any}, {"N", any}, {"V", any}});
    const Targets checked(frames, targets, target_lengths, lengths, blank, zero_infinity,
                          "; leave the row out, or ignore its loss with zero_infinity=True");
    CtcProblem<S> p;
    p.T = frames.shape(0), p.N = frames.shape(1), p.V = frames.shape(2);
    p.rows = checked.rows();
    p.logits = frames.data();
    p.scales = optional_data<S>(scales, "scales", {{"N", p.N}});
    p.zero_infinity = zero_infinity;
    auto losses = new_array<S>("losses", {p.N});
    auto dlogits = new_array<S>("dlogits", {p.T, p.N, p.V});
    p.losses = losses.mutable_data(), p.dlogits = dlogits.mutable_data();
    SignalInterrupt interrupt;
    p.interrupt = &interrupt;
    {
        const ReleasedGil release;
        fastrnn::ctc_loss(p, available_threads(), fresh_workspace());
    }
    interrupt.finish();
    return py::make_tuple(losses, dlogits);
}

template <class S>
py::tuple ctc_align(py::object logits, py::object targets, py::object target_lengths, py::object lengths,
                    std::int64_t blank) {
    const auto frames = expect<S>(logits, "logits", {{"T", any}, {"N", any}, {"V", any}});
    const Targets checked(frames, targets, target_lengths, lengths, blank, false, "");
    CtcAlignmentProblem<S> p;
    p.T = frames.shape(0), p.N = frames.shape(1), p.V = frames.shape(2);
    p.rows = checked.rows();
    p.logits = frames.data();
    auto positions = new_array<std::int64_t>("positions", {p.T, p.N});
    auto log_probabilities = new_array<double>("log_probabilities", {p.N});
    p.positions = positions.mutable_data(), p.log_probabilities = log_probabilities.mutable_data();
    SignalInterrupt interrupt;
    p.interrupt = &interrupt;
    {
        const ReleasedGil release;
        fastrnn::ctc_align(p, available_threads(), fresh_workspace());
    }
    interrupt.finish();
    return py::make_tuple(positions, log_probabilities);
}

}  // namespace

void register_ctc(py::module_& m) {
    m.def(
        "ctc_loss",
        [](py::object logits, py::object targets, py::object target_lengths, py::object lengths, std::int64_t blank,
           bool zero_infinity, py::object scales) {
            const auto run = is_double(logits) ? ctc_loss<double> : ctc_loss<float>;
            return run(logits, targets, target_lengths, lengths, blank, zero_infinity, scales);
        },
        py::arg("logits"), py::arg("targets"), py::arg("target_lengths"), py::arg("lengths"), py::arg("blank"),
        py::arg("zero_infinity"), py::arg("scales"),
        "Return losses [N] in nats, and the gradient of their sum, each times its scale, [T, N, V].");
    m.def(
        "ctc_align",
        [](py::object logits, py::object targets, py::object target_lengths, py::object lengths, std::int64_t blank) {
            const auto run = is_double(logits) ? ctc_align<double> : ctc_align<float>;
            return run(logits, targets, target_lengths, lengths, blank);
        },
        py::arg("logits"), py::arg("targets"), py::arg("target_lengths"), py::arg("lengths"), py::arg("blank"),
        "Return the position in its target of each frame's symbol, -1 for the blank, [T, N]; and log p of each path.");
}

}  // namespace fastrnn::bindings
