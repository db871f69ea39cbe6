"""Interactive parts for JupyterLab: a face in a plane, a surface, raters' traces, a camera.

All are anywidgets: Python here, a plain JavaScript module beside it, no build step. Where nothing
can be interactive (papermill, exported pages, GitHub) they are a static picture.
"""

from .camera_widget import camera
from .descent_widget import Surface, descend, descent, draw_path, draw_surface
from .exercises import check, numbers
from .plane_widget import FaceModel, model_from_run, plane
from .traces_widget import traces

__all__ = [
    "FaceModel", "Surface", "camera", "check", "descend", "descent", "draw_path",
    "draw_surface", "model_from_run", "numbers", "plane", "traces",
]  # fmt: skip
