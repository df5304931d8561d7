"""From inside a sandbox: what user code tries (`attempts`), and the sandboxes in which it tries (`sandboxes`)."""
