"""Policies: what acts after training, and what a policy file stores."""

from drol.policy.choice import POLICY_KINDS as POLICY_KINDS
from drol.policy.choice import Choice as Choice
from drol.policy.choice import PolicyKind as PolicyKind
from drol.policy.contract import Policy as Policy
from drol.policy.contract import exploring as exploring
from drol.policy.contract import planning as planning
from drol.policy.flow import FlowPolicy as FlowPolicy
from drol.policy.flow import ShortcutPolicy as ShortcutPolicy
from drol.policy.latent import LatentPolicy as LatentPolicy
from drol.policy.mean import MeanPolicy as MeanPolicy
from drol.policy.queue import PlanQueue as PlanQueue
from drol.policy.squashed import SquashedPolicy as SquashedPolicy
from drol.policy.steered import SteeredPolicy as SteeredPolicy
from drol.policy.units import PolicyInUnits as PolicyInUnits
from drol.policy.units import in_units as in_units
