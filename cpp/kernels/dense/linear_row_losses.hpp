// A linear layer and the losses of the rows of its outputs, in chunks of rows, so that the outputs of a whole sequence
// [M, F] never exist.
#pragma once

#include "kernels/dense/linear.hpp"

namespace fastrnn {

// [M, K], overwritten; [F, K] and [F], added to; null if not wanted.
template <class S>
struct LinearGradients {
    S *dx, *dweight, *dbias;
};

// Most outputs of a chunk of rows.
inline constexpr Index logits_per_chunk = Index(1) << 18;

// Calls row(m, outputs) for each row m of x W^T + b: it stores the row's loss and replaces its F outputs by the
// gradient with respect to them.
template <class S, class F>
void linear_row_losses(const LinearProblem<S>& p, const LinearGradients<S>& d, F&& row, int threads,
                       Workspace& workspace) {
    const Index M = p.M, K = p.K, width = p.F, stride = width + 16;
    const Index chunk = std::max<Index>(1, std::min(M, std::max<Index>(48, logits_per_chunk / width)));
    const auto take = [&](Index count) { return workspace.take<S>(count); };
    const Panels<S> forward = take_plain_panels(p.narrow, p.weight, width, K, take);
    Panels<S> backward;
    if (d.dx) backward = take_transposed_panels(p.narrow, p.weight, width, K, take);
    const NarrowMemory memory = narrow_memory(p.narrow, std::max(K, width), chunk, threads, workspace);
    const S* bias = pad_bias(p.bias, width, workspace.take<S>(round_up_to_lanes<S>(width)));
    const S* const* x_rows = row_list(p.x, M, K, workspace);
    S* const* dx_rows = d.dx ? row_list(d.dx, M, K, workspace) : nullptr;
    S* const* outputs = row_list(workspace.take<S>(chunk * stride), chunk, stride, workspace);
    const Index outer_size = outer_memory<S>(p.narrow, K);
    S* outer = workspace.take<S>(threads * outer_size);
    run_team(Sharing::of(threads, double(M) * double(K) * double(width)), [&](const Worker& worker) {
        const FlushDenormals flush;
        for (Index m0 = 0; m0 < M; m0 += chunk) {
            const Index count = std::min(chunk, M - m0);
            if (p.interrupt->check(worker)) return;
            worker.share([&](int piece) {
                const auto [begin, end] = worker.part(count, piece, max_rows<panel_vectors>);
                Product<S> product{x_rows + m0, outputs, forward, bias, K, width};
                product.memory = memory.of(worker.rank);
                multiply_panels(product, begin, end);
                for (Index m = begin; m < end; ++m) row(m0 + m, outputs[m]);
                if (!d.dx) return;
                Product<S> back{outputs, dx_rows + m0, backward, nullptr, width, K};
                back.memory = memory.of(worker.rank);
                multiply_panels(back, begin, end);
            });
            if (!d.dweight && !d.dbias) continue;
            worker.share([&](int piece) {
                const Range own = worker.part(width, piece, max_rows<panel_vectors>);
                if (d.dweight)
                    accumulate_product(p.narrow,
                                       OuterProduct<S>{outputs, stride, count, {{x_rows + m0, d.dweight, K}, {}}}, own,
                                       outer + worker.rank * outer_size);
                if (d.dbias) accumulate_rows(outputs, count, own.begin, own.end, d.dbias + own.begin);
            });
        }
    });
}

}  // namespace fastrnn
