"""Typed policy files: what people decide, as reviewed text."""

from sandbox_guard.policy.document import PolicyError, Problem
from sandbox_guard.policy.enforced import enforced
from sandbox_guard.policy.files import read_policies
from sandbox_guard.policy.terms import compile_terms

__all__ = ["PolicyError", "Problem", "compile_terms", "enforced", "read_policies"]
