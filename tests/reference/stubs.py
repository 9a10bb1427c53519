# SPDX-License-Identifier: MIT
"""Import this before torchvision, ftfy or open_clip: what they want at import and never use here, where it is missing.

- torchvision's compiled operators, left out or built for another torch: `import torchvision` stops at operators that
  do not exist, though its transforms need none. They are declared, without bodies.
- wcwidth, which ftfy takes for its terminal output."""
import sys
import types

try:
    import wcwidth  # noqa: F401
except ImportError:
    _stub = types.ModuleType('wcwidth')
    _stub.wcwidth = _stub.wcswidth = len
    sys.modules['wcwidth'] = _stub

try:
    import torchvision  # noqa: F401
except RuntimeError as e:
    if 'torchvision::' not in str(e):
        raise
    import torch
    for _name in [m for m in sys.modules if m.split('.')[0] == 'torchvision']:
        del sys.modules[_name]
    _library = torch.library.Library('torchvision', 'FRAGMENT')
    for _name in ('nms', 'qnms'):
        _library.define(f'{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
    import torchvision  # noqa: F401
except ImportError:
    pass  # not installed at all: whoever needs it says so
