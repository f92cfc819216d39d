// Sigmoid, its logarithm, tanh and exp from one exponential core, and derivatives from outputs.
//
// exp(y) = 2^n (1 + p(r)) with n = round(y / ln 2), r = y - n ln 2 (Cody and Waite's two-part ln 2) and
// p(r) = r + r^2 q(r), q minimax for the relative error of expm1 on |r| <= ln(2)/2. Only fma, mul, add and div
// follow, so that AVX2 and AVX-512 agree bit for bit. Worst errors: benchmarks/activation_error.py tests every float.
#pragma once

#include "kernels/vector/simd.hpp"

namespace fastrnn {

template <class S>
struct ExpConstants;

template <>
struct ExpConstants<float> {
    static constexpr float log2e = 1.44269504088896341f;
    static constexpr float ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
    static constexpr float q[] = {0.4999999701976776f, 0.1666654348373413f, 0.04166720062494278f, 0.008366520516574383f,
                                  0.0013882522471249104f};
    static constexpr int bias = -64;  // keeps 1 + exp(y) in range down to the smallest denormal sigmoid
    static constexpr float one = 0x1p-64f;
    static constexpr float exp_low = -87.0f, exp_high = 88.0f;
    static constexpr int log1p_degree = 7;
    static constexpr float sigmoid_low = -104.0f, sigmoid_high = 30.0f, tanh_limit = 20.0f;
};

template <>
struct ExpConstants<double> {
    static constexpr double log2e = 1.4426950408889634074;
    static constexpr double ln2_high = 6.93145751953125e-1, ln2_low = 1.42860682030941723212e-6;
    static constexpr double q[] = {0.5,
                                   0.16666666666666677,
                                   0.04166666666666651,
                                   0.008333333333321691,
                                   0.0013888888888962374,
                                   0.00019841269885966103,
                                   2.4801587172532393e-05,
                                   2.755724437398684e-06,
                                   2.755740264667844e-07,
                                   2.5108978960202475e-08,
                                   2.0875329145806604e-09};
    static constexpr int bias = -512;
    static constexpr double one = 0x1p-512;
    static constexpr double exp_low = -708.0, exp_high = 709.0;
    static constexpr int log1p_degree = 16;
    static constexpr double sigmoid_low = -746.0, sigmoid_high = 60.0, tanh_limit = 44.0;
};

// exp(y) * 2^Bias = power + power * p, where power = 2^(n + Bias) unless that over- or underflows.
template <class S>
struct ExpParts {
    Vec<S> power, p, n;
};

// `scaled`: y * log2(e), as rounded.
template <int Bias, class S>
FASTRNN_INLINE ExpParts<S> exp_parts(Vec<S> y, Vec<S> scaled) {
    using C = ExpConstants<S>;
    Vec<S> n;
    const Vec<S> power = round_and_power<Bias>(scaled, n);
    Vec<S> r = fma(n, set(-C::ln2_high), y);
    r = fma(n, set(-C::ln2_low), r);
    constexpr int degree = sizeof(C::q) / sizeof(S) - 1;
    Vec<S> q = set(C::q[degree]);
    for (int i = degree - 1; i >= 0; --i) q = fma(q, r, set(C::q[i]));
    return {power, fma(r * r, q, r), n};
}
template <int Bias, class S>
FASTRNN_INLINE ExpParts<S> exp_parts(Vec<S> y) {
    return exp_parts<Bias>(y, y * set(ExpConstants<S>::log2e));
}

// exp(x) for x <= 0, at least the smallest normal number.
template <class S>
FASTRNN_INLINE Vec<S> exp_of_negative(Vec<S> x) {
    const ExpParts<S> e = exp_parts<0>(max(x, set(ExpConstants<S>::exp_low)));
    return fma(e.power, e.p, e.power);
}

// exp(x) for x <= 0; 0 where that is below the smallest normal number, of -inf and of NaN.
template <class S>
FASTRNN_INLINE Vec<S> exp_or_zero(Vec<S> x) {
    return where_positive(x - set(ExpConstants<S>::exp_low), exp_of_negative(x));
}

// exp(x), kept among the normal numbers: from about 1e-38 to 1e38 in float, 1e-308 to 1e308 in double.
template <class S>
FASTRNN_INLINE Vec<S> exp(Vec<S> x) {
    return exp_of_negative(min(x, set(ExpConstants<S>::exp_high)));
}

// 1 - exp(x) for x <= 0.
template <class S>
FASTRNN_INLINE Vec<S> one_minus_exp(Vec<S> x) {
    const ExpParts<S> e = exp_parts<0>(max(x, set(ExpConstants<S>::exp_low)));
    return set(S(0)) - fma(e.power, e.p, e.power - set(S(1)));
}

// log(1 + u) for 0 <= u <= 1: the series of 2 atanh(s) at s = u / (2 + u) <= 1/3.
template <class S>
FASTRNN_INLINE Vec<S> log1p_of_fraction(Vec<S> u) {
    constexpr int degree = ExpConstants<S>::log1p_degree;
    const Vec<S> s = u / (u + set(S(2))), square = s * s;
    Vec<S> sum = set(S(1) / S(2 * degree + 1));
    for (int k = degree - 1; k >= 0; --k) sum = fma(sum, square, set(S(1) / S(2 * k + 1)));
    return (s + s) * sum;
}

// log sigmoid(x) = min(x, 0) - log(1 + exp(-|x|)).
template <class S>
FASTRNN_INLINE Vec<S> log_sigmoid(Vec<S> x) {
    return min(x, set(S(0))) - log1p_of_fraction(exp_of_negative(minus_magnitude(x)));
}

// 1 / (1 + exp(y)), both sides scaled by 2^bias so that exp(y) does not overflow.
template <class S>
FASTRNN_INLINE Vec<S> sigmoid_from(const ExpParts<S>& e) {
    const Vec<S> one = set(ExpConstants<S>::one);
    return one / (fma(e.power, e.p, one) + e.power);  // this order is half an ulp more accurate
}
template <class S>
FASTRNN_INLINE Vec<S> sigmoid(Vec<S> x) {
    using C = ExpConstants<S>;
    const Vec<S> y = set(S(0)) - min(max(x, set(C::sigmoid_low)), set(C::sigmoid_high));
    return sigmoid_from(exp_parts<C::bias>(y));
}

// (exp(y) - 1) / (exp(y) + 1) for y = -2|x|, with the sign of x.
template <class S>
FASTRNN_INLINE Vec<S> tanh_from(const ExpParts<S>& e, Vec<S> x) {
    const Vec<S> one = set(S(1));
    return copy_sign(fma(e.power, e.p, e.power - one) / fma(e.power, e.p, e.power + one), x);
}
template <class S>
FASTRNN_INLINE Vec<S> tanh(Vec<S> x) {
    return tanh_from(exp_parts<0>(max(minus_magnitude(x + x), set(-ExpConstants<S>::tanh_limit))), x);
}

// The same bits sooner, for |x| up to `no_bound`: there the bounds change nothing, or only what rounds to 1, and
// without them two or three operations fewer come one after the other.
template <class S>
inline constexpr S no_bound = S(40);

template <bool Within, class S>
FASTRNN_INLINE Vec<S> sigmoid(Vec<S> x) {
    using C = ExpConstants<S>;
    if constexpr (!Within) return sigmoid(x);
    return sigmoid_from(exp_parts<C::bias>(set(S(0)) - x, x * set(-C::log2e)));
}
template <bool Within, class S>
FASTRNN_INLINE Vec<S> tanh(Vec<S> x) {
    if constexpr (!Within) return tanh(x);
    const Vec<S> a = minus_magnitude(x);
    return tanh_from(exp_parts<0>(a + a, a * set(2 * ExpConstants<S>::log2e)), x);
}

template <class S>
FASTRNN_INLINE Vec<S> relu(Vec<S> x) {
    return max(x, set(S(0)));
}

// Derivatives as functions of the activation's output.
template <class S>
FASTRNN_INLINE Vec<S> dsigmoid(Vec<S> s) {
    return s - s * s;
}
template <class S>
FASTRNN_INLINE Vec<S> dtanh(Vec<S> t) {
    return fma(set(S(0)) - t, t, set(S(1)));
}

}  // namespace fastrnn
