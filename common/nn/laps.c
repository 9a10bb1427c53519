/* SPDX-License-Identifier: MIT */
#include "nn/laps.h"

const char *const dc_lap_names[DC_LAPS] = {
	"linear layers", "attention", "layer norm", "activation", "embeddings", "convolutions", "batch norm, pooling", "heads", "other"
};
