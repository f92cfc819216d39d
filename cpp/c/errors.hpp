// The last error of each thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>

#include "c/failure.hpp"

namespace fastrnn::c {

// Writes a message into a buffer of fixed size, without allocating.
class Text {
   public:
    Text(char* buffer, std::size_t size) : at_(buffer), end_(buffer + size - 1) { *at_ = '\0'; }

    Text& operator<<(const char* text) {
        while (*text && at_ < end_) *at_++ = *text++;
        *at_ = '\0';
        return *this;
    }
    Text& operator<<(std::uint64_t number) {
        char digits[21], *first = digits + 20;
        *first = '\0';
        do *--first = char('0' + number % 10);
        while (number /= 10);
        return *this << first;
    }
    Text& operator<<(std::int64_t number) {
        return number < 0 ? *this << "-" << std::uint64_t(0) - std::uint64_t(number) : *this << std::uint64_t(number);
    }

   private:
    char *at_, *const end_;
};

const char* last_error();

// The last error becomes what is written to it, in memory of the thread's own, without allocating.
Text brief_message();

// Remembers a message that stays where it is, without allocating, and returns the status.
fastrnn_status fail_with(fastrnn_status status, const char* message);
// Copies a message.
fastrnn_status fail_copying(fastrnn_status status, const char* message);

// Runs f, which may throw, and turns what it throws into a status.
template <class F>
fastrnn_status guarded(F&& f) {
    try {
        f();
        return FASTRNN_OK;
    } catch (const Failure& failure) {
        return fail_copying(failure.status, failure.message.c_str());
    } catch (const std::bad_alloc&) {
        return fail_with(FASTRNN_ERROR_MEMORY, "not enough memory");
    } catch (...) {
        return fail_with(FASTRNN_ERROR_MEMORY, "the system refused a resource");
    }
}

}  // namespace fastrnn::c
