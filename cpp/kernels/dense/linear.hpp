// y = x W^T + b, x [M, K], W [F, K], b [F], y [M, F], and its gradients. The caller owns all arrays; outputs must not
// overlap inputs. `workspace` provides panels and lists of M pointers.
#pragma once

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

// `panels`: panels_size(K, F) scalars packed by pack_transposed; `bias`: round_up_to_lanes(F) scalars, from pad_bias.
// The problem's own weight and bias are not read.
template <class S>
void linear_forward(const LinearProblem<S>& p, const S* panels, const S* bias, S* y, int threads,
                    Workspace& workspace) {
    const Product<S> product{
        row_list(p.x, p.M, p.K, workspace), row_list(y, p.M, p.F, workspace), panels, bias, p.K, p.F};
    run_team(Sharing::of(threads, double(p.M) * double(p.K) * double(p.F)), [&](const Worker& worker) {
        const FlushDenormals flush;
        const Index pause = p.rows_between_checks();
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
    S* panels = dx ? workspace.take<S>(panels_size<S>(p.F, p.K)) : nullptr;
    if (dx) pack_rows(p.weight, p.F, p.K, 0, p.F, panels);
    S* outer = workspace.take<S>(threads * outer_workspace<S>(p.K));
    run_team(Sharing::of(threads, 2.0 * double(p.M) * double(p.K) * double(p.F)), [&](const Worker& worker) {
        const FlushDenormals flush;
        const Product<S> product{dy_rows, dx_rows, panels, nullptr, p.F, p.K};
        const Index pause = p.rows_between_checks();
        worker.share([&](int piece) {
            const Range rows = worker.part(p.M, piece, max_rows<panel_vectors>);
            if (dx)
                for (Index m = rows.begin; m < rows.end && !p.interrupt->check(worker); m += pause)
                    multiply_panels(product, m, std::min(rows.end, m + pause));
            const Range outputs = worker.part(p.F, piece, max_rows<panel_vectors>);
            for (Index m = 0; m < p.M && !p.interrupt->check(worker); m += pause) {
                const Index count = std::min(pause, p.M - m);
                accumulate_outer(OuterProduct<S>{dy_rows + m, p.F, count, {{x_rows + m, dweight, p.K}, {}}}, outputs,
                                 outer + worker.rank * outer_workspace<S>(p.K));
                if (dbias) accumulate_rows(dy_rows + m, count, outputs.begin, outputs.end, dbias + outputs.begin);
            }
        });
    });
}

}  // namespace fastrnn
