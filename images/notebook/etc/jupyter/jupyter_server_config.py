"""JupyterLab in a sandbox. Nothing here is a boundary: user code can change its own server."""

import datetime as dt
from pathlib import Path

from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager


class Busy(AsyncMappingKernelManager):
    """A kernel that works is somebody at work, though nobody looks and nothing is printed: the hub does not take its
    sandbox for an idle one."""

    @property
    def last_kernel_activity(self):
        if any(getattr(kernel, "execution_state", "") == "busy" for kernel in self._kernels.values()):
            return dt.datetime.now(dt.UTC)
        return self._last_kernel_activity

    @last_kernel_activity.setter
    def last_kernel_activity(self, at):
        self._last_kernel_activity = at

    _last_kernel_activity = dt.datetime.now(dt.UTC)


c = get_config()  # type: ignore[name-defined]  # noqa: F821

c.ServerApp.terminals_enabled = False
c.ServerApp.open_browser = False
# A sandbox has no way out: asking for news or extensions would only wait for a timeout.
c.LabApp.extension_manager = "readonly"
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
c.LabApp.news_url = None
# Lets a browser test wait for the notebook itself instead of guessing when the page is idle.
c.LabApp.expose_app_in_browser = True
# A notebook that someone else saved runs nothing on opening; a deleted one can be got back for 30 days.
c.FileContentsManager.delete_to_trash = True

c.ServerApp.kernel_manager_class = Busy
# What the hub has to say of the sandbox, such as that it ends soon.
c.LabServerApp.extra_labextensions_path = [str(Path(__file__).parents[2] / "labextensions")]
