"""The toy environment under the name that stored runs of version 0.1 have for it."""

import tests.helpers.toy_environment  # noqa: F401  (registers it)
