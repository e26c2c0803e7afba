// RoiPooling, a custom TensorFlow op: the maximum of each bin of a grid laid over regions of a feature map.

#include <algorithm>
#include <cstdint>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace roi_pooling {

using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using tensorflow::shape_inference::DimensionHandle;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

// A roi is one row of five numbers: batch index, x0, y0, x1, y1; x1 and y1 are the first outside.
constexpr int kRoiFields = 5;

absl::Status PooledShape(InferenceContext* c) {
  ShapeHandle features, rois;
  DimensionHandle fields;
  int64_t pool_height, pool_width;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 4, &features));
  TF_RETURN_IF_ERROR(c->WithRank(c->input(1), 2, &rois));
  TF_RETURN_IF_ERROR(c->WithValue(c->Dim(rois, 1), kRoiFields, &fields));
  TF_RETURN_IF_ERROR(c->GetAttr("pool_height", &pool_height));
  TF_RETURN_IF_ERROR(c->GetAttr("pool_width", &pool_width));
  c->set_output(0, c->MakeShape({c->Dim(rois, 0), pool_height, pool_width, c->Dim(features, 3)}));
  return absl::OkStatus();
}

REGISTER_OP("RoiPooling")
    .Input("features: T")
    .Input("rois: int32")
    .Output("pooled: T")
    .Attr("T: {float, double}")
    .Attr("pool_height: int >= 1")
    .Attr("pool_width: int >= 1")
    .SetShapeFn(PooledShape)
    .Doc(R"doc(
Max pooling of rectangular regions into a grid of pool_height x pool_width bins.

Bin i of n over a side of length s covers the cells from floor(i * s / n) up to, not
including, ceil((i + 1) * s / n); neighbours overlap where n does not divide s. A region
of no cells gives bins of zeros.

features: [batch, height, width, channels].
rois: [count, 5], each row (batch index, x0, y0, x1, y1) with
  0 <= x0 <= x1 <= width and 0 <= y0 <= y1 <= height.
pooled: [count, pool_height, pool_width, channels].
)doc");

// Cells [begin, end) along one axis.
struct Span {
  int64_t begin, end;

  int64_t size() const { return end - begin; }
  bool fits(int64_t limit) const { return 0 <= begin && begin <= end && end <= limit; }

  Span bin(int64_t index, int64_t count) const {
    return {begin + index * size() / count, begin + ((index + 1) * size() + count - 1) / count};
  }
};

template <typename... Parts>
absl::Status Invalid(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(parts...));
}

template <typename T>
class RoiPoolingOp : public OpKernel {
 public:
  explicit RoiPoolingOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("pool_height", &pool_height_));
    OP_REQUIRES_OK(context, context->GetAttr("pool_width", &pool_width_));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& features = context->input(0);
    const Tensor& rois = context->input(1);
    OP_REQUIRES(context, features.dims() == 4,
                Invalid("features must be [batch, height, width, channels], got ",
                        features.shape().DebugString()));
    OP_REQUIRES(context, rois.dims() == 2 && rois.dim_size(1) == kRoiFields,
                Invalid("rois must be [count, 5], got ", rois.shape().DebugString()));

    TensorShape shape;
    OP_REQUIRES_OK(context, TensorShape::BuildTensorShape(
                                {rois.dim_size(0), pool_height_, pool_width_, features.dim_size(3)}, &shape));
    Tensor* pooled = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, shape, &pooled));

    const auto roi = rois.matrix<int32_t>();
    for (int64_t i = 0; i < rois.dim_size(0); ++i) {
      const int64_t batch = roi(i, 0);
      const Span columns{roi(i, 1), roi(i, 3)};
      const Span rows{roi(i, 2), roi(i, 4)};
      OP_REQUIRES(context, 0 <= batch && batch < features.dim_size(0),
                  Invalid("roi ", i, ": batch index ", batch, " is outside [0, ", features.dim_size(0), ")"));
      OP_REQUIRES(context, columns.fits(features.dim_size(2)),
                  Invalid("roi ", i, ": x from ", columns.begin, " to ", columns.end, " does not fit width ",
                          features.dim_size(2)));
      OP_REQUIRES(context, rows.fits(features.dim_size(1)),
                  Invalid("roi ", i, ": y from ", rows.begin, " to ", rows.end, " does not fit height ",
                          features.dim_size(1)));
      PoolRegion(features, batch, rows, columns, i, pooled);
    }
  }

 private:
  void PoolRegion(const Tensor& features, int64_t batch, Span rows, Span columns, int64_t index,
                  Tensor* pooled) const {
    for (int64_t py = 0; py < pool_height_; ++py) {
      for (int64_t px = 0; px < pool_width_; ++px) {
        const int64_t channels = features.dim_size(3);
        T* bin = pooled->flat<T>().data() + ((index * pool_height_ + py) * pool_width_ + px) * channels;
        PoolBin(features, batch, rows.bin(py, pool_height_), columns.bin(px, pool_width_), bin);
      }
    }
  }

  static void PoolBin(const Tensor& features, int64_t batch, Span rows, Span columns, T* bin) {
    const int64_t height = features.dim_size(1), width = features.dim_size(2);
    const int64_t channels = features.dim_size(3);
    const bool empty = rows.size() == 0 || columns.size() == 0;
    std::fill_n(bin, channels, empty ? T(0) : -std::numeric_limits<T>::infinity());

    const T* cells = features.flat<T>().data();
    for (int64_t y = rows.begin; y < rows.end; ++y) {
      for (int64_t x = columns.begin; x < columns.end; ++x) {
        const T* cell = cells + ((batch * height + y) * width + x) * channels;
        for (int64_t c = 0; c < channels; ++c) bin[c] = std::max(bin[c], cell[c]);
      }
    }
  }

  int64_t pool_height_;
  int64_t pool_width_;
};

#define REGISTER_CPU_KERNEL(T) \
  REGISTER_KERNEL_BUILDER(     \
      Name("RoiPooling").Device(tensorflow::DEVICE_CPU).TypeConstraint<T>("T"), RoiPoolingOp<T>)
REGISTER_CPU_KERNEL(float);
REGISTER_CPU_KERNEL(double);
#undef REGISTER_CPU_KERNEL

}  // namespace roi_pooling
