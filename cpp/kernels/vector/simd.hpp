// Vectors of the width that the module is compiled for. The only file that names Eigen's packet types.
#pragma once

#include <Eigen/Core>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#define FASTRNN_INLINE EIGEN_STRONG_INLINE

// Unrolls a loop over the vectors of a tile: otherwise the compiler would keep the tile in memory.
#if defined(__clang__)
#define FASTRNN_UNROLL _Pragma("unroll")
#elif defined(__GNUC__)
#define FASTRNN_UNROLL _Pragma("GCC unroll 32")
#else
#define FASTRNN_UNROLL
#endif

namespace fastrnn {

using Index = std::ptrdiff_t;

struct Range {
    Index begin, end;
};

inline constexpr int vector_registers = EIGEN_ARCH_DEFAULT_NUMBER_OF_REGISTERS;

// One register of scalars S. A struct rather than the bare packet, because template arguments lose its alignment.
template <class S>
struct Vec {
    using Packet = typename Eigen::internal::packet_traits<S>::type;
    static constexpr Index size = Eigen::internal::unpacket_traits<Packet>::size;
    Packet packet;
};

template <class S>
inline constexpr Index lanes = Vec<S>::size;

template <class S>
constexpr Index round_up_to_lanes(Index n) {
    return (n + lanes<S> - 1) / lanes<S> * lanes<S>;
}

template <class S>
FASTRNN_INLINE Vec<S> set(S value) {
    return {Eigen::internal::pset1<typename Vec<S>::Packet>(value)};
}

template <class S>
FASTRNN_INLINE Vec<S> load(const S* from) {
    return {Eigen::internal::ploadu<typename Vec<S>::Packet>(from)};
}

template <class S>
FASTRNN_INLINE void store(S* to, Vec<S> value) {
    Eigen::internal::pstoreu(to, value.packet);
}

// Returns `value`, forced into a register. Otherwise the compiler loads a weight again for each row, and loads, not
// multiply-adds, become the bottleneck.
template <class S>
FASTRNN_INLINE Vec<S> in_register(Vec<S> value) {
#if defined(__GNUC__) && defined(__x86_64__)
    asm("" : "+v"(value.packet));
#endif
    return value;
}

// Whether the instruction set has masked loads and stores.
template <class S>
inline constexpr bool has_masks = Eigen::internal::unpacket_traits<typename Vec<S>::Packet>::masked_load_available &&
                                  Eigen::internal::unpacket_traits<typename Vec<S>::Packet>::masked_store_available;

template <class S>
using Mask = std::conditional_t<(lanes<S> > 8), std::uint16_t, std::uint8_t>;

// Mask of the first `count` lanes, count <= lanes.
template <class S>
FASTRNN_INLINE Mask<S> first_lanes(Index count) {
    return count <= 0 ? Mask<S>(0) : Mask<S>((1u << count) - 1u);
}

// Loads the first `count` lanes; the others are zero. `count` may exceed the width, or be 0 or less.
template <class S>
FASTRNN_INLINE Vec<S> load_first(const S* from, Index count) {
    if (count >= lanes<S>) return load(from);
    if constexpr (has_masks<S>) {
        return {Eigen::internal::ploadu<typename Vec<S>::Packet>(from, first_lanes<S>(count))};
    } else {
        alignas(64) S buffer[lanes<S>] = {};
        for (Index i = 0; i < count; ++i) buffer[i] = from[i];
        return load(buffer);
    }
}

// Stores the first `count` lanes; memory after them is not touched.
template <class S>
FASTRNN_INLINE void store_first(S* to, Vec<S> value, Index count) {
    if (count >= lanes<S>) return store(to, value);
    if constexpr (has_masks<S>) {
        Eigen::internal::pstoreu(to, value.packet, first_lanes<S>(count));
    } else {
        alignas(64) S buffer[lanes<S>];
        store(buffer, value);
        for (Index i = 0; i < count; ++i) to[i] = buffer[i];
    }
}

// Prefetches the cache line at `address`.
template <class S>
FASTRNN_INLINE void prefetch(const S* address) {
    Eigen::internal::prefetch(address);
}

template <class S>
FASTRNN_INLINE Vec<S> operator+(Vec<S> a, Vec<S> b) {
    return {Eigen::internal::padd(a.packet, b.packet)};
}
template <class S>
FASTRNN_INLINE Vec<S> operator-(Vec<S> a, Vec<S> b) {
    return {Eigen::internal::psub(a.packet, b.packet)};
}
template <class S>
FASTRNN_INLINE Vec<S> operator*(Vec<S> a, Vec<S> b) {
    return {Eigen::internal::pmul(a.packet, b.packet)};
}
template <class S>
FASTRNN_INLINE Vec<S> operator/(Vec<S> a, Vec<S> b) {
    return {Eigen::internal::pdiv(a.packet, b.packet)};
}

// a * b + c, rounded once if the instruction set has FMA.
template <class S>
FASTRNN_INLINE Vec<S> fma(Vec<S> a, Vec<S> b, Vec<S> c) {
    return {Eigen::internal::pmadd(a.packet, b.packet, c.packet)};
}

// NaN in `a` stays NaN; `bound` must be a number.
template <class S>
FASTRNN_INLINE Vec<S> min(Vec<S> a, Vec<S> bound) {
    return {Eigen::internal::pmin(a.packet, bound.packet)};
}
template <class S>
FASTRNN_INLINE Vec<S> max(Vec<S> a, Vec<S> bound) {
    return {Eigen::internal::pmax(a.packet, bound.packet)};
}

template <class S>
FASTRNN_INLINE Vec<S> sqrt(Vec<S> a) {
    return {Eigen::internal::psqrt(a.packet)};
}

// The natural logarithm, -inf of 0: a polynomial of the fraction after its exponent, the same bits on all vectors with
// FMA.
template <class S>
FASTRNN_INLINE Vec<S> log(Vec<S> a) {
    return {Eigen::internal::plog(a.packet)};
}

// -|a|, and |a| with the sign of `sign`. NaN stays NaN.
template <class S>
FASTRNN_INLINE Vec<S> minus_magnitude(Vec<S> a) {
    return {Eigen::internal::por(a.packet, set(S(-0.0)).packet)};
}
template <class S>
FASTRNN_INLINE Vec<S> copy_sign(Vec<S> a, Vec<S> sign) {
    using namespace Eigen::internal;
    return {por(pabs(a.packet), pand(sign.packet, set(S(-0.0)).packet))};
}

// `value` where `condition` > 0, else 0 (also where `condition` is NaN).
template <class S>
FASTRNN_INLINE Vec<S> where_positive(Vec<S> condition, Vec<S> value) {
    using namespace Eigen::internal;
    return {pand(pcmp_lt(pzero(condition.packet), condition.packet), value.packet)};
}

template <class S>
FASTRNN_INLINE Vec<S> magnitude(Vec<S> a) {
    return {Eigen::internal::pabs(a.packet)};
}

// Is every lane at most `bound`? NaN is not.
template <class S>
FASTRNN_INLINE bool all_at_most(Vec<S> a, S bound) {
    using namespace Eigen::internal;
    return !predux_any(pcmp_lt_or_nan(set(bound).packet, a.packet));
}

// value where condition > 0, else other.
template <class S>
FASTRNN_INLINE Vec<S> where_positive(Vec<S> condition, Vec<S> value, Vec<S> other) {
    using namespace Eigen::internal;
    return {pselect(pcmp_lt(pzero(condition.packet), condition.packet), value.packet, other.packet)};
}

// Rounds |x| < 2^21 to the nearest integer n (in `rounded`) and returns 2^(n + Bias). float: adding a large constant
// leaves n + Bias in the low bits, and a shift moves it into the exponent. double: Eigen's ldexp.
template <int Bias>
FASTRNN_INLINE Vec<float> round_and_power(Vec<float> x, Vec<float>& rounded) {
    using namespace Eigen::internal;
    using Integers = typename unpacket_traits<Vec<float>::Packet>::integer_packet;
    const Vec<float> shifter = set(12582912.0f + 127.0f + Bias);  // 1.5 * 2^23 and the exponent's bias
    const Vec<float> shifted = x + shifter;
    rounded = shifted - shifter;
    return {preinterpret<Vec<float>::Packet>(plogical_shift_left<23>(preinterpret<Integers>(shifted.packet)))};
}

template <int Bias>
FASTRNN_INLINE Vec<double> round_and_power(Vec<double> x, Vec<double>& rounded) {
    const Vec<double> shifter = set(6755399441055744.0);  // 1.5 * 2^52
    rounded = (x + shifter) - shifter;
    // The clamp keeps the exponent finite for NaN; the NaN itself propagates through `rounded`.
    const Vec<double> exponent = min(max(rounded, set(-2000.0)), set(2000.0)) + set(double(Bias));
    return {Eigen::internal::pldexp(set(1.0).packet, exponent.packet)};
}

// Splits a = m 2^exponent, 0.5 <= |m| < 1, and returns m. 0 and what is not finite: a itself, exponent 0.
template <class S>
FASTRNN_INLINE Vec<S> split_exponent(Vec<S> a, Vec<S>& exponent) {
    return {Eigen::internal::pfrexp(a.packet, exponent.packet)};
}

// A sum in a fixed number of lanes (16 floats, 8 doubles), whatever the vector width: the same bits everywhere.
template <class S>
struct LaneSum {
    static constexpr Index width = 64 / sizeof(S);
    Vec<S> part[width / lanes<S>];

    FASTRNN_INLINE LaneSum() {
        for (auto& p : part) p = set(S(0));
    }
    // Adds f(i), the vector of elements from i on, for elements 0 .. count-1 in blocks of `width`.
    template <class F>
    FASTRNN_INLINE void add(Index count, F&& f) {
        for (Index i = 0; i < count; i += width)
            for (Index p = 0; p < width / lanes<S>; ++p)
                if (i + p * lanes<S> < count) part[p] = part[p] + f(i + p * lanes<S>);
    }
    // Adds the vector of elements from i on; for vectors in their order the same as `add`.
    FASTRNN_INLINE void put(Index i, Vec<S> value) {
        constexpr Index parts = width / lanes<S>;
        part[i / lanes<S> % parts] = part[i / lanes<S> % parts] + value;
    }
    // Reduces by halves, in the same order everywhere.
    FASTRNN_INLINE S total() const {
        constexpr Index parts = width / lanes<S>;
        Vec<S> sum[parts];
        for (Index p = 0; p < parts; ++p) sum[p] = part[p];
        for (Index half = parts / 2; half > 0; half /= 2)
            for (Index p = 0; p < half; ++p) sum[p] = sum[p] + sum[p + half];
#if defined(__x86_64__) || defined(_M_X64)
        // On x86 Eigen's sum of floats also reduces by halves; that of doubles does not with AVX-512.
        if constexpr (std::is_same_v<S, float>) return Eigen::internal::predux(sum[0].packet);
#endif
        S values[lanes<S>];
        store(values, sum[0]);
        for (Index half = lanes<S> / 2; half > 0; half /= 2)
            for (Index i = 0; i < half; ++i) values[i] += values[i + half];
        return values[0];
    }
};

template <class S>
FASTRNN_INLINE S largest(Vec<S> a) {
    return Eigen::internal::predux_max(a.packet);
}

// Transposes a block of lanes x lanes scalars: to[j * to_stride + i] = from[i * from_stride + j].
template <class S>
FASTRNN_INLINE void transpose_block(const S* from, Index from_stride, S* to, Index to_stride) {
    Eigen::internal::PacketBlock<typename Vec<S>::Packet, int(lanes<S>)> block;
    for (Index i = 0; i < lanes<S>; ++i) block.packet[i] = load(from + i * from_stride).packet;
    Eigen::internal::ptranspose(block);
    for (Index j = 0; j < lanes<S>; ++j) store(to + j * to_stride, Vec<S>{block.packet[j]});
}

}  // namespace fastrnn
