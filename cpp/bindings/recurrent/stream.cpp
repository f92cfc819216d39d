// A stack of layers that runs one step at a time and keeps its state between steps: one call from Python per step, and
// no memory allocated in native code.
#include "bindings/python/released_gil.hpp"
#include "bindings/recurrent/arguments.hpp"

namespace fastrnn::bindings {
namespace {

// A stream's turn: another thread that wants to step or set the stream meanwhile gets an error.
class Turn {
   public:
    explicit Turn(std::atomic<bool>& busy) : busy_(busy) {
        if (busy.exchange(true, std::memory_order_acquire))
            throw std::runtime_error("stream: in use by another thread; give each thread its own, as of stream.copy()");
    }
    ~Turn() { busy_.store(false, std::memory_order_release); }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    std::atomic<bool>& busy_;
};

// One layer of a stream: its state and a forward pass of one step.
template <class S>
class StreamLayer {
   public:
    StreamLayer(std::shared_ptr<Packed<S>> packed, const RaggedBatch& batch, py::object options)
        : packed_(std::move(packed)),
          options_(std::move(options)),
          N_(batch.N),
          P_(packed_->sizes().P),
          C_(packed_->sizes().carried),
          past_(packed_->sizes().skip * P_),
          scratch_size_(N_ == 1 ? packed_->step_scratch() : -1),
          memory_(allocate_aligned<S>(size(), "state", "use fewer sequences or a smaller layer")),
          h_(memory_.get()),
          next_(h_ + N_ * P_),
          c_(next_ + N_ * P_),
          outputs_(c_ + N_ * C_),
          step_scratch_(outputs_ + N_ * past_) {
        std::fill(memory_.get(), memory_.get() + size(), S(0));
        problem_.batch = batch;
        problem_.sizes = packed_->sizes();
        problem_.options = expect_options<S>(packed_->sizes(), options_, 1, N_, held_);
        problem_.interrupt = &never_;
        if (C_) {
            problem_.arrays.c = c_;
            problem_.initial.c = problem_.restart.c = c_;
        }
        if (past_) problem_.initial.past = problem_.restart.past = outputs_;
        scratch_.emplace(problem_, workers_, workspace_);
    }

    const std::shared_ptr<Packed<S>>& packed() const { return packed_; }
    const py::object& options() const { return options_; }

    Input<S> step(const Input<S>& input) {
        problem_.input = {input.x, input.ids, packed_->sizes().D};
        problem_.initial.h = problem_.restart.h = h_;
        problem_.arrays.y = next_;
        const Split split = packed_->split(problem_.batch, 1, available_threads());
        if (split.threads == 1 && scratch_size_ >= 0 && !problem_.options.input_mask) return single_step(input);
        problem_.by_units = split.by_units;
        if (split.threads > workers_) {  // lists for each worker
            workers_ = 0;                // if memory ends here, the next step begins again
            workspace_.reset();
            scratch_.emplace(problem_, split.threads, workspace_);
            workers_ = split.threads;
        }
        if (split.threads == 1)
            packed_->forward_pass(problem_, *scratch_, Worker{});
        else
            run_team({split.threads, packed_->forward_work(problem_.batch)},
                     [&](const Worker& worker) { packed_->forward_pass(problem_, *scratch_, worker); });
        std::swap(h_, next_);
        for (Index n = 0; past_ && n < N_; ++n) {
            S* const own = outputs_ + n * past_;
            std::copy(own + P_, own + past_, own);
            std::copy(h_ + n * P_, h_ + (n + 1) * P_, own + past_ - P_);
        }
        return {h_, nullptr, P_};
    }

    Input<S> single_step(const Input<S>& input) {
        const FlushDenormals flush;
        packed_->single_step(
            {input.x, input.ids ? Index(*input.ids) : -1, h_, next_, c_, c_, step_scratch_, last_first_});
        std::swap(h_, next_);
        last_first_ = !last_first_;
        return {h_, nullptr, P_};
    }

    py::tuple get_state() const {
        StateArrays<S> state(packed_->sizes(), N_, false);
        const State<S> to = state.mutable_data();
        std::copy(h_, h_ + N_ * P_, to.h);
        if (to.c) std::copy(c_, c_ + N_ * C_, to.c);
        if (to.past) std::copy(outputs_, outputs_ + N_ * past_, to.past);
        return state.tuple();
    }

    void expect_state(py::handle state) const { StateArrays<S>(*packed_, state, N_, "state"); }

    void set_state(py::handle state) {
        const StateArrays<S> given(*packed_, state, N_, "state");
        const State<const S> from = given.data();
        std::copy(from.h, from.h + N_ * P_, h_);
        if (from.c) std::copy(from.c, from.c + N_ * C_, c_);
        if (from.past) std::copy(from.past, from.past + N_ * past_, outputs_);
    }

    void copy_state(const StreamLayer& other) {
        std::copy(other.h_, other.h_ + N_ * P_, h_);
        std::copy(other.c_, other.c_ + N_ * C_, c_);
        std::copy(other.outputs_, other.outputs_ + N_ * past_, outputs_);
    }

   private:
    Index size() const { return N_ * (2 * P_ + C_ + past_) + std::max<Index>(scratch_size_, 0); }

    std::shared_ptr<Packed<S>> packed_;
    py::object options_;
    Held held_;
    Index N_, P_, C_, past_;  // C: width of c
    Index scratch_size_;      // of a single step; less than 0: there is none
    bool last_first_ = false;
    std::unique_ptr<S[], AlignedDelete> memory_;
    S *h_, *next_, *c_, *outputs_, *step_scratch_;  // outputs: the last `skip` outputs of each row, oldest first
    Workspace workspace_;
    Interrupt never_;
    ForwardProblem<S> problem_;
    int workers_ = 1;
    std::optional<ForwardScratch<S>> scratch_;
};

template <class S>
class Stream : public std::enable_shared_from_this<Stream<S>> {
   public:
    Stream(Index batch_size)
        : N_(batch_size), order_(std::size_t(N_)), ones_(std::size_t(N_), 1), ids_(std::size_t(N_)) {
        std::iota(order_.begin(), order_.end(), Index(0));
    }

    Stream(const Stream& other) : Stream(other.N_) {
        for (const auto& layer : other.layers_) {
            add(layer->packed(), layer->options());
            layers_.back()->copy_state(*layer);
        }
    }

    void add(std::shared_ptr<Packed<S>> packed, py::object options) {
        if (!layers_.empty() && packed->sizes().D != layers_.back()->packed()->sizes().P)
            throw py::value_error("packed: expected each layer's input_size to be the output size of the layer below");
        const RaggedBatch batch{1, N_, false, order_.data(), ones_.data(), nullptr};
        layers_.push_back(std::make_unique<StreamLayer<S>>(std::move(packed), batch, std::move(options)));
    }

    // Returns y: `out` if given, so that a step allocates nothing, else a new array.
    Array<S> step(py::handle x, py::handle out) {
        const Turn turn(busy_);
        const Index D = layers_.front()->packed()->sizes().D, P = layers_.back()->packed()->sizes().P;
        Input<S> input{nullptr, nullptr, D};
        if (py::isinstance<py::array_t<std::int64_t>>(x)) {
            const auto given = expect<std::int64_t>(x, "x", {{"N", N_}});
            std::copy(given.data(), given.data() + N_, ids_.begin());  // other threads may write to `given`
            input.ids = ids_.data();
            check_ids(input.ids, N_, D, "x");
        } else {
            input.x = expect<S>(x, "x", {{"N", N_}, {"D", D}}).data();
        }
        auto y = out.is_none() ? new_array<S>("y", {N_, P}) : expect<S>(out, "out", {{"N", N_}, {"H", P}});
        if (!out.is_none()) expect_writable<S>(out, "out", {{"N", N_}, {"H", P}});
        {
            const ReleasedGil release;
            for (auto& layer : layers_) input = layer->step(input);
            std::copy(input.x, input.x + N_ * P, y.mutable_data());
        }
        return y;
    }

    py::list get_state() const {
        py::list states;
        for (const auto& layer : layers_) states.append(layer->get_state());
        return states;
    }

    void set_state(const py::list& states) {
        const Turn turn(busy_);
        if (states.size() != layers_.size())
            throw py::value_error("state: expected " + std::to_string(layers_.size()) + " layers, got " +
                                  std::to_string(states.size()));
        for (std::size_t i = 0; i < layers_.size(); ++i) layers_[i]->expect_state(states[i]);
        for (std::size_t i = 0; i < layers_.size(); ++i) layers_[i]->set_state(states[i]);
    }

    Index batch_size() const { return N_; }

   private:
    Index N_;
    std::vector<Index> order_, ones_;
    std::vector<std::int64_t> ids_;  // [N] of the current step
    std::atomic<bool> busy_{false};
    std::vector<std::unique_ptr<StreamLayer<S>>> layers_;
};

template <class S>
py::object make_stream(const py::list& packed, Index batch_size, const py::object& options) {
    const auto stream = std::make_shared<Stream<S>>(batch_size);
    if (!options.is_none() && (!py::isinstance<py::list>(options) || py::len(options) != packed.size()))
        throw py::type_error("options: expected None or a list of " + std::to_string(packed.size()));
    for (std::size_t i = 0; i < packed.size(); ++i) {
        if (!py::isinstance<Packed<S>>(packed[i]))
            throw py::type_error(std::string("packed: expected weights of ") + dtype_name<S>() +
                                 " that a pack function returned, got " + type_name(packed[i]));
        stream->add(packed[i].cast<std::shared_ptr<Packed<S>>>(),
                    options.is_none() ? options : py::object(options[py::int_(i)]));
    }
    return share(stream);
}

template <class S>
void register_stream_of(py::module_& m, const char* name) {
    shared_class<Stream<S>>(m, name)
        .def("step", &Stream<S>::step, py::arg("x"), py::arg("out") = py::none(),
             "Run one step: x [N, D] or ids [N] -> y [N, P], written to out if given.")
        .def("get_state", &Stream<S>::get_state, "Return copies of the state, a tuple of arrays for each layer.")
        .def("set_state", &Stream<S>::set_state, py::arg("state"), "Set the state, a tuple of arrays for each layer.")
        .def(
            "copy", [](const Stream<S>& stream) { return share(std::make_shared<Stream<S>>(stream)); },
            "Return a copy that shares the packed weights.")
        .def_property_readonly("batch_size", &Stream<S>::batch_size);
}

}  // namespace

void register_stream(py::module_& m) {
    register_stream_of<float>(m, "Stream32");
    register_stream_of<double>(m, "Stream64");
    m.def(
        "Stream",
        [](const py::list& packed, Index batch_size, const py::object& options) {
            if (packed.empty()) throw py::value_error("packed: expected at least one layer, got none");
            if (batch_size < 1)
                throw py::value_error("batch_size: expected 1 or more, got " + std::to_string(batch_size));
            return (py::isinstance<Packed<double>>(packed[0]) ? make_stream<double>
                                                              : make_stream<float>)(packed, batch_size, options);
        },
        py::arg("packed"), py::arg("batch_size"), py::arg("options") = py::none(),
        "Return a stack of packed layers that runs step by step from a zero state.");
}

}  // namespace fastrnn::bindings
