// What Trust decides, from made-up times: tests/kernels/test_team.py compiles and runs it.
#include <cstdio>
#include <cstdlib>

#include "kernels/runtime/trust.hpp"

using namespace fastrnn;
using Milliseconds = std::chrono::duration<double, std::milli>;

namespace {

constexpr double work = 1e6;
constexpr std::size_t kind = 1;

Clock::duration ms(double time) { return std::chrono::duration_cast<Clock::duration>(Milliseconds(time)); }

void expect(bool holds, const char* what) {
    if (holds) return;
    std::printf("not so: %s\n", what);
    std::exit(1);
}

// Calls that take `alone` on one thread and `together` on several; returns how many ran on one.
int run(Trust& trust, int calls, double alone, double together) {
    Experience& known = trust.experience(kind, work);
    int on_one = 0;
    for (int i = 0; i < calls; ++i)
        if (Trust::prefers_one(known, ms(alone))) {
            trust.ran_alone(known, work, ms(alone));
            ++on_one;
        } else {
            trust.ran_together(known, work, false, Clock::time_point(), ms(together));
        }
    return on_one;
}

void the_faster_way_is_found() {
    for (const double alone : {0.2, 20.0}) {
        Trust trust;
        trust.ran_alone(trust.experience(kind, work), work, ms(alone));
        expect(run(trust, 20000, alone, 0.55 * alone) < 50, "several threads that are faster are used");
        expect(run(trust, 20000, alone, 1.5 * alone) > 19000, "several threads that are slower are not");
        run(trust, 16000, alone, 0.55 * alone);
        expect(run(trust, 1000, alone, 0.55 * alone) < 20, "they are used again when they are faster again");
    }
}

void calls_of_other_kinds_and_sizes_are_apart() {
    Trust trust;
    trust.ran_alone(trust.experience(kind, work), work, ms(1));
    expect(!trust.experience(kind + 1, work).alone.known(), "another kind is not known");
    expect(!trust.experience(kind, 4 * work).alone.known(), "another size is not known");
    expect(trust.experience(kind, 1.01 * work).alone.known(), "about the same size is known");
}

// A call of 1 ms on several threads that stalls for 4 ms; returns for how long calls are alone after it.
double after_a_stall(Trust& trust, Clock::time_point& now, double took) {
    Experience& known = trust.experience(kind, work);
    trust.stalled(now, ms(4));
    now += ms(took);
    trust.ran_together(known, work, false, now, ms(took));
    double alone = 0;
    while (!trust.is_given(now + ms(alone))) alone += 0.5;
    now += ms(alone);
    return alone;
}

void stalls_without_gain_cost_more_and_more_trust() {
    Trust trust;
    Clock::time_point now = Clock::time_point() + std::chrono::hours(1);
    expect(trust.is_given(now), "trust is given at first");
    trust.ran_alone(trust.experience(kind, work), work, ms(1));
    double before = 0;
    for (const double wanted : {16.0, 64.0, 256.0, 1000.0, 1000.0}) {
        const double alone = after_a_stall(trust, now, 5);
        expect(alone > before || alone == 1000, "the next stall costs more trust");
        expect(alone >= wanted - 1 && alone <= wanted + 1, "four times as much, up to a second");
        before = alone;
    }
}

void a_stall_that_calls_on_several_threads_make_good_costs_nothing() {
    Trust trust;
    Clock::time_point now = Clock::time_point() + std::chrono::hours(1);
    Experience& known = trust.experience(kind, work);
    trust.ran_alone(known, work, ms(1));
    for (int i = 0; i < 100; ++i) trust.ran_together(known, work, false, now, ms(0.5));
    expect(after_a_stall(trust, now, 5) == 0, "100 calls have gained 50 ms");
}

void threads_are_woken_for_long_calls_and_for_many_short_ones() {
    Trust trust;
    trust.woke(std::chrono::microseconds(50));
    expect(trust.pays_to_wake(ms(1)), "a long call wakes threads");
    int calls = 1;
    while (!trust.pays_to_wake(ms(0.01))) ++calls;
    expect(calls > 5 && calls < 100, "short calls wake threads together");
    int later = 1;
    while (!trust.pays_to_wake(ms(0.01))) ++later;
    expect(later > calls, "later if the threads fell asleep after little work");
    expect(trust.patience() >= Trust::least_patience && trust.patience() <= Trust::most_patience,
           "spinning is bounded");
}

}  // namespace

int main() {
    the_faster_way_is_found();
    calls_of_other_kinds_and_sizes_are_apart();
    stalls_without_gain_cost_more_and_more_trust();
    a_stall_that_calls_on_several_threads_make_good_costs_nothing();
    threads_are_woken_for_long_calls_and_for_many_short_ones();
    std::puts("all so");
}
