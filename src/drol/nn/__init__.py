"""Networks: a plain MLP, actors, vector fields, critics."""

from drol.nn.actor import LatentActor as LatentActor
from drol.nn.actor import clip_action as clip_action
from drol.nn.critic import CriticEnsemble as CriticEnsemble
from drol.nn.critic import Value as Value
from drol.nn.flow import VectorField as VectorField
from drol.nn.gaussian import MeanActor as MeanActor
from drol.nn.mlp import MLP as MLP
from drol.nn.mlp import LayerNorm as LayerNorm
from drol.nn.mlp import Linear as Linear
