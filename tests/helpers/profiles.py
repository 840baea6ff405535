"""Hypothesis profiles, chosen with the environment variable DROL_HYPOTHESIS_PROFILE.

`default` is deterministic; `deep` takes ten times the examples and fresh seeds; `first-failure` does not look for the
smallest counterexample (for the mutation suite, which expects failures).
"""

import os

import hypothesis

hypothesis.settings.register_profile("default", max_examples=25, deadline=None, derandomize=True, database=None)
hypothesis.settings.register_profile("deep", max_examples=250, deadline=None, database=None)
hypothesis.settings.register_profile(
    "first-failure", parent=hypothesis.settings.get_profile("default"), phases=[hypothesis.Phase.generate]
)
hypothesis.settings.load_profile(os.environ.get("DROL_HYPOTHESIS_PROFILE", "default"))
