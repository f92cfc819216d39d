// Floats rounded to bfloat16: their upper halves.
#pragma once

#include <limits>

#include "kernels/vector/simd.hpp"

namespace fastrnn {

using IntegerPacket = Eigen::internal::unpacket_traits<Vec<float>::Packet>::integer_packet;

FASTRNN_INLINE IntegerPacket bits_of(Vec<float> a) { return Eigen::internal::preinterpret<IntegerPacket>(a.packet); }
FASTRNN_INLINE Vec<float> from_bits(IntegerPacket bits) {
    return {Eigen::internal::preinterpret<Vec<float>::Packet>(bits)};
}
FASTRNN_INLINE IntegerPacket set_bits(std::uint32_t bits) {
    return Eigen::internal::pset1<IntegerPacket>(std::int32_t(bits));
}

// Rounds to nearest even; NaN stays NaN, infinity stays infinity. Denormals become zeros of their sign, as with the
// CPU's own instructions: the largest would otherwise become normal. As a float, so that a product needs no more.
FASTRNN_INLINE Vec<float> round_to_bfloat16(Vec<float> a) {
    using namespace Eigen::internal;
    const IntegerPacket bits = bits_of(a), odd = pand(plogical_shift_right<16>(bits), set_bits(1));
    const IntegerPacket rounded = padd(bits, padd(odd, set_bits(0x7fff)));
    const Vec<float> is_number{pcmp_eq(a.packet, a.packet)};
    const Vec<float> either{
        pselect(is_number.packet, from_bits(rounded).packet, from_bits(por(bits, set_bits(0x400000))).packet)};
    const Vec<float> denormal{pcmp_lt(magnitude(a).packet, set(std::numeric_limits<float>::min()).packet)};
    const Vec<float> zero{pand(a.packet, set(-0.0f).packet)};  // of its sign
    const Vec<float> normal{pselect(denormal.packet, zero.packet, either.packet)};
    return from_bits(pand(bits_of(normal), set_bits(0xffff0000)));
}

// The halves of words of two bfloat16, as floats, and the words of two vectors of floats.
FASTRNN_INLINE Vec<float> lower_halves(Vec<float> words) {
    return from_bits(Eigen::internal::plogical_shift_left<16>(bits_of(words)));
}
FASTRNN_INLINE Vec<float> upper_halves(Vec<float> words) {
    return from_bits(Eigen::internal::pand(bits_of(words), set_bits(0xffff0000)));
}
FASTRNN_INLINE Vec<float> words_of_halves(Vec<float> lower, Vec<float> upper) {
    using namespace Eigen::internal;
    const IntegerPacket low = plogical_shift_right<16>(bits_of(round_to_bfloat16(lower)));
    return from_bits(por(low, bits_of(round_to_bfloat16(upper))));
}

}  // namespace fastrnn
