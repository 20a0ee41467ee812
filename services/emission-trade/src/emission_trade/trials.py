"""Which rules of emission rights can be tried: none yet."""

from emission_trade.policy import policy_on
from marketkit.trial import Trials

TRIALS = Trials(policy_on)
