// Floats rounded to bfloat16: their upper halves.
#pragma once

#include <cstring>

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

// Rounds to nearest even; NaN stays NaN, infinity stays infinity. As a float, so that a product needs no more.
FASTRNN_INLINE Vec<float> round_to_bfloat16(Vec<float> a) {
    using namespace Eigen::internal;
    const IntegerPacket bits = bits_of(a), odd = pand(plogical_shift_right<16>(bits), set_bits(1));
    const IntegerPacket rounded = padd(bits, padd(odd, set_bits(0x7fff)));
    const Vec<float> is_number{pcmp_eq(a.packet, a.packet)};
    const Vec<float> either{
        pselect(is_number.packet, from_bits(rounded).packet, from_bits(por(bits, set_bits(0x400000))).packet)};
    return from_bits(pand(bits_of(either), set_bits(0xffff0000)));
}

// The same of one float, as the 16 bits.
inline std::uint16_t bfloat16_bits(float a) {
    std::uint32_t bits;
    std::memcpy(&bits, &a, sizeof bits);
    if ((bits & 0x7fffffff) > 0x7f800000) return std::uint16_t(bits >> 16 | 0x40);
    return std::uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

}  // namespace fastrnn
