// The linear-chain conditional random field.
#include <algorithm>
#include <cmath>

#include "bindings/python/arrays.hpp"
#include "bindings/python/released_gil.hpp"
#include "bindings/python/thread_pool.hpp"
#include "kernels/lattice/crf_passes.hpp"

namespace fastrnn::bindings {
namespace {

// A score is a number, or -inf where a tag or transition is forbidden.
template <class S>
const S* expect_scores(py::handle value, const char* name, Shape shape) {
    const auto array = expect<S>(value, name, shape);
    for (Index i = 0; i < array.size(); ++i)
        if (std::isnan(array.data()[i]) || array.data()[i] == std::numeric_limits<S>::infinity())
            throw py::value_error(std::string(name) + ": expected finite numbers, or -inf where forbidden, got " +
                                  std::to_string(array.data()[i]) + " at position " + std::to_string(i));
    return array.data();
}

// A problem with its checked arrays. The arrays of floats must outlive it.
template <class S>
struct CrfCall {
    CrfProblem<S> p;
    Array<std::int64_t> lengths;
    std::vector<CrfFault> faults;
    SignalInterrupt interrupt;

    CrfCall(py::handle emissions, py::handle transitions, py::handle start, py::handle end, py::object given_lengths) {
        const auto rows = expect<S>(emissions, "emissions", {{"T", any}, {"N", any}, {"K", any}});
        p.T = rows.shape(0), p.N = rows.shape(1), p.K = rows.shape(2);
        if (p.K < 1) throw py::value_error("emissions: expected [T, N, K] with K >= 1, got " + describe(rows));
        p.emissions = rows.data();
        p.transitions = expect_scores<S>(transitions, "transitions", {{"K", p.K}, {"K", p.K}});
        p.start = expect_scores<S>(start, "start", {{"K", p.K}});
        p.end = expect_scores<S>(end, "end", {{"K", p.K}});
        lengths = expect<std::int64_t>(private_copy<std::int64_t>(std::move(given_lengths), "lengths"), "lengths",
                                       {{"N", p.N}});
        p.lengths = lengths.data();
        for (Index n = 0; n < p.N; ++n)
            if (p.lengths[n] < 0 || p.lengths[n] > p.T)
                throw py::value_error("lengths: expected 0 .. " + std::to_string(p.T) + ", got " +
                                      std::to_string(p.lengths[n]) + " at position " + std::to_string(n));
        faults.resize(std::size_t(p.N));
        p.faults = faults.data();
        p.interrupt = &interrupt;
    }

    // Throws what a signal handler raised, or what is wrong with the first row that has a fault.
    void finish(const std::int64_t* targets = nullptr) const {
        interrupt.finish();
        for (Index n = 0; n < p.N; ++n)
            if (faults[std::size_t(n)].kind != CrfFault::none) refuse(n, faults[std::size_t(n)], targets);
    }

   private:
    [[noreturn]] void refuse(Index n, const CrfFault& fault, const std::int64_t* targets) const {
        const std::string row = " of sequence " + std::to_string(n);
        if (fault.kind == CrfFault::not_finite) {
            const S* const e = p.emissions + (fault.step * p.N + n) * p.K;
            const S* const bad = std::find_if(e, e + p.K, [](S x) { return !std::isfinite(x); });
            throw py::value_error("emissions: expected finite numbers, got " +
                                  std::to_string(bad < e + p.K ? *bad : S(0)) + " at step " +
                                  std::to_string(fault.step) + row);
        }
        if (fault.kind == CrfFault::forbidden) {
            const auto tag = [&](Index t) { return std::to_string(targets[t * p.N + n]); };
            const Index t = fault.step;
            const std::string what = t == 0              ? "tag " + tag(0) + " first"
                                     : t == p.lengths[n] ? "tag " + tag(t - 1) + " last"
                                                         : "tag " + tag(t) + " after tag " + tag(t - 1);
            throw py::value_error("targets: expected allowed tags, got " + what + " at step " +
                                  std::to_string(std::min<Index>(t, Index(p.lengths[n]) - 1)) + row);
        }
        throw py::value_error(std::string(targets ? "targets" : "emissions") + ": no allowed path has the " +
                              std::to_string(p.lengths[n]) + " steps" + row);
    }
};

template <class S>
py::tuple crf_loss(py::object emissions, py::object transitions, py::object start, py::object end, py::object targets,
                   py::object lengths, double scale, bool need, py::object dtransitions, py::object dstart,
                   py::object dend) {
    CrfCall<S> call(emissions, transitions, start, end, std::move(lengths));
    const CrfProblem<S>& p = call.p;
    const auto ids = expect<std::int64_t>(private_copy<std::int64_t>(std::move(targets), "targets"), "targets",
                                          {{"T", p.T}, {"N", p.N}});
    for (Index t = 0; t < p.T; ++t)
        for (Index n = 0; n < p.N; ++n)
            if (t < p.lengths[n] && (ids.data()[t * p.N + n] < -1 || ids.data()[t * p.N + n] >= p.K))
                throw py::value_error("targets: expected tags in 0 .. " + std::to_string(p.K - 1) +
                                      " (-1: unknown), got " + std::to_string(ids.data()[t * p.N + n]) + " at step " +
                                      std::to_string(t) + " of sequence " + std::to_string(n));
    if (dtransitions.is_none() != dstart.is_none() || dstart.is_none() != dend.is_none())
        throw py::value_error("dtransitions, dstart, dend: expected all three or none");
    if (!dtransitions.is_none() && !need)
        throw py::value_error("need: expected True with gradients to add to, got False");
    auto losses = new_array<S>("losses", {p.N});
    auto demissions = need ? new_array<S>("demissions", {p.T, p.N, p.K}) : Array<S>();
    CrfLosses<S> d;
    d.targets = ids.data();
    d.scale = S(scale);
    d.losses = losses.mutable_data();
    d.demissions = need ? demissions.mutable_data() : nullptr;
    d.dtransitions = optional_writable<S>(dtransitions, "dtransitions", {{"K", p.K}, {"K", p.K}});
    d.dstart = optional_writable<S>(dstart, "dstart", {{"K", p.K}});
    d.dend = optional_writable<S>(dend, "dend", {{"K", p.K}});
    {
        const ReleasedGil release;
        fastrnn::crf_losses(p, d, available_threads(), fresh_workspace());
    }
    call.finish(ids.data());
    return py::make_tuple(losses, need ? py::object(std::move(demissions)) : py::none());
}

template <class S>
py::tuple crf_marginals(py::object emissions, py::object transitions, py::object start, py::object end,
                        py::object lengths) {
    CrfCall<S> call(emissions, transitions, start, end, std::move(lengths));
    const CrfProblem<S>& p = call.p;
    auto marginals = new_array<S>("marginals", {p.T, p.N, p.K});
    auto log_partition = new_array<S>("log_partition", {p.N});
    S *const m = marginals.mutable_data(), *const z = log_partition.mutable_data();
    {
        const ReleasedGil release;
        fastrnn::crf_marginals(p, m, z, available_threads(), fresh_workspace());
    }
    call.finish();
    return py::make_tuple(marginals, log_partition);
}

template <class S>
py::tuple crf_viterbi(py::object emissions, py::object transitions, py::object start, py::object end,
                      py::object lengths) {
    CrfCall<S> call(emissions, transitions, start, end, std::move(lengths));
    const CrfProblem<S>& p = call.p;
    auto paths = new_array<std::int64_t>("paths", {p.T, p.N});
    auto scores = new_array<S>("scores", {p.N});
    std::int64_t* const path = paths.mutable_data();
    S* const score = scores.mutable_data();
    {
        const ReleasedGil release;
        fastrnn::crf_viterbi(p, path, score, available_threads(), fresh_workspace());
    }
    call.finish();
    return py::make_tuple(paths, scores);
}

}  // namespace

void register_crf(py::module_& m) {
    m.def(
        "crf_loss",
        [](py::object emissions, py::object transitions, py::object start, py::object end, py::object targets,
           py::object lengths, double scale, bool need, py::object dtransitions, py::object dstart, py::object dend) {
            const auto run = is_double(emissions) ? crf_loss<double> : crf_loss<float>;
            return run(emissions, transitions, start, end, targets, lengths, scale, need, dtransitions, dstart, dend);
        },
        py::arg("emissions"), py::arg("transitions"), py::arg("start"), py::arg("end"), py::arg("targets"),
        py::arg("lengths"), py::arg("scale"), py::arg("need"), py::arg("dtransitions") = py::none(),
        py::arg("dstart") = py::none(), py::arg("dend") = py::none(),
        "Return losses [N] in nats, and demissions [T, N, K] or None; add to the gradients of the parameters.");
    m.def(
        "crf_marginals",
        [](py::object emissions, py::object transitions, py::object start, py::object end, py::object lengths) {
            const auto run = is_double(emissions) ? crf_marginals<double> : crf_marginals<float>;
            return run(emissions, transitions, start, end, lengths);
        },
        py::arg("emissions"), py::arg("transitions"), py::arg("start"), py::arg("end"), py::arg("lengths"),
        "Return the probabilities of the tags [T, N, K] and the log partition [N].");
    m.def(
        "crf_viterbi",
        [](py::object emissions, py::object transitions, py::object start, py::object end, py::object lengths) {
            const auto run = is_double(emissions) ? crf_viterbi<double> : crf_viterbi<float>;
            return run(emissions, transitions, start, end, lengths);
        },
        py::arg("emissions"), py::arg("transitions"), py::arg("start"), py::arg("end"), py::arg("lengths"),
        "Return the best paths [T, N], -1 after their ends, and their scores [N].");
}

}  // namespace fastrnn::bindings
