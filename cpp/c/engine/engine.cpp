// An engine: the kernels of one instruction set behind a table of functions. FASTRNN_ENGINE names the table.
#include "c/engine/stream.hpp"

namespace fastrnn {

// A step runs in one thread, without a team: nothing calls these.
Task Member::begin(Index, bool) { return {}; }
Task Member::next() { return {}; }

FASTRNN_PRODUCTS(, float)

namespace c {
namespace {

// Returns what f returns, or `otherwise` if memory ends.
template <class F, class T>
T unless_memory_ends(T otherwise, F&& f) {
    try {
        return f();
    } catch (...) {  // nothing in here throws but an allocation
        return otherwise;
    }
}

Network* make_network() {
    return unless_memory_ends<>(static_cast<Network*>(nullptr), [] { return new Network; });
}

bool add(Network* network, const Node& node) {
    return unless_memory_ends<>(false, [&] {
        network->nodes.push_back(std::make_unique<PackedNode>(node));
        return true;
    });
}

void delete_network(Network* network) { delete network; }

std::size_t state_size(const Network* network) {
    std::size_t sum = 0;
    for (const auto& node : network->nodes)
        if (node->layer) sum += std::size_t(node->layer->sizes().P + node->layer->sizes().carried);
    return sum;
}

Stream* make_stream(const Network* network, std::size_t batch) {
    return unless_memory_ends<>(static_cast<Stream*>(nullptr), [&] { return new Stream(*network, Index(batch)); });
}

void delete_stream(Stream* stream) { delete stream; }

void run(Stream* stream, std::size_t steps, const float* x, const std::int64_t* ids, float* y) {
    stream->run(Index(steps), x, ids, y);
}

void reset(Stream* stream) { stream->reset(); }

void get_state(const Stream* stream, float* state) {
    stream->for_layers([&](const LayerState& layer) { layer.get(state), state += layer.size(); });
}

void set_state(Stream* stream, const float* state) {
    stream->for_layers([&](LayerState& layer) { layer.set(state), state += layer.size(); });
}

}  // namespace
}  // namespace c
}  // namespace fastrnn

extern "C" const fastrnn::c::Engine FASTRNN_ENGINE = {
    FASTRNN_ISA_NAME,       fastrnn::c::make_network, fastrnn::c::add,           fastrnn::c::delete_network,
    fastrnn::c::state_size, fastrnn::c::make_stream,  fastrnn::c::delete_stream, fastrnn::c::run,
    fastrnn::c::reset,      fastrnn::c::get_state,    fastrnn::c::set_state};
