// Attention over the steps of a sequence.
#include "kernels/dense/attention.hpp"

#include "bindings/python/arrays.hpp"
#include "bindings/python/released_gil.hpp"
#include "bindings/python/thread_pool.hpp"

namespace fastrnn::bindings {
namespace {

// Returns a private copy of integers in 0 .. limit-1.
Array<std::int64_t> expect_in(const char* name, py::object value, Index count, Index limit) {
    auto ids = expect<std::int64_t>(private_copy<std::int64_t>(std::move(value), name), name, {{"N", count}});
    for (Index i = 0; i < ids.size(); ++i)
        if (ids.data()[i] < 0 || ids.data()[i] >= limit)
            throw py::value_error(std::string(name) + ": expected 0 .. " + std::to_string(limit - 1) + ", got " +
                                  std::to_string(ids.data()[i]) + " at position " + std::to_string(i));
    return ids;
}

// The lengths of sequences of at most `steps` steps that lie one after another: a private copy.
struct Ends {
    Array<std::int64_t> lengths;
    std::vector<Index> starts;
    Index total = 0;

    Ends(py::object given, Index count, Index steps)
        : lengths(expect_in("lengths", std::move(given), count, steps + 1)), starts(std::size_t(lengths.size())) {
        for (std::size_t i = 0; i < starts.size(); ++i) {
            starts[i] = total;
            total += Index(lengths.data()[i]);
        }
    }
};

// What both passes read.
template <class S>
struct AttentionArguments {
    Attention<S> p;
    Ends ends;
    Array<std::int64_t> chosen;

    AttentionArguments(py::handle queries, py::handle keys, py::handle values, py::handle score, double scale,
                       py::object lengths, py::object rows, Index steps, Interrupt& interrupt)
        : ends(std::move(lengths), any, steps) {
        const auto k = expect<S>(keys, "keys", {{"R", ends.total}, {"A", any}});
        p.A = k.shape(1);
        const auto v = expect<S>(values, "values", {{"R", ends.total}, {"K", any}});
        p.K = v.shape(1);
        p.steps = steps, p.rows = Index(ends.starts.size());
        p.T = 1, p.N = p.rows;
        if (!queries.is_none()) {
            const auto q =
                expect<S>(queries, "queries", {{"T", any}, {"N", rows.is_none() ? p.rows : any}, {"A", p.A}});
            p.T = q.shape(0), p.N = q.shape(1);
            p.queries = q.data();
        }
        p.keys = k.data(), p.values = v.data();
        p.score = optional_data<S>(score, "score", {{"A", p.A}});
        p.scale = S(scale);
        p.lengths = ends.lengths.data(), p.starts = ends.starts.data();
        if (!rows.is_none()) {
            chosen = expect_in("rows", std::move(rows), p.N, p.rows);
            p.chosen = chosen.data();
        }
        p.interrupt = &interrupt;
    }
};

template <class S>
py::tuple forward_attention(py::object queries, py::object keys, py::object values, py::object score, double scale,
                            py::object lengths, py::object rows, Index steps) {
    SignalInterrupt interrupt;
    const AttentionArguments<S> given(queries, keys, values, score, scale, std::move(lengths), std::move(rows), steps,
                                      interrupt);
    const Attention<S>& p = given.p;
    auto context = new_array<S>("context", {p.T, p.N, p.K});
    auto weights = new_array<S>("weights", {p.T, p.N, p.steps});
    S *const to = context.mutable_data(), *const w = weights.mutable_data();
    {
        const ReleasedGil release;
        attention_forward(p, w, to, available_threads(), fresh_workspace());
    }
    interrupt.finish();
    return py::make_tuple(context, weights);
}

// Returns the memory's gradients as given, or new ones if there were none.
template <class S>
Array<S> gradient_of(py::handle given, const char* name, std::initializer_list<Index> shape, Shape expected) {
    if (given.is_none()) return new_array<S>(name, shape);
    expect_writable<S>(given, name, expected);
    return expect<S>(given, name, expected);
}

template <class S>
py::tuple backward_attention(py::object queries, py::object keys, py::object values, py::object score, double scale,
                             py::object lengths, py::object weights, py::object dcontext, py::object dweights,
                             py::object gradients, bool need_dqueries) {
    SignalInterrupt interrupt;
    const Index steps = expect<S>(weights, "weights", {{"T", any}, {"N", any}, {"S", any}}).shape(2);
    const AttentionArguments<S> given(queries, keys, values, score, scale, std::move(lengths), py::none(), steps,
                                      interrupt);
    const Attention<S>& p = given.p;
    AttentionGradients<S> d;
    d.weights = expect<S>(weights, "weights", {{"T", p.T}, {"N", p.N}, {"S", p.steps}}).data();
    d.dcontext = expect<S>(dcontext, "dcontext", {{"T", p.T}, {"N", p.N}, {"K", p.K}}).data();
    d.dweights = optional_data<S>(dweights, "dweights", {{"T", p.T}, {"N", p.N}, {"S", p.steps}});
    d.fresh = gradients.is_none();
    py::object parts[3] = {py::none(), py::none(), py::none()};
    if (!d.fresh) {
        const auto three = gradients.cast<py::tuple>();
        if (three.size() != 3) throw py::value_error("gradients: expected dkeys, dvalues and dscore");
        for (int i = 0; i < 3; ++i) parts[i] = three[i];
    }
    auto dkeys = gradient_of<S>(parts[0], "dkeys", {given.ends.total, p.A}, {{"R", given.ends.total}, {"A", p.A}});
    auto dvalues = gradient_of<S>(parts[1], "dvalues", {given.ends.total, p.K}, {{"R", given.ends.total}, {"K", p.K}});
    auto dscore = p.score ? gradient_of<S>(parts[2], "dscore", {p.rows, p.A}, {{"N", p.rows}, {"A", p.A}}) : Array<S>();
    need_dqueries = need_dqueries && p.queries;
    auto dqueries = need_dqueries ? new_array<S>("dqueries", {p.T, p.N, p.A}) : Array<S>();
    d.dkeys = dkeys.mutable_data(), d.dvalues = dvalues.mutable_data();
    if (p.score) d.dscore = dscore.mutable_data();
    if (need_dqueries) d.dqueries = dqueries.mutable_data();
    {
        const ReleasedGil release;
        attention_backward(p, d, available_threads(), fresh_workspace());
    }
    interrupt.finish();
    return py::make_tuple(need_dqueries ? py::object(std::move(dqueries)) : py::none(),
                          py::make_tuple(dkeys, dvalues, p.score ? py::object(std::move(dscore)) : py::none()));
}

template <class S>
Array<S> rows(py::object values, py::object lengths) {
    const auto from = expect<S>(values, "values", {{"S", any}, {"N", any}, {"K", any}});
    const Index N = from.shape(1), K = from.shape(2);
    const Ends ends(std::move(lengths), N, from.shape(0));
    auto to = new_array<S>("memory", {ends.total, K});
    S* const out = to.mutable_data();
    {
        const ReleasedGil release;
        attention_rows(from.data(), ends.lengths.data(), N, K, out);
    }
    return to;
}

template <class S>
Array<S> steps(py::object one, py::object two, py::object lengths, Index count) {
    const Ends ends(std::move(lengths), any, count);
    const Index N = Index(ends.starts.size());
    const auto first = expect<S>(one, "one", {{"R", ends.total}, {"K", any}});
    const Index K = first.shape(1);
    const S* const second = optional_data<S>(two, "two", {{"R", ends.total}, {"K", K}});
    auto to = new_array<S>("dvalues", {count, N, K});
    S* const out = to.mutable_data();
    {
        const ReleasedGil release;
        attention_steps(first.data(), second, ends.lengths.data(), ends.starts.data(), count, N, K, out);
    }
    return to;
}

}  // namespace

void register_attention(py::module_& m) {
    m.def(
        "attention_rows",
        [](py::object values, py::object lengths) {
            return is_double(values) ? py::object(rows<double>(values, std::move(lengths)))
                                     : py::object(rows<float>(values, std::move(lengths)));
        },
        py::arg("values"), py::arg("lengths"), "Return the steps of values [S, N, K], sequence by sequence: [R, K].");
    m.def(
        "attention_steps",
        [](py::object one, py::object two, py::object lengths, Index count) {
            return is_double(one) ? py::object(steps<double>(one, two, std::move(lengths), count))
                                  : py::object(steps<float>(one, two, std::move(lengths), count));
        },
        py::arg("one"), py::arg("two"), py::arg("lengths"), py::arg("steps"),
        "Return the sum of arrays [R, K] as [S, N, K].");
    m.def(
        "attention_forward",
        [](py::object queries, py::object keys, py::object values, py::object score, double scale, py::object lengths,
           py::object rows, Index steps) {
            const auto run = is_double(keys) ? forward_attention<double> : forward_attention<float>;
            return run(queries, keys, values, score, scale, std::move(lengths), std::move(rows), steps);
        },
        py::arg("queries"), py::arg("keys"), py::arg("values"), py::arg("score"), py::arg("scale"), py::arg("lengths"),
        py::arg("rows"), py::arg("steps"), "Return context [T, N, K] and weights [T, N, S].");
    m.def(
        "attention_backward",
        [](py::object queries, py::object keys, py::object values, py::object score, double scale, py::object lengths,
           py::object weights, py::object dcontext, py::object dweights, py::object gradients, bool need_dqueries) {
            const auto run = is_double(keys) ? backward_attention<double> : backward_attention<float>;
            return run(queries, keys, values, score, scale, std::move(lengths), weights, dcontext, dweights, gradients,
                       need_dqueries);
        },
        py::arg("queries"), py::arg("keys"), py::arg("values"), py::arg("score"), py::arg("scale"), py::arg("lengths"),
        py::arg("weights"), py::arg("dcontext"), py::arg("dweights"), py::arg("gradients"), py::arg("need_dqueries"),
        "Return dqueries or None, and the memory's gradients: those given, added to, or new ones.");
}

}  // namespace fastrnn::bindings
