// The functions of fastrnn.h that create and run streams.
#include <utility>

#include "c/errors.hpp"
#include "c/handle_tables.hpp"

namespace fastrnn::c {
namespace {

using Streams = Handles<std::unique_ptr<OpenStream>>;

// The table, made with the first stream and never destroyed; null before. A step reads this alone, and a constant value
// is there before any object of the program is constructed.
std::atomic<Streams*> table{nullptr};

Streams& table_with_room() {
    static auto& made = *new Streams(2);
    table.store(&made, std::memory_order_release);
    return made;
}

std::size_t times(std::size_t a, std::size_t b) {
    constexpr std::size_t most = std::size_t(1) << (sizeof(std::size_t) > 4 ? 40 : 28);
    if (b > 0 && a > most / b) fail_memory("state of " + std::to_string(a) + " sequences");
    return a * b;
}

constexpr const char* closed = "stream: expected an open stream, got NULL, a closed one or something else";
constexpr const char* in_use = "stream: in use by another thread; give each thread its own";

// A stream for the time of one call: nobody else runs or closes it meanwhile. Allocates nothing.
class Turn {
   public:
    explicit Turn(const fastrnn_stream* stream)
        : handle_(reinterpret_cast<std::uintptr_t>(stream)), table_(table.load(std::memory_order_acquire)) {
        slot_ = table_ ? table_->find(handle_) : nullptr;
        if (!slot_) {
            status_ = fail_with(FASTRNN_ERROR_HANDLE, closed);
        } else if (slot_->busy.exchange(true, std::memory_order_acquire)) {
            slot_ = nullptr;
            status_ = fail_with(FASTRNN_ERROR_BUSY, in_use);
        } else if (!Streams::is_open(*slot_, handle_)) {
            status_ = fail_with(FASTRNN_ERROR_HANDLE, closed);
        }
    }
    ~Turn() {
        if (slot_) slot_->busy.store(false, std::memory_order_release);
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

    fastrnn_status status() const { return status_; }
    OpenStream& stream() const { return *slot_->object; }

    std::unique_ptr<OpenStream> close() {
        const std::lock_guard<std::mutex> lock(table_->mutex());
        return table_->close(*std::exchange(slot_, nullptr), handle_);
    }

    // Does `array` have the expected number of elements? If not, the message says so.
    bool fits(const char* name, const void* array, std::size_t size, std::size_t expected) const {
        if (array && size == expected) return true;
        Text text = brief_message();
        text << name << ": expected " << std::uint64_t(expected)
             << (expected == 1 ? " element, got " : " elements, got ");
        if (array)
            text << std::uint64_t(size);
        else
            text << "NULL";
        return false;
    }

   private:
    const std::uintptr_t handle_;
    Streams* const table_;
    Streams::Slot* slot_;
    fastrnn_status status_ = FASTRNN_OK;
};

void throw_if_failed(const Turn& turn) {
    if (turn.status() != FASTRNN_OK) throw Failure{turn.status(), last_error()};
}

fastrnn_stream* new_handle(std::unique_ptr<OpenStream> stream) {
    return reinterpret_cast<fastrnn_stream*>(table_with_room().open(std::move(stream)));
}

bool reads_floats(const Turn& turn) {
    if (turn.stream().reads_floats) return true;
    brief_message() << "x: expected ids, with fastrnn_step_ids, as the model reads them, got floats";
    return false;
}

bool reads_ids(const Turn& turn) {
    if (turn.stream().reads_ids) return true;
    brief_message() << "ids: expected floats, with fastrnn_step, as the model reads them, got ids";
    return false;
}

}  // namespace

OpenStream::OpenStream(std::shared_ptr<const Model> given, std::size_t rows)
    : model(std::move(given)),
      engine(model->own_engine()),
      batch(rows),
      inputs(times(rows, model->input_size())),
      outputs(times(rows, model->width())),
      state(times(rows, model->info().state_size)),
      ids(std::int64_t(model->input_size())),
      reads_ids(model->info().reads_ids),
      reads_floats(model->info().reads_floats),
      native(engine.make_stream(model->network(), rows)) {
    if (!native) fail_memory("state of " + std::to_string(rows) + " sequences");
}

}  // namespace fastrnn::c

using namespace fastrnn::c;

fastrnn_status fastrnn_create_stream(const fastrnn_model* handle, size_t batch, fastrnn_stream** stream) {
    return guarded([&] {
        const auto model = shared_model(handle);
        if (!stream) fail_argument("stream: expected an address, got NULL");
        if (batch < 1) fail_argument("batch: expected 1 or more, got 0");
        const std::lock_guard<std::mutex> lock(model->building);
        if (model->is_empty()) fail_argument("model: expected one with layers, got one without");
        auto made = std::make_unique<OpenStream>(model, batch);
        *stream = new_handle(std::move(made));
        model->is_complete = true;
    });
}

fastrnn_status fastrnn_copy_stream(const fastrnn_stream* handle, fastrnn_stream** copy) {
    return guarded([&] {
        const Turn turn(handle);
        throw_if_failed(turn);
        if (!copy) fail_argument("copy: expected an address, got NULL");
        const OpenStream& from = turn.stream();
        auto made = std::make_unique<OpenStream>(from.model, from.batch);
        std::vector<float> state(from.state);
        from.engine.get_state(from.native, state.data());
        made->engine.set_state(made->native, state.data());
        *copy = new_handle(std::move(made));
    });
}

fastrnn_status fastrnn_close_stream(fastrnn_stream* handle) {
    return guarded([&] {
        Turn turn(handle);
        throw_if_failed(turn);
        turn.close();  // what is returned is destroyed here
    });
}

fastrnn_status fastrnn_step(fastrnn_stream* handle, const float* x, size_t x_size, float* y, size_t y_size) {
    return fastrnn_run(handle, 1, x, x_size, y, y_size);
}

fastrnn_status fastrnn_run(fastrnn_stream* handle, size_t steps, const float* x, size_t x_size, float* y,
                           size_t y_size) {
    const Turn turn(handle);
    if (turn.status() != FASTRNN_OK) return turn.status();
    const OpenStream& stream = turn.stream();
    if (!reads_floats(turn)) return FASTRNN_ERROR_ARGUMENT;
    const size_t most = SIZE_MAX / sizeof(float);
    if (steps > most / stream.inputs || steps > most / stream.outputs) {
        brief_message() << "steps: expected fewer, got " << std::uint64_t(steps);
        return FASTRNN_ERROR_ARGUMENT;
    }
    if (!turn.fits("x", x, x_size, steps * stream.inputs) || !turn.fits("y", y, y_size, steps * stream.outputs))
        return FASTRNN_ERROR_ARGUMENT;
    stream.engine.run(stream.native, steps, x, nullptr, y);
    return FASTRNN_OK;
}

fastrnn_status fastrnn_step_ids(fastrnn_stream* handle, const int64_t* ids, size_t count, float* y, size_t y_size) {
    const Turn turn(handle);
    if (turn.status() != FASTRNN_OK) return turn.status();
    const OpenStream& stream = turn.stream();
    if (!reads_ids(turn) || !turn.fits("ids", ids, count, stream.batch) || !turn.fits("y", y, y_size, stream.outputs))
        return FASTRNN_ERROR_ARGUMENT;
    for (size_t n = 0; n < count; ++n)
        if (ids[n] < -1 || ids[n] >= stream.ids) {
            brief_message() << "ids: expected -1 .. " << std::uint64_t(stream.ids - 1) << ", got "
                            << std::int64_t(ids[n]) << " at position " << std::uint64_t(n);
            return FASTRNN_ERROR_ARGUMENT;
        }
    stream.engine.run(stream.native, 1, nullptr, ids, y);
    return FASTRNN_OK;
}

fastrnn_status fastrnn_reset(fastrnn_stream* handle) {
    const Turn turn(handle);
    if (turn.status() != FASTRNN_OK) return turn.status();
    turn.stream().engine.reset(turn.stream().native);
    return FASTRNN_OK;
}

fastrnn_status fastrnn_get_state(const fastrnn_stream* handle, float* state, size_t size) {
    const Turn turn(handle);
    if (turn.status() != FASTRNN_OK) return turn.status();
    if (!turn.fits("state", state, size, turn.stream().state)) return FASTRNN_ERROR_ARGUMENT;
    turn.stream().engine.get_state(turn.stream().native, state);
    return FASTRNN_OK;
}

fastrnn_status fastrnn_set_state(fastrnn_stream* handle, const float* state, size_t size) {
    const Turn turn(handle);
    if (turn.status() != FASTRNN_OK) return turn.status();
    if (!turn.fits("state", state, size, turn.stream().state)) return FASTRNN_ERROR_ARGUMENT;
    turn.stream().engine.set_state(turn.stream().native, state);
    return FASTRNN_OK;
}
