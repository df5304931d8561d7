"""Every kernel of a sandbox knows `%%guard`."""

c = get_config()  # type: ignore[name-defined]  # noqa: F821

c.InteractiveShellApp.extensions = ["sandbox_guard.client"]
