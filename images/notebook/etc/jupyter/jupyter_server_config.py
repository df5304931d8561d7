"""JupyterLab in a sandbox. Nothing here is a boundary: user code can change its own server."""

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
