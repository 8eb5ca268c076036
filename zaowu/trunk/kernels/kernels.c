/* All kernels as one translation unit, so that they compile in one call. */
#include "adamw.c"
#include "attention.c"
#include "gelu.c"
#include "residual.c"
#include "softmax.c"
#include "encoder.c" /* uses those above */
#include "write.c"
