"""Interactive parts for JupyterLab: a plane to drag a face through, and the browser's camera.

Both are anywidgets: Python here, a plain JavaScript module beside it, no build step. Where nothing
can be interactive (papermill, exported pages, GitHub) they are a static picture.
"""

from .camera_widget import Camera, Predictor, Reading, camera
from .plane_widget import Plane, plane, read_with_predictor, read_with_run

__all__ = [
    "Camera",
    "Plane",
    "Predictor",
    "Reading",
    "camera",
    "plane",
    "read_with_predictor",
    "read_with_run",
]
