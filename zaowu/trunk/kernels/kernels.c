/* All kernels as one translation unit, so that they compile in one call. */
#include "attention.c"
#include "residual.c"
