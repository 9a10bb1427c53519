#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A torch checkpoint (.pth, .pt, .bin, .pth.tar) as a .safetensors file, for dc-export, dc-encode and dc-init.

    pth_to_safetensors.py IN OUT.safetensors [KEY]

A checkpoint is a Python pickle, which may run any program when it is loaded; torch's weights_only mode refuses all but
tensors and plain containers. The tensors are those of the dictionary IN, or of IN[KEY]; without KEY, of its entry 'model'
or 'state_dict' if it has one (the released DeCLIP's has 'model'). Names and numbers stay as they are."""
import sys

import torch
from safetensors.torch import save_file


def tensors(checkpoint, key):
    if key:
        return checkpoint[key]
    for name in ('model', 'state_dict'):
        if isinstance(checkpoint.get(name), dict):
            return checkpoint[name]
    return checkpoint


def main():
    if not 3 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    checkpoint = torch.load(sys.argv[1], map_location='cpu', weights_only=True)
    state = tensors(checkpoint, sys.argv[3] if len(sys.argv) > 3 else None)
    left = [k for k, v in state.items() if not isinstance(v, torch.Tensor)]
    if left:
        print(f'{sys.argv[1]}: no tensors, left out: {", ".join(map(str, left))}', file=sys.stderr)
    # shared or transposed storage would be refused
    save_file({k: v.detach().clone().contiguous() for k, v in state.items() if isinstance(v, torch.Tensor)}, sys.argv[2],
              metadata={'format': 'pt'})


if __name__ == '__main__':
    main()
