// Connectionist temporal classification: the loss of unaligned labels, and its gradient with respect to logits.
//
// Graves, Fernandez, Gomez, Schmidhuber (2006). A target of L symbols l_1 .. l_L is read by a path through the states
//
//     b_0  l_1  b_1  l_2  b_2  ...  l_L  b_L          (b: the blank)
//
// that stays in a state, moves on by one, or from a symbol to the next symbol if the two differ; it begins in b_0 or
// l_1 and ends in l_L or b_L. With y_t = softmax(logits_t), the loss is -log of the sum over all paths of the product
// of the y_t of their states. Blanks and symbols lie in arrays of their own, l[i] being the symbol after b[i]:
//
//     a_t(b[i]) = b[i] + l[i-1]                        sum over the states before, of a_t-1 y_t-1
//     a_t(l[i]) = l[i] + b[i] + skip[i] l[i-1]
//     dloss/dlogit_t,v = y_t,v - sum over the states of v of a_t w_t / sum over all states of a_t w_t
//
// where w_t = y_t * (the sum over all paths from there to the end). All sums are of `Wide` numbers, so no target and no
// length underflows. y is used without its denominator (the sum of the exponentials), which cancels in the gradient and
// is one term of the loss. Padding, frames at and after a row's length, is never read and gets the gradient 0.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "kernels/lattice/wide_numbers.hpp"
#include "kernels/runtime/interrupt.hpp"
#include "kernels/runtime/workspace.hpp"
#include "kernels/vector/denormals.hpp"

namespace fastrnn {

// The targets of a batch; each row's offset, symbols and frames.
struct CtcRows {
    const std::int64_t* targets = nullptr;                                  // of all rows, one after the other
    const Index *offsets = nullptr, *symbols = nullptr, *frames = nullptr;  // [N]
    std::int64_t blank = 0;
};

template <class S>
struct CtcProblem {
    Index T = 0, N = 0, V = 0;
    CtcRows rows;
    const S* logits = nullptr;  // [T, N, V]
    const S* scales = nullptr;  // of each row's gradient [N]; null: 1
    bool zero_infinity = false;
    S *losses = nullptr, *dlogits = nullptr;  // [N]; [T, N, V]
    Interrupt* interrupt = nullptr;
};

// Frames that a target needs: one more before a symbol that equals the one before it.
inline Index ctc_frames_needed(const std::int64_t* target, Index symbols) {
    Index frames = symbols;
    for (Index i = 1; i < symbols; ++i) frames += target[i] == target[i - 1];
    return frames;
}

// One thread's scratch memory, for the rows of a batch one after the other.
template <class S>
struct CtcScratch {
    Index width = 0;                            // of an array of states: symbols + 1, rounded up to lanes
    WideArray<S> label, blank;                  // the states of a frame [width], with `lanes` zeros before and after
    WideArray<S> past_label, past_blank;        // a_t [T, width]
    WideArray<S> label_product, blank_product;  // a_t w_t [width]
    S* skip = nullptr;     // 1 where a path may come from the symbol before, with zeros before and after
    S* no_skip = nullptr;  // added to an exponent: the exponent of 0 where it may not
    S* x = nullptr;        // logits of the symbols below the frame's highest [T, width]
    S* blank_x = nullptr;  // of the blank [T]
    S* sums = nullptr;     // of a frame's exponentials [T]

    // For rows of at most that many frames and states, and frames times states.
    CtcScratch(Workspace& workspace, Index frames, Index states, Index most) {
        const auto wide = [&](Index count) { return WideArray<S>{workspace.take<S>(count), workspace.take<S>(count)}; };
        const Index padded = states + 2 * lanes<S>;
        label = wide(padded) + lanes<S>, blank = wide(padded) + lanes<S>;
        past_label = wide(most), past_blank = wide(most);
        label_product = wide(states), blank_product = wide(states);
        skip = workspace.take<S>(padded) + lanes<S>, no_skip = workspace.take<S>(padded) + lanes<S>;
        x = workspace.take<S>(most), blank_x = workspace.take<S>(frames), sums = workspace.take<S>(frames);
    }

    static Index states(Index symbols) { return round_up_to_lanes<S>(symbols + 1); }

    void begin_row(const std::int64_t* target, Index symbols) {
        width = states(symbols);
        label.set_zero(-lanes<S>, width + lanes<S>), blank.set_zero(-lanes<S>, width + lanes<S>);
        for (Index i = -lanes<S>; i < width + lanes<S>; ++i) {
            skip[i] = S(i > 0 && i < symbols && target[i] != target[i - 1]);
            no_skip[i] = skip[i] > S(0) ? S(0) : exponent_of_zero<S>;
        }
    }
};

// Mantissas grow at most 4.3 times a frame and shrink to no less than 0.7 of it.
inline constexpr Index frames_between_normalisations = 8;

// Stores exp(logits - highest) [V] and returns their sum; stores the highest.
template <class S>
S exponentials_of_frame(const S* logits, Index V, S& highest, S* exponentials) {
    highest = logits[0];
    if (V >= lanes<S>) {
        Vec<S> top = load(logits + V - lanes<S>);
        for (Index v = 0; v + lanes<S> <= V; v += lanes<S>) top = max(top, load(logits + v));
        highest = largest(top);
    } else {
        for (Index v = 1; v < V; ++v) highest = std::max(highest, logits[v]);
    }
    highest = std::max(highest, std::numeric_limits<S>::lowest());  // if all are -inf
    LaneSum<S> total;
    total.add(V, [&](Index v) {
        const Vec<S> e = exp_of_negative(load_first(logits + v, V - v) - set(highest));
        store_first(exponentials + v, e, V - v);
        return load_first(exponentials + v, V - v);
    });
    return total.total();
}

// Adds logarithms of numbers >= 1 (or NaN), with one call of log for several.
class LogSum {
   public:
    void add(double value) {
        product_ *= value;
        if (!(product_ < 1e100)) flush();
    }
    double total() { return flush(), total_; }

   private:
    void flush() { total_ += std::log(product_), product_ = 1; }
    double total_ = 0, product_ = 1;
};

// Moves the states on by one frame, from the products of the frame before: stores a_t, then the products with y_t.
template <class S>
void ctc_forward_frame(const CtcScratch<S>& s, Index t) {
    const Wide<S> y_blank = wide_exp(set(s.blank_x[t]));
    const S* x = s.x + t * s.width;
    const WideArray<S> past_label = s.past_label + t * s.width, past_blank = s.past_blank + t * s.width;
    for (Index i = s.width - lanes<S>; i >= 0; i -= lanes<S>) {  // downwards: i needs l[i-1] of the frame before
        const Wide<S> l = s.label.load(i), b = s.blank.load(i), before = s.label.load(i - 1);
        const Wide<S> skipped{before.m * load(s.skip + i), before.e + load(s.no_skip + i)};
        const Wide<S> to_label = sum(l, b, skipped), to_blank = b + before;
        past_label.store(i, to_label), past_blank.store(i, to_blank);
        s.label.store(i, to_label * wide_exp(load(x + i)));
        s.blank.store(i, to_blank * y_blank);
    }
    if (t % frames_between_normalisations == 0) s.label.normalise(s.width), s.blank.normalise(s.width);
}

// The forward pass of row n. Stores the exponentials of its frames in dlogits; returns its loss.
template <class S>
double ctc_forward(const CtcProblem<S>& p, Index n, CtcScratch<S>& s) {
    const std::int64_t* target = p.rows.targets + p.rows.offsets[n];
    const Index symbols = p.rows.symbols[n], frames = p.rows.frames[n];
    s.begin_row(target, symbols);
    s.blank.set_one(0);  // before the first frame: from here to b_0 and l_1
    LogSum denominators;
    for (Index t = 0; t < frames; ++t) {
        const S* logits = p.logits + (t * p.N + n) * p.V;
        S highest;
        s.sums[t] = exponentials_of_frame(logits, p.V, highest, p.dlogits + (t * p.N + n) * p.V);
        denominators.add(double(s.sums[t]));
        S* x = s.x + t * s.width;
        store(x + s.width - lanes<S>, set(S(2) * lowest_logarithm<S>));
        for (Index i = 0; i < symbols; ++i) x[i] = logits[target[i]] - highest;
        s.blank_x[t] = logits[p.rows.blank] - highest;
        ctc_forward_frame(s, t);
    }
    const auto log_of = [](const WideArray<S>& a, Index i) {
        return std::log(double(a.m[i])) + double(a.e[i]) * 0.6931471805599453;
    };
    const double one = log_of(s.blank, symbols), two = log_of(s.label, symbols - 1), high = std::max(one, two);
    const double denominator = denominators.total();
    if (std::isnan(denominator)) return denominator;
    if (!(high > -std::numeric_limits<double>::infinity())) return std::numeric_limits<double>::infinity();
    return std::max(0.0, denominator - high - std::log1p(std::exp(std::min(one, two) - high)));
}

// Moves the sums of the paths to the end back by one frame, and stores the products a_t w_t without their common factor
// in place of the logits of the symbols and in blank_product; returns the sums of both.
template <class S>
std::pair<S, S> ctc_backward_frame(const CtcScratch<S>& s, Index t) {
    const Wide<S> y_blank = wide_exp(set(s.blank_x[t]));
    S* x = s.x + t * s.width;
    const WideArray<S> past_label = s.past_label + t * s.width, past_blank = s.past_blank + t * s.width;
    Vec<S> top = set(exponent_of_zero<S>);
    for (Index i = 0; i < s.width; i += lanes<S>) {
        const Wide<S> l = s.label.load(i) * wide_exp(load(x + i)), b = s.blank.load(i) * y_blank;
        s.label.store(i, l), s.blank.store(i, b);
        const Wide<S> of_label = past_label.load(i) * l, of_blank = past_blank.load(i) * b;
        s.label_product.store(i, of_label), s.blank_product.store(i, of_blank);
        top = max(max(top, of_label.e), of_blank.e);
    }
    const Vec<S> highest = set(largest(top));
    LaneSum<S> labels, blanks;
    for (Index i = 0; i < s.width; i += lanes<S>) {
        const Wide<S> of_label = s.label_product.load(i), of_blank = s.blank_product.load(i);
        const Vec<S> posterior = of_label.m * power_of_two(of_label.e - highest);
        store(x + i, posterior);
        labels.put(i, posterior), blanks.put(i, of_blank.m * power_of_two(of_blank.e - highest));
        // Upwards: i needs the states after it, of this frame.
        const Wide<S> l = s.label.load(i), b = s.blank.load(i), after = s.label.load(i + 1);
        const Wide<S> skipped{after.m * load(s.skip + i + 1), after.e + load(s.no_skip + i + 1)};
        s.label.store(i, sum(l, s.blank.load(i + 1), skipped));
        s.blank.store(i, b + l);
    }
    if (t % frames_between_normalisations == 0) s.label.normalise(s.width), s.blank.normalise(s.width);
    return {labels.total(), blanks.total()};
}

// The backward pass of row n after its forward pass: dlogits from the exponentials there.
template <class S>
void ctc_backward(const CtcProblem<S>& p, Index n, CtcScratch<S>& s) {
    const std::int64_t* target = p.rows.targets + p.rows.offsets[n];
    const Index symbols = p.rows.symbols[n];
    const S scale = p.scales ? p.scales[n] : S(1);
    s.label.set_zero(0, s.width), s.blank.set_zero(0, s.width);
    s.blank.set_one(symbols);
    if (symbols > 0) s.label.set_one(symbols - 1);
    for (Index t = p.rows.frames[n] - 1; t >= 0; --t) {
        S* d = p.dlogits + (t * p.N + n) * p.V;
        const Vec<S> factor = set(scale / s.sums[t]);
        for (Index v = 0; v < p.V; v += lanes<S>) store_first(d + v, load_first(d + v, p.V - v) * factor, p.V - v);
        const auto [labels, blanks] = ctc_backward_frame(s, t);
        const S share = scale / (labels + blanks);
        const S* posterior = s.x + t * s.width;
        for (Index i = 0; i < symbols; ++i) d[target[i]] -= posterior[i] * share;
        d[p.rows.blank] -= blanks * share;
    }
}

template <class S>
void fill_row(const CtcProblem<S>& p, Index n, Index begin, Index end, S value) {
    for (Index t = begin; t < end; ++t) std::fill_n(p.dlogits + (t * p.N + n) * p.V, p.V, value);
}

// The loss of row n and its gradient. A row without a path: infinity and NaN, or 0 and 0.
template <class S>
void ctc_row(const CtcProblem<S>& p, Index n, CtcScratch<S>& s) {
    const Index frames = p.rows.frames[n];
    const double infinity = std::numeric_limits<double>::infinity();
    const bool fits = ctc_frames_needed(p.rows.targets + p.rows.offsets[n], p.rows.symbols[n]) <= frames;
    const double loss = fits ? ctc_forward(p, n, s) : infinity;
    p.losses[n] = S(loss);
    fill_row(p, n, frames, p.T, S(0));
    if (loss < infinity) return ctc_backward(p, n, s);
    const bool hidden = p.zero_infinity && loss == infinity;
    if (hidden) p.losses[n] = S(0);
    fill_row(p, n, 0, frames, hidden ? S(0) : std::numeric_limits<S>::quiet_NaN());
}

// Threads share rows, in more pieces than threads because rows differ in length.
inline Sharing ctc_sharing(int threads, Index N, double work) {
    Sharing sharing = Sharing::of(int(std::max<Index>(1, std::min<Index>(threads, N))), work);
    sharing.pieces = int(std::max<Index>(1, std::min<Index>(N, 4 * sharing.threads)));
    return sharing;
}

template <class S>
void ctc_loss(const CtcProblem<S>& p, int threads, Workspace& workspace) {
    Index frames = 0, states = 0, most = 0;
    double work = 0;
    for (Index n = 0; n < p.N; ++n) {
        const Index own = CtcScratch<S>::states(p.rows.symbols[n]);
        frames = std::max(frames, p.rows.frames[n]), states = std::max(states, own);
        most = std::max(most, p.rows.frames[n] * own);
        work += double(p.rows.frames[n]) * (16.0 * double(p.V) + 64.0 * double(own));
    }
    const Sharing sharing = ctc_sharing(threads, p.N, work);
    std::vector<CtcScratch<S>> scratch;
    for (int rank = 0; rank < sharing.threads; ++rank) scratch.emplace_back(workspace, frames, states, most);
    run_team(sharing, [&](const Worker& worker) {
        const FlushDenormals flush;
        worker.share([&](int piece) {
            const auto [begin, end] = worker.part(p.N, piece);
            for (Index n = begin; n < end; ++n) {
                if (p.interrupt->check(worker)) return;
                ctc_row(p, n, scratch[std::size_t(worker.rank)]);
            }
        });
    });
}

}  // namespace fastrnn
