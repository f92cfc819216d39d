// Numbers >= 0 of any size, m 2^e: what products of thousands of probabilities need.
//
// m and e are vectors of the scalars themselves, e holds an integer. A sum costs two powers of two, which are a shift,
// where one of logarithms would take two exponentials and a logarithm; and its relative error is that of the scalars,
// where the logarithm -3000 of a float is off by 1e-4. m is not kept between 1/2 and 1: whoever adds and multiplies
// calls `normalised` before m can overflow.
#pragma once

#include "kernels/vector/activations.hpp"

namespace fastrnn {

template <class S>
struct Wide {
    Vec<S> m, e;
};

// Of 0, or less: so low that 0 never decides which exponent a sum has.
template <class S>
inline constexpr S exponent_of_zero = S(-1e30);

// Logarithms below it are those of 0; and their exponents would no longer be exact.
template <class S>
inline constexpr S lowest_logarithm = sizeof(S) == 4 ? S(-2097152) : S(-1e12);

// 2^d for an integer d <= 0 or a little above; no less than the smallest normal number, or 0.
template <class S>
FASTRNN_INLINE Vec<S> power_of_two(Vec<S> d) {
    Vec<S> rounded;
    if constexpr (sizeof(S) == 4) d = max(d, set(S(-126)));
    return round_and_power<0>(d, rounded);
}

template <class S>
FASTRNN_INLINE Wide<S> operator*(Wide<S> a, Wide<S> b) {
    return {a.m * b.m, a.e + b.e};
}

template <class S>
FASTRNN_INLINE Wide<S> operator+(Wide<S> a, Wide<S> b) {
    const Vec<S> e = max(a.e, b.e);
    return {fma(a.m, power_of_two(a.e - e), b.m * power_of_two(b.e - e)), e};
}

// a + b + c
template <class S>
FASTRNN_INLINE Wide<S> sum(Wide<S> a, Wide<S> b, Wide<S> c) {
    const Vec<S> e = max(max(a.e, b.e), c.e);
    const Vec<S> rest = fma(b.m, power_of_two(b.e - e), c.m * power_of_two(c.e - e));
    return {fma(a.m, power_of_two(a.e - e), rest), e};
}

// exp(x) for any x <= 0; 0 below the lowest logarithm.
template <class S>
FASTRNN_INLINE Wide<S> wide_exp(Vec<S> x) {
    const Vec<S> limit = set(lowest_logarithm<S>), above = x - limit;
    const ExpParts<S> e = exp_parts<0>(max(x, limit));
    return {where_positive(above, e.p + set(S(1))), where_positive(above, e.n, set(exponent_of_zero<S>))};
}

template <class S>
FASTRNN_INLINE Wide<S> normalised(Wide<S> a) {
    Vec<S> exponent;
    const Vec<S> m = split_exponent(a.m, exponent);
    return {m, a.e + exponent};
}

// An array of such numbers.
template <class S>
struct WideArray {
    S *m = nullptr, *e = nullptr;

    FASTRNN_INLINE Wide<S> load(Index i) const { return {fastrnn::load(m + i), fastrnn::load(e + i)}; }
    FASTRNN_INLINE void store(Index i, Wide<S> value) const {
        fastrnn::store(m + i, value.m);
        fastrnn::store(e + i, value.e);
    }
    WideArray operator+(Index offset) const { return {m + offset, e + offset}; }
    void set_zero(Index begin, Index end) const {
        for (Index i = begin; i < end; ++i) m[i] = S(0), e[i] = exponent_of_zero<S>;
    }
    void set_one(Index i) const { m[i] = S(1), e[i] = S(0); }
    void normalise(Index count) const {
        for (Index i = 0; i < count; i += lanes<S>) store(i, normalised(load(i)));
    }
};

}  // namespace fastrnn
