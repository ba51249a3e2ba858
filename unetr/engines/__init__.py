"""Ways to run a network over a volume's windows, and the choice between them.

``engine`` says what an engine is, ``torch_engine`` and ``openvino_engine`` are those there are, ``trial`` runs one for
the first time, ``choice`` takes the fastest that works here, ``cuda`` does so among the ways of running a GPU, and
``windows`` is the loop over a volume that all of them share.
"""

import sys

# It would report each conversion to OpenVINO's makers over the internet; without it OpenVINO does without.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
