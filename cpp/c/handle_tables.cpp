// The table of open models, and how it is used. Tables are never destroyed: a thread may look at them at any time.
#include "c/handle_tables.hpp"

namespace fastrnn::c {

Handles<std::shared_ptr<Model>>& models() {
    static auto& table = *new Handles<std::shared_ptr<Model>>(1);
    return table;
}

namespace {

[[noreturn]] void fail_handle() {
    throw Failure{FASTRNN_ERROR_HANDLE, "model: expected an open model, got NULL, a closed one or something else"};
}

}  // namespace

std::shared_ptr<Model> shared_model(const fastrnn_model* handle) {
    const std::lock_guard<std::mutex> lock(models().mutex());
    const auto* const slot = models().find(reinterpret_cast<std::uintptr_t>(handle));
    if (!slot) fail_handle();
    return slot->object;
}

fastrnn_model* new_handle(std::unique_ptr<Model> model) {
    return reinterpret_cast<fastrnn_model*>(models().open(std::move(model)));
}

void close_model(const fastrnn_model* handle) {
    std::shared_ptr<Model> last;  // destroyed after the lock is released
    const std::lock_guard<std::mutex> lock(models().mutex());
    auto* const slot = models().find(reinterpret_cast<std::uintptr_t>(handle));
    if (!slot) fail_handle();
    last = models().close(*slot, reinterpret_cast<std::uintptr_t>(handle));
}

}  // namespace fastrnn::c
