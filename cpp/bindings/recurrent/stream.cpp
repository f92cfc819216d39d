// A stack of layers run one step at a time, with the state kept between the steps: one crossing from Python a step, and
// no memory taken in native code.
#include "bindings/python/register.hpp"
#include "bindings/recurrent/packed.hpp"

namespace fastrnn::bindings {
namespace {

template <class S>
class Stream {
   public:
    Stream(std::vector<std::shared_ptr<Panels<S>>> panels, Index batch_size)
        : N_(batch_size), order_(std::size_t(batch_size)), ones_(std::size_t(batch_size), 1) {
        for (Index n = 0; n < N_; ++n) order_[std::size_t(n)] = n;
        for (auto& layer : panels) layers_.push_back(std::make_unique<Layer>(std::move(layer), *this));
    }

    Stream(const Stream& other) : Stream(other.panels(), other.N_) {
        for (std::size_t i = 0; i < layers_.size(); ++i) layers_[i]->copy_state(*other.layers_[i]);
    }

    // y is new, or `out` where it is given: then a step takes no memory at all.
    Array<S> step(py::handle x, py::handle out) {
        const Panels<S>& first = *layers_.front()->panels;
        Input<S> input{nullptr, nullptr, first.D};
        if (py::isinstance<py::array_t<std::int64_t>>(x)) {
            input.ids = expect<std::int64_t>(x, "x", {{"N", N_}}).data();
            check_ids(input.ids, N_, first.D, "x");
        } else {
            input.x = expect<S>(x, "x", {{"N", N_}, {"D", first.D}}).data();
        }
        const Panels<S>& last = *layers_.back()->panels;
        auto y = out.is_none() ? new_array<S>("y", {N_, last.H}) : expect<S>(out, "out", {{"N", N_}, {"H", last.H}});
        if (!out.is_none()) expect_writable<S>(out, "out", {{"N", N_}, {"H", last.H}});
        {
            const py::gil_scoped_release release;
            for (auto& layer : layers_) input = layer->step(input);
            std::copy(input.x, input.x + N_ * last.H, y.mutable_data());
        }
        return y;
    }

    py::list get_state() const {
        py::list states;
        for (const auto& layer : layers_) states.append(layer->get_state());
        return states;
    }

    void set_state(const py::list& states) {
        if (states.size() != layers_.size())
            throw py::value_error("state: expected " + std::to_string(layers_.size()) + " layers, got " +
                                  std::to_string(states.size()));
        for (std::size_t i = 0; i < layers_.size(); ++i) layers_[i]->expect_state(states[i]);
        for (std::size_t i = 0; i < layers_.size(); ++i) layers_[i]->set_state(states[i]);
    }

    Index batch_size() const { return N_; }

   private:
    struct Layer {
        std::shared_ptr<Panels<S>> panels;
        Index N, H;
        bool has_c;
        std::unique_ptr<S[], AlignedDelete> memory;  // h before, h after, c
        S *h, *next, *c;
        Workspace workspace;
        Interrupt never;
        ForwardProblem<S> problem;
        int workers = 1;
        ForwardScratch<S> scratch;

        Layer(std::shared_ptr<Panels<S>> given, const Stream& stream)
            : panels(std::move(given)),
              N(stream.N_),
              H(panels->H),
              has_c(panels->states() == 2),
              memory(allocate_aligned<S>(3 * N * H)),
              h(memory.get()),
              next(h + N * H),
              c(next + N * H),
              problem{{1, N, false, stream.order_.data(), stream.ones_.data(), nullptr},
                      {nullptr, nullptr, panels->D},
                      H,
                      panels->gx_width(),
                      panels->tape_width(),
                      nullptr,
                      has_c ? c : nullptr,
                      nullptr,
                      nullptr,
                      nullptr,
                      has_c ? c : nullptr,
                      nullptr,
                      false,
                      &never},
              scratch(problem, workers, workspace) {
            std::fill(h, h + 3 * N * H, S(0));
        }

        Input<S> step(const Input<S>& input) {
            problem.input = {input.x, input.ids, panels->D};
            problem.h0 = h;
            problem.y = next;
            const Split split = split_of(*panels, problem.batch, 1, get_num_threads());
            problem.by_units = split.by_units;
            if (split.threads > workers) {  // lists for each of them
                workers = split.threads;
                workspace.reset();
                scratch = ForwardScratch<S>(problem, workers, workspace);
            }
            if (split.threads == 1)
                panels->forward(problem, scratch, Worker{});
            else
                run_team(split.threads, [&](const Worker& worker) { panels->forward(problem, scratch, worker); });
            std::swap(h, next);
            return {h, nullptr, H};
        }

        py::tuple get_state() const {
            const auto copy = [&](const S* from) {
                auto array = new_array<S>("state", {N, H});
                std::copy(from, from + N * H, array.mutable_data());
                return array;
            };
            if (has_c) return py::make_tuple(copy(h), copy(c));
            return py::make_tuple(copy(h));
        }

        void expect_state(py::handle state) const {
            if (!py::isinstance<py::tuple>(state) || py::len(state) != std::size_t(has_c ? 2 : 1))
                throw py::type_error(std::string("state: expected a tuple of ") + (has_c ? "2" : "1") + " arrays for " +
                                     panels->cell());
            expect<S>(state[py::int_(0)], "h", {{"N", N}, {"H", H}});
            if (has_c) expect<S>(state[py::int_(1)], "c", {{"N", N}, {"H", H}});
        }

        void set_state(py::handle state) {
            const S* from = expect<S>(state[py::int_(0)], "h", {{"N", N}, {"H", H}}).data();
            std::copy(from, from + N * H, h);
            if (!has_c) return;
            from = expect<S>(state[py::int_(1)], "c", {{"N", N}, {"H", H}}).data();
            std::copy(from, from + N * H, c);
        }

        void copy_state(const Layer& other) {
            std::copy(other.h, other.h + N * H, h);
            std::copy(other.c, other.c + N * H, c);
        }
    };

    std::vector<std::shared_ptr<Panels<S>>> panels() const {
        std::vector<std::shared_ptr<Panels<S>>> all;
        for (const auto& layer : layers_) all.push_back(layer->panels);
        return all;
    }

    Index N_;
    std::vector<Index> order_, ones_;
    std::vector<std::unique_ptr<Layer>> layers_;
};

template <class S>
py::object make(const py::list& list, Index batch_size) {
    std::vector<std::shared_ptr<Panels<S>>> panels;
    for (const auto& item : list) {
        panels.push_back(item.cast<std::shared_ptr<Panels<S>>>());
        if (panels.size() > 1 && panels.back()->D != panels[panels.size() - 2]->H)
            throw py::value_error("panels: expected each layer's input_size to be the hidden_size of the one below");
    }
    return py::cast(std::make_unique<Stream<S>>(std::move(panels), batch_size));
}

template <class S>
void register_dtype(py::module_& m, const char* name) {
    py::class_<Stream<S>>(m, name, py::module_local())
        .def("step", &Stream<S>::step, py::arg("x"), py::arg("out") = py::none(),
             "One step: x [N, D] or ids [N] -> y [N, H], written into out where it is given.")
        .def("get_state", &Stream<S>::get_state, "Copies of the state, a tuple of [N, H] a layer.")
        .def("set_state", &Stream<S>::set_state, py::arg("state"))
        .def("copy", [](const Stream<S>& stream) { return std::make_unique<Stream<S>>(stream); })
        .def_property_readonly("batch_size", &Stream<S>::batch_size);
}

}  // namespace

void register_stream(py::module_& m) {
    register_dtype<float>(m, "Stream32");
    register_dtype<double>(m, "Stream64");
    m.def(
        "Stream",
        [](const py::list& panels, Index batch_size) {
            if (panels.empty()) throw py::value_error("panels: expected at least one layer, got none");
            if (batch_size < 1)
                throw py::value_error("batch_size: expected 1 or more, got " + std::to_string(batch_size));
            return py::isinstance<Panels<double>>(panels[0]) ? make<double>(panels, batch_size)
                                                             : make<float>(panels, batch_size);
        },
        py::arg("panels"), py::arg("batch_size"), "A stack of packed layers run step by step from a zero state.");
}

}  // namespace fastrnn::bindings
