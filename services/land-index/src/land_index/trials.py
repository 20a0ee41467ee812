"""Which rules of land indicators can be tried: none yet."""

from land_index.policy import policy_on
from marketkit.trial import Trials

TRIALS = Trials(policy_on)
