"""The portal: catalogue, budgets, approved analyses, audit log, as plain pages over HTTP.

signin.py      who is there: the hub's OAuth, a session cookie
rights.py      who may see what, and the rule that says no
ledger.py      what the ledger knows: budgets, standings, entries
sandboxes.py   the vault-only sandboxes: started through the hub, asked through the proxy
site.py        what every page shares; how one is rendered
catalogue.py, budgets.py, analyses.py, audit.py, steward.py   the pages, each with its templates
"""
