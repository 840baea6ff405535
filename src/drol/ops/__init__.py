"""The building blocks of the paper, as pure functions."""

from drol.ops import axis as axis
from drol.ops import bellman as bellman
from drol.ops import flow as flow
from drol.ops import latent as latent
from drol.ops import losses as losses
from drol.ops import routing as routing
