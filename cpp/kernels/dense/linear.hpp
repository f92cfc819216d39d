// y = x W^T + b, x [M, K], W [F, K], b [F], y [M, F], and its gradients. The caller owns all arrays; outputs must not
// overlap inputs. `workspace` provides panels and lists of M pointers.
#pragma once

#include "kernels/matrix/narrow_outer_product.hpp"
#include "kernels/matrix/narrow_weights.hpp"
#include "kernels/matrix/outer_product.hpp"
#include "kernels/matrix/packing.hpp"
#include "kernels/matrix/product.hpp"
#include "kernels/runtime/interrupt.hpp"
#include "kernels/runtime/workspace.hpp"
#include "kernels/vector/denormals.hpp"

namespace fastrnn {

template <class S>
struct LinearProblem {
    Index M = 0, K = 0, F = 0;
    const S *x = nullptr, *weight = nullptr, *bias = nullptr;  // bias may be null
    Interrupt* interrupt = nullptr;
    const NarrowKernels* narrow = nullptr;  // of products of fewer bits; null: of scalars

    // Rows after which to poll for an interrupt.
    Index rows_between_checks() const {
        return std::max<Index>(48, Index(16 * Interrupt::interval / (double(K) * double(F))));
    }
};

// Pointers to the rows of a matrix with `width` columns.
template <class P>
P* row_list(P first, Index rows, Index width, Workspace& workspace) {
    P* list = workspace.take<P>(rows);
    for (Index i = 0; i < rows; ++i) list[i] = first + i * width;
    return list;
}

// Pads a bias with zeros to whole vectors; null stands for zeros.
template <class S>
const S* pad_bias(const S* bias, Index F, S* padded) {
    for (Index i = 0; i < round_up_to_lanes<S>(F); ++i) padded[i] = bias && i < F ? bias[i] : S(0);
    return padded;
}

// Memory of each worker for rows with up to K numbers that a product narrows.
inline NarrowMemory narrow_memory(const NarrowKernels* kernels, Index K, Index rows, int threads,
                                  Workspace& workspace) {
    if (!kernels) return {};
    const Index bytes = narrow_bytes(*kernels, K, std::min(rows, narrowed_at_once));
    return {workspace.take<unsigned char>(threads * bytes), bytes};
}

// `panels`: plain panels of the weight; `bias`: round_up_to_lanes(F) scalars, from pad_bias.
// The problem's own weight and bias are not read.
template <class S>
void linear_forward(const LinearProblem<S>& p, const Panels<S>& panels, const S* bias, S* y, int threads,
                    Workspace& workspace) {
    const Product<S> shared{
        row_list(p.x, p.M, p.K, workspace), row_list(y, p.M, p.F, workspace), panels, bias, p.K, p.F};
    const NarrowMemory memory = narrow_memory(panels.narrow, p.K, p.M, threads, workspace);
    run_team(Sharing::of(threads, double(p.M) * double(p.K) * double(p.F)), [&](const Worker& worker) {
        const FlushDenormals flush;
        const Index pause = p.rows_between_checks();
        Product<S> product = shared;
        product.memory = memory.of(worker.rank);
        worker.share([&](int piece) {
            const auto [begin, end] = worker.part(p.M, piece, max_rows<panel_vectors>);
            for (Index m = begin; m < end && !p.interrupt->check(worker); m += pause)
                multiply_panels(product, m, std::min(end, m + pause));
        });
    });
}

// dx = dy W, dweight += dy^T x, dbias += column sums of dy; dx and dbias may be null.
template <class S>
void linear_backward(const LinearProblem<S>& p, const S* dy, S* dx, S* dweight, S* dbias, int threads,
                     Workspace& workspace) {
    const S* const* dy_rows = row_list(dy, p.M, p.F, workspace);
    const S* const* x_rows = row_list(p.x, p.M, p.K, workspace);
    S* const* dx_rows = dx ? row_list(dx, p.M, p.K, workspace) : nullptr;
    Panels<S> panels;
    const auto take = [&](Index count) { return workspace.take<S>(count); };
    if (dx) panels = take_transposed_panels(p.narrow, p.weight, p.F, p.K, take);
    const NarrowMemory memory = narrow_memory(p.narrow, p.F, p.M, threads, workspace);
    const Index outer_size = outer_memory<S>(p.narrow, p.K);
    S* outer = workspace.take<S>(threads * outer_size);
    run_team(Sharing::of(threads, 2.0 * double(p.M) * double(p.K) * double(p.F)), [&](const Worker& worker) {
        const FlushDenormals flush;
        Product<S> product{dy_rows, dx_rows, panels, nullptr, p.F, p.K};
        product.memory = memory.of(worker.rank);
        const Index pause = p.rows_between_checks();
        worker.share([&](int piece) {
            const Range rows = worker.part(p.M, piece, max_rows<panel_vectors>);
            if (dx)
                for (Index m = rows.begin; m < rows.end && !p.interrupt->check(worker); m += pause)
                    multiply_panels(product, m, std::min(rows.end, m + pause));
            const Range outputs = worker.part(p.F, piece, max_rows<panel_vectors>);
            for (Index m = 0; m < p.M && !p.interrupt->check(worker); m += pause) {
                const Index count = std::min(pause, p.M - m);
                accumulate_product(p.narrow, OuterProduct<S>{dy_rows + m, p.F, count, {{x_rows + m, dweight, p.K}, {}}},
                                   outputs, outer + worker.rank * outer_size);
                if (dbias) accumulate_rows(dy_rows + m, count, outputs.begin, outputs.end, dbias + outputs.begin);
            }
        });
    });
}

}  // namespace fastrnn
