"""Networks: a plain MLP, the latent-conditioned actor, the critic ensemble."""

from drol.nn.actor import LatentActor as LatentActor
from drol.nn.actor import clip_action as clip_action
from drol.nn.critic import CriticEnsemble as CriticEnsemble
from drol.nn.mlp import MLP as MLP
from drol.nn.mlp import LayerNorm as LayerNorm
from drol.nn.mlp import Linear as Linear
