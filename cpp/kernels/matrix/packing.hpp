// Weights -> panels. A panel is what the micro-kernel reads in order: for each k, the weights of a few columns.
#pragma once

#include "kernels/matrix/tiling.hpp"

namespace fastrnn {

// Scalars in the plain panels of `columns` columns of depth K (the last vector is padded with zeros).
template <class S>
constexpr Index panels_size(Index K, Index columns) {
    return K * round_up_to_lanes<S>(columns);
}

// Scalars in the gate panels of H units of G gates: panel p holds units p*lanes .. of every gate, in strips of as many
// gates as fit a tile: [unit][strip][K][width][lanes].
template <class S>
constexpr Index gate_panels_size(Index K, Index H, Index gates) {
    return K * gates * round_up_to_lanes<S>(H);
}

// Where one vector of units of one gate lies in gate panels of depth K, and the distance from one k to the next.
template <class S>
struct GateVector {
    Index offset, stride;

    GateVector(Index unit, Index gate, Index gates, Index K) {
        const Index width = gates == 4 ? strip_vectors<4> : gates;
        offset = (unit * gates + gate / width * width * lanes<S>)*K + gate % width * lanes<S>;
        stride = width * lanes<S>;
    }
};

// Transposes one vector of columns: to[k * to_stride + lane] = w[lane * K + k] for lane < width, else 0.
template <class S>
void pack_transposed_vector(const S* w, Index K, Index width, S* to, Index to_stride) {
    Index k = 0;
    if (width >= lanes<S>)
        for (; k + lanes<S> <= K; k += lanes<S>) transpose_block(w + k, K, to + k * to_stride, to_stride);
    for (; k < K; ++k)
        for (Index lane = 0; lane < lanes<S>; ++lane) to[k * to_stride + lane] = lane < width ? w[lane * K + k] : S(0);
}

// w [gates * H, K], the layout of weight_ih and weight_hh -> gate panels.
template <class S>
void pack_gates(const S* w, Index gates, Index H, Index K, S* panels) {
    for (Index unit = 0; unit < H; unit += lanes<S>)
        for (Index gate = 0; gate < gates; ++gate) {
            const GateVector<S> to(unit, gate, gates, K);
            pack_transposed_vector(w + (gate * H + unit) * K, K, H - unit, panels + to.offset, to.stride);
        }
}

// bias(i) for i < gates * H -> [panel][gates][lanes], zeros after the last unit.
template <class S, class Bias>
void pack_gate_bias(Bias&& bias, Index gates, Index H, S* panels) {
    for (Index unit = 0; unit < H; unit += lanes<S>)
        for (Index gate = 0; gate < gates; ++gate)
            for (Index lane = 0; lane < lanes<S>; ++lane)
                *panels++ = unit + lane < H ? bias(gate * H + unit + lane) : S(0);
}

// w [columns, K] -> plain panels of x W^T.
template <class S>
void pack_transposed(const S* w, Index columns, Index K, S* panels) {
    for_panels<S>(0, columns, [&](auto vectors, Index column) {
        for (Index v = 0; v < vectors; ++v) {
            const Index first = column + v * lanes<S>;
            pack_transposed_vector(w + first * K, K, columns - first, panels + column * K + v * lanes<S>,
                                   vectors * lanes<S>);
        }
    });
}

// The inverse of pack_transposed.
template <class S>
void unpack_transposed(const S* panels, Index columns, Index K, S* w) {
    for_panels<S>(0, columns, [&](auto vectors, Index column) {
        const Index wide = vectors * lanes<S>, width = std::min<Index>(wide, columns - column);
        for (Index j = 0; j < width; ++j)
            for (Index k = 0; k < K; ++k) w[(column + j) * K + k] = panels[column * K + k * wide + j];
    });
}

// w [rows, columns] -> rows k0 .. k0+rows-1 of plain panels of depth K, of x W.
template <class S>
void pack_rows(const S* w, Index rows, Index columns, Index k0, Index K, S* panels) {
    for_panels<S>(0, columns, [&](auto vectors, Index column) {
        const Index wide = vectors * lanes<S>, width = columns - column < wide ? columns - column : wide;
        S* to = panels + column * K + k0 * wide;
        for (Index k = 0; k < rows; ++k, to += wide) {
            const S* from = w + k * columns + column;
            for (Index j = 0; j < width; ++j) to[j] = from[j];
            for (Index j = width; j < wide; ++j) to[j] = S(0);
        }
    });
}

// One vector of units of panels of x W^T (depth `columns`, `stride` scalars from one k to the next) -> rows
// k0 .. k0+width-1 of plain panels of depth K, of dy W: backward panels come from the same snapshot as forward ones.
template <class S>
void repack_vector(const S* from, Index stride, Index width, Index columns, Index k0, Index K, S* panels) {
    for_panels<S>(0, columns, [&](auto vectors, Index column) {
        const Index wide = vectors * lanes<S>;
        for (Index first = column; first < column + wide; first += lanes<S>) {
            S* to = panels + column * K + k0 * wide + (first - column);
            if (width >= lanes<S> && first + lanes<S> <= columns) {
                transpose_block(from + first * stride, stride, to, wide);
                continue;
            }
            for (Index unit = 0; unit < width && unit < lanes<S>; ++unit)
                for (Index j = 0; j < lanes<S>; ++j)
                    to[unit * wide + j] = first + j < columns ? from[(first + j) * stride + unit] : S(0);
        }
    });
}

// Gate `gate` of gate panels -> rows k0 .. k0+H-1 of plain panels.
template <class S>
void repack_gate(const S* from, Index gates, Index gate, Index H, Index columns, Index k0, Index K, S* panels) {
    for (Index unit = 0; unit < H; unit += lanes<S>) {
        const GateVector<S> at(unit, gate, gates, columns);
        repack_vector(from + at.offset, at.stride, H - unit, columns, k0 + unit, K, panels);
    }
}

// Plain panels of x W^T, W [rows, columns] -> rows k0 .. k0+rows-1 of plain panels of depth K, of dy W.
template <class S>
void repack_plain(const S* from, Index rows, Index columns, Index k0, Index K, S* panels) {
    for_panels<S>(0, rows, [&](auto vectors, Index row) {
        for (Index v = 0; v < vectors; ++v)
            repack_vector(from + row * columns + v * lanes<S>, vectors * lanes<S>, rows - row - v * lanes<S>, columns,
                          k0 + row + v * lanes<S>, K, panels);
    });
}

}  // namespace fastrnn
